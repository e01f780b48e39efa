//! From the vendor's requests to the engine's, with the vendor's defaults and limits. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinfold_engine::{
    CreateObject, CreatePreview, CreateSandbox, Cursor, ImageOrTemplate, MakeDirectory, MoveFile,
    PageRequest, SandboxFilter, States, Wait, WriteFile,
};
use pinfold_model::collect::{Collect, CollectFile, CollectOn};
use pinfold_model::command::CancelMode;
use pinfold_model::{CommandSpec, Error, PreviewAccess, Program, SandboxState, SecretEnv};
use serde_json::{Map, Value};

use super::errors::{Refused, Word};
use super::{ids, wire};

mod code;

pub(super) use code::{create_context, run_code};

/// Where everything of the vendor's file API happens, and where commands begin.
pub(super) const WORKSPACE: &str = "/workspace";
/// The template of a sandbox that names none.
const DEFAULT_TEMPLATE: &str = "base";
const TTL_DEFAULT: Duration = Duration::from_secs(3600);
/// What create takes at most, on every plan of the vendor.
const CREATE_TTL_MAX: Duration = Duration::from_secs(3600);
/// What extend takes at most: the vendor's largest plan.
const EXTEND_TTL_MAX: Duration = Duration::from_secs(168 * 3600);
const METADATA_MAX_KEYS: usize = 16;
const METADATA_KEY_MAX_CHARS: usize = 64;
const METADATA_VALUE_MAX_CHARS: usize = 512;
/// Keys and values together.
const METADATA_MAX_BYTES: usize = 4096;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
const TIMEOUT_MAX_MS: i64 = 600_000;
const RESERVED_ENV_PREFIX: &str = "CROWNEST";
const PAGE_DEFAULT: i64 = 50;
const PAGE_MAX: i64 = 100;
/// Content of one file in one request or answer.
pub(super) const FILE_MAX_BYTES: usize = 256 << 10;

pub(super) fn create_sandbox(request: wire::CreateSandbox) -> Result<CreateSandbox, Refused> {
    if request.restore_from.is_some() {
        return Err(Refused::of(
            Word::FeatureNotEnabled,
            "restoreFrom",
            "this server keeps no backups; create the sandbox without restoreFrom",
        ));
    }
    let ttl = match request.ttl_ms {
        Some(millis) => ttl(millis, CREATE_TTL_MAX)?,
        None => TTL_DEFAULT,
    };
    let project = request
        .project_id
        .as_deref()
        .map(ids::project)
        .transpose()?;
    Ok(CreateSandbox {
        project,
        from: template(request.template, request.template_version_id.as_deref())?,
        workdir: Some(WORKSPACE.to_owned()),
        metadata: metadata(request.metadata.unwrap_or_default())?,
        ttl: Some(ttl),
        wait: Wait::Running,
        ..CreateSandbox::default()
    })
}

fn template(slug: Option<String>, version: Option<&str>) -> Result<ImageOrTemplate, Refused> {
    Ok(match (slug, version) {
        (_, Some(version)) => ImageOrTemplate::TemplateVersion(ids::template_version(version)?),
        (slug, None) => ImageOrTemplate::Template {
            template: slug.unwrap_or_else(|| DEFAULT_TEMPLATE.to_owned()),
            version: None,
        },
    })
}

/// A template that does not exist is a wrong field to this vendor; a version is not found.
pub(super) fn refused_create(error: Error, by_slug: bool) -> Refused {
    use pinfold_model::Code;
    match error.code() {
        Code::TemplateNotFound if by_slug => Refused::invalid("template", error.message()),
        _ => error.into(),
    }
}

pub(super) fn extend(request: &wire::ExtendSandbox) -> Result<Duration, Refused> {
    ttl(request.ttl_ms, EXTEND_TTL_MAX)
}

fn ttl(millis: i64, max: Duration) -> Result<Duration, Refused> {
    let wanted = match u64::try_from(millis) {
        Ok(millis) if millis > 0 => Duration::from_millis(millis),
        _ => {
            return Err(Refused::invalid(
                "ttlMs",
                "ttlMs must be a positive number of milliseconds",
            ));
        }
    };
    if wanted > max {
        return Err(Refused::of(
            Word::SandboxTtlExceeded,
            "ttlMs",
            format!("ttlMs may be at most {}", max.as_millis()),
        ));
    }
    Ok(wanted)
}

fn metadata(given: Map<String, Value>) -> Result<BTreeMap<String, String>, Refused> {
    if given.len() > METADATA_MAX_KEYS {
        return Err(Refused::of(
            Word::MetadataTooManyKeys,
            "metadata",
            format!("metadata may hold at most {METADATA_MAX_KEYS} keys"),
        ));
    }
    let mut metadata = BTreeMap::new();
    for (key, value) in given {
        if key.is_empty() || key.chars().count() > METADATA_KEY_MAX_CHARS {
            return Err(Refused::of(
                Word::InvalidMetadataKey,
                "metadata",
                format!("a metadata key has 1 to {METADATA_KEY_MAX_CHARS} characters"),
            ));
        }
        match value {
            Value::String(text) if text.chars().count() <= METADATA_VALUE_MAX_CHARS => {
                metadata.insert(key, text);
            }
            _ => {
                return Err(Refused::of(
                    Word::InvalidMetadataValue,
                    "metadata",
                    format!(
                        "the metadata value of {key:?} must be a string of at most \
                         {METADATA_VALUE_MAX_CHARS} characters"
                    ),
                ));
            }
        }
    }
    let bytes: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    if bytes > METADATA_MAX_BYTES {
        return Err(Refused::of(
            Word::MetadataTooLarge,
            "metadata",
            format!("metadata has {bytes} bytes, at most {METADATA_MAX_BYTES} fit"),
        ));
    }
    Ok(metadata)
}

/// The filter and the page of a list whose query has the parameters `pairs`: those that begin with
/// `metadata.` are labels that must all match.
pub(super) fn list_sandboxes(
    pairs: Vec<(String, String)>,
) -> Result<(SandboxFilter, PageRequest), Refused> {
    let mut labels = BTreeMap::new();
    let mut rest = Vec::new();
    for (name, value) in pairs {
        match name.strip_prefix("metadata.") {
            Some(key) => {
                labels.insert(key.to_owned(), value);
            }
            None => rest.push((name, value)),
        }
    }
    let query: wire::ListSandboxes = pinfold_http::parse_pairs(rest)?;
    let states = match query.include.as_deref() {
        None | Some("") => States::Only(live_states()),
        Some("historical") => States::All,
        Some(_) => return Err(Refused::invalid("include", "include may be \"historical\"")),
    };
    let project = query.project_id.as_deref().map(ids::project).transpose()?;
    let filter = SandboxFilter {
        states,
        metadata: labels,
        project,
    };
    Ok((filter, page(query.limit, query.cursor.as_deref())?))
}

fn live_states() -> Vec<SandboxState> {
    let mut states = SandboxState::ALL.to_vec();
    states.retain(|state| state.is_live());
    states
}

pub(super) fn page(limit: Option<i64>, cursor: Option<&str>) -> Result<PageRequest, Refused> {
    let after = cursor.map(str::parse::<Cursor>).transpose();
    let after = after.map_err(Error::from)?;
    Ok(PageRequest::new(bounded(limit)?, after))
}

/// A limit of a list or of logs.
pub(super) fn bounded(limit: Option<i64>) -> Result<u32, Refused> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    match u32::try_from(limit) {
        Ok(fits) if (1..=PAGE_MAX).contains(&limit) => Ok(fits),
        _ => Err(Refused::invalid(
            "limit",
            format!("limit must be from 1 to {PAGE_MAX}"),
        )),
    }
}

/// What `commands/run` runs.
pub(super) fn run_command(mut request: wire::RunCommand) -> Result<CommandSpec, Refused> {
    let on = match request.collect_on.as_deref() {
        None | Some("success") => CollectOn::Success,
        Some("always") => CollectOn::Always,
        Some(_) => {
            return Err(Refused::invalid(
                "collectOn",
                "collectOn must be \"success\" or \"always\"",
            ));
        }
    };
    let files = request.collect.take().unwrap_or_default();
    let files = files.into_iter().map(|wanted| CollectFile {
        path: wanted.path,
        name: wanted.name,
    });
    let collect = Collect {
        files: files.collect(),
        on,
        within: Some(WORKSPACE.to_owned()),
    };
    let mut spec = command(request)?;
    spec.collect = Some(collect).filter(|collect| !collect.files.is_empty());
    Ok(spec)
}

/// What `commands/start` runs: nothing is collected behind it.
pub(super) fn start_command(request: wire::RunCommand) -> Result<CommandSpec, Refused> {
    for (field, given) in [
        ("collect", request.collect.is_some()),
        ("collectOn", request.collect_on.is_some()),
    ] {
        if given {
            return Err(Refused::invalid(
                field,
                format!("{field} goes with commands/run, not with commands/start"),
            ));
        }
    }
    command(request)
}

fn command(request: wire::RunCommand) -> Result<CommandSpec, Refused> {
    let env = request.env.unwrap_or_default();
    if let Some(key) = env.keys().find(|key| key.starts_with(RESERVED_ENV_PREFIX)) {
        return Err(Refused::of(
            Word::ReservedEnvKey,
            "env",
            format!("{key:?}: names that begin with {RESERVED_ENV_PREFIX} are reserved"),
        ));
    }
    Ok(CommandSpec {
        cwd: request.cwd.filter(|cwd| !cwd.is_empty()),
        secret_env: SecretEnv::new(env),
        timeout: Some(timeout(request.timeout_ms)?.unwrap_or(TIMEOUT_DEFAULT)),
        ..CommandSpec::new(Program::Shell(request.command))
    })
}

/// Of a command, or of a run of code.
fn timeout(millis: Option<i64>) -> Result<Option<Duration>, Refused> {
    match millis {
        None => Ok(None),
        Some(millis @ 1..=TIMEOUT_MAX_MS) => Ok(Some(Duration::from_millis(millis.unsigned_abs()))),
        Some(_) => Err(Refused::invalid(
            "timeoutMs",
            format!("timeoutMs must be from 1 to {TIMEOUT_MAX_MS}"),
        )),
    }
}

pub(super) fn cancel_mode(request: &wire::CancelCommand) -> Result<CancelMode, Refused> {
    match request.mode.as_deref() {
        None | Some("graceful") => Ok(CancelMode::Graceful),
        Some("force") => Ok(CancelMode::Force),
        Some(_) => Err(Refused::invalid(
            "mode",
            "mode must be \"graceful\" or \"force\"",
        )),
    }
}

/// How file content stands in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Base64,
}

pub(super) fn encoding(given: Option<&str>) -> Result<Encoding, Refused> {
    match given {
        None | Some("utf8") => Ok(Encoding::Utf8),
        Some("base64") => Ok(Encoding::Base64),
        Some(_) => Err(Refused::of(
            Word::InvalidFileEncoding,
            "encoding",
            "encoding must be \"utf8\" or \"base64\"",
        )),
    }
}

/// Where and what to write.
pub(super) fn write_file(request: wire::WriteFile) -> Result<(WriteFile, Vec<u8>), Refused> {
    let content = match encoding(request.encoding.as_deref())? {
        Encoding::Utf8 => request.content.into_bytes(),
        Encoding::Base64 => BASE64.decode(&request.content).map_err(|_| {
            Refused::of(
                Word::InvalidFileEncoding,
                "content",
                "content is not valid base64",
            )
        })?,
    };
    if content.len() > FILE_MAX_BYTES {
        return Err(Refused::of(
            Word::FileTooLarge,
            "content",
            format!(
                "the content has {} bytes, at most {FILE_MAX_BYTES} fit; write larger files in a \
                 command",
                content.len()
            ),
        ));
    }
    let write = WriteFile {
        path: request.path,
        mode: None,
        parents: request.create_parents.unwrap_or(false),
        exclusive: !request.overwrite.unwrap_or(true),
        expect_bytes: Some(content.len() as u64),
        within: Some(WORKSPACE.to_owned()),
    };
    Ok((write, content))
}

pub(super) fn make_directory(request: wire::MakeDirectory) -> MakeDirectory {
    MakeDirectory {
        path: request.path,
        parents: request.parents.unwrap_or(false),
        mode: None,
        within: Some(WORKSPACE.to_owned()),
    }
}

pub(super) fn move_file(request: wire::MoveFile) -> MoveFile {
    MoveFile {
        from: request.from,
        to: request.to,
        overwrite: request.overwrite.unwrap_or(false),
        within: Some(WORKSPACE.to_owned()),
    }
}

pub(super) fn create_artifact(name: Option<String>) -> CreateObject {
    CreateObject {
        name,
        ..CreateObject::default()
    }
}

pub(super) fn create_preview(request: &wire::CreatePreview) -> Result<CreatePreview, Refused> {
    let access = match request.auth_mode.as_deref() {
        None | Some("authenticated") => PreviewAccess::Authenticated,
        Some("token") => PreviewAccess::Token,
        Some(_) => {
            return Err(Refused::of(
                Word::UnsupportedPreviewAuthMode,
                "authMode",
                "authMode must be \"authenticated\" or \"token\"",
            ));
        }
    };
    Ok(CreatePreview {
        port: pinfold_model::preview::port(request.port)?,
        access,
        expires_in: None,
    })
}

#[cfg(test)]
mod tests;
