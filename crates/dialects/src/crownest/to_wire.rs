//! From the engine's things to the vendor's. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinfold_engine::{
    FileEntry, FileKind, Link, Page, ProjectMonth, RunOutput, TextChunk, TextPage,
};
use pinfold_http::{BaseUrl, PreviewUrls};
use pinfold_model::collect::{CollectFailureKind, CollectReport};
use pinfold_model::command::CancelMode;
use pinfold_model::sandbox::EndReason;
use pinfold_model::{
    Command, CommandId, CommandState, Ctx, ExitStatus, Key, Object, Preview, Program, Project,
    Role, Sandbox, SandboxState, Time,
};

use super::errors::{Refused, Word};
use super::from_wire::{Encoding, WORKSPACE};
use super::ids::with_prefix;
use super::wire;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
/// One credit of the usage page is this much of one vCPU.
const UNIT_SECONDS_PER_CREDIT: u64 = 3600;

/// ISO 8601 in UTC with milliseconds.
pub(super) fn time(time: Time) -> String {
    format!("{time:.3}")
}

pub(super) fn page<T, W>(page: Page<T>, item: impl Fn(T) -> W) -> wire::Page<W> {
    wire::Page {
        data: page.items.into_iter().map(item).collect(),
        has_more: page.next.is_some(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }
}

pub(super) fn sandbox(ctx: &Ctx, sandbox: Sandbox) -> wire::Sandbox {
    let status = status(&sandbox);
    let destroyed = sandbox.state == SandboxState::Destroyed;
    let reason = sandbox.reason.unwrap_or(EndReason::Requested);
    let spec = sandbox.spec;
    // One that was made by other means has an image and no template.
    let image = spec.image.as_str();
    let (template_id, slug, version) = match spec.template {
        Some(origin) => (origin.id.into(), origin.name, origin.version),
        None => (with_prefix(image, "tpl"), spec.image_name, 1),
    };
    wire::Sandbox {
        id: sandbox.id.into(),
        org_id: ctx.principal.org.to_string(),
        project_id: sandbox.project.into(),
        status,
        template_id,
        template_slug: slug,
        template_version: version.to_string(),
        template_version_id: match spec.template_version {
            Some(id) => id.into(),
            None => with_prefix(image, "tplv"),
        },
        ttl_ms: sandbox
            .ttl
            .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        expires_at: sandbox.expires_at.map(time),
        metadata: spec.metadata,
        created_at: time(sandbox.created_at),
        destroyed_at: sandbox.ended_at.filter(|_| destroyed).map(time),
        destroyed_reason: destroyed.then(|| destroyed_reason(reason)),
    }
}

/// `ready` is one that nothing was done in yet.
fn status(sandbox: &Sandbox) -> &'static str {
    match sandbox.state {
        SandboxState::Creating => "creating",
        SandboxState::Running if sandbox.running_commands > 0 => "running",
        SandboxState::Running if Some(sandbox.last_active_at) == sandbox.running_since => "ready",
        SandboxState::Running | SandboxState::Suspended | SandboxState::Stopped => "idle",
        SandboxState::Failed => "failed",
        SandboxState::Destroyed => "destroyed",
    }
}

const fn destroyed_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Requested => "user_killed",
        EndReason::TtlExpired => "ttl_expired",
        EndReason::IdleExpired => "idle_expired",
        EndReason::BootFailed | EndReason::Lost | EndReason::OutOfMemory => "platform_cleanup",
    }
}

/// A command without what it wrote.
pub(super) fn command(command: Command) -> wire::Command {
    let state = command.state;
    let cancelled = matches!(state, CommandState::Cancelled(_));
    let began = command.started_at;
    let duration = began.zip(command.ended_at);
    wire::Command {
        id: command.id.into(),
        sandbox_id: command.sandbox.into(),
        command: match command.spec.program {
            Program::Shell(line) => line,
            Program::Argv(argv) => argv.join(" "),
        },
        cwd: shown_path(&command.spec.cwd.unwrap_or_default()),
        // Values are never shown, and a name without its value says nothing.
        env: BTreeMap::new(),
        status: command_status(state),
        exit_code: state.exit_status().map(ExitStatus::shell_code),
        stdout: None,
        stderr: None,
        stdout_truncated: None,
        stderr_truncated: None,
        started_at: began.map(time),
        finished_at: command.ended_at.map(time),
        duration_ms: duration.map(|(from, to)| millis_between(from, to)),
        cancel_mode: command.cancel.map(cancel_mode),
        canceled_at: command.ended_at.filter(|_| cancelled).map(time),
        termination_signal: termination_signal(state, command.cancel),
        killed_reason: (state == CommandState::Killed).then_some("sandbox_destroyed"),
        collect_status: match command.spec.collect {
            Some(_) => "pending",
            None => "not_requested",
        },
        collect_errors: Vec::new(),
    }
}

/// A command and what it wrote, once it has ended.
pub(super) fn command_with_output(output: RunOutput) -> wire::Command {
    let ended = output.command.state.is_terminal();
    let mut shown = command(output.command);
    if let Some(report) = output.collect {
        (shown.collect_status, shown.collect_errors) = collected(report);
    }
    if ended {
        shown.stdout = Some(text(output.stdout, output.stdout_truncated));
        shown.stderr = Some(text(output.stderr, output.stderr_truncated));
        shown.stdout_truncated = Some(output.stdout_truncated);
        shown.stderr_truncated = Some(output.stderr_truncated);
    }
    shown
}

fn collected(report: CollectReport) -> (&'static str, Vec<wire::CollectError>) {
    let (stored, failed) = match report {
        CollectReport::Skipped => return ("skipped", Vec::new()),
        CollectReport::Done { stored, failed } => (stored, failed),
    };
    let status = match (stored, failed.is_empty()) {
        (_, true) => "succeeded",
        (0, false) => "failed",
        (_, false) => "partial",
    };
    let errors = failed.into_iter().map(|failure| wire::CollectError {
        code: match failure.kind {
            CollectFailureKind::NotFound => Word::FileNotFound.as_str(),
            CollectFailureKind::Outside => Word::PathOutsideWorkspace.as_str(),
            CollectFailureKind::Failed => "artifact_collect_failed",
        },
        message: failure.message,
        path: failure.path,
    });
    (status, errors.collect())
}

/// What start answers: the command as it was accepted, however far it has come.
pub(super) fn accepted(mut accepted: Command) -> wire::Command {
    accepted.state = CommandState::Starting;
    accepted.started_at = None;
    accepted.ended_at = None;
    accepted.cancel = None;
    command(accepted)
}

const fn command_status(state: CommandState) -> &'static str {
    match state {
        CommandState::Queued => "queued",
        CommandState::Starting => "starting",
        CommandState::Running => "running",
        CommandState::Exited(_) => "exited",
        CommandState::Cancelled(_) => "canceled",
        CommandState::TimedOut(_) => "timed_out",
        CommandState::Killed => "killed",
        CommandState::Lost => "failed",
    }
}

const fn cancel_mode(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::Graceful => "graceful",
        CancelMode::Force => "force",
    }
}

/// The signal that ended it, where we sent one: what it died of, else what it was sent.
fn termination_signal(state: CommandState, cancel: Option<CancelMode>) -> Option<&'static str> {
    match state {
        CommandState::Cancelled(ExitStatus::Signal(SIGKILL)) | CommandState::TimedOut(_) => {
            Some("SIGKILL")
        }
        CommandState::Cancelled(ExitStatus::Signal(SIGTERM)) => Some("SIGTERM"),
        CommandState::Cancelled(_) => Some(match cancel {
            Some(CancelMode::Force) => "SIGKILL",
            Some(CancelMode::Graceful) | None => "SIGTERM",
        }),
        _ => None,
    }
}

fn millis_between(from: Time, to: Time) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}

/// What is no UTF-8 is shown as U+FFFD; a character that the cap has cut is left out.
fn text(mut bytes: Vec<u8>, truncated: bool) -> String {
    if truncated
        && let Some(last) = bytes.utf8_chunks().last()
        && std::str::from_utf8(last.invalid()).is_err_and(|error| error.error_len().is_none())
    {
        bytes.truncate(bytes.len() - last.invalid().len());
    }
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

pub(super) fn logs(id: &CommandId, page: TextPage) -> wire::LogPage {
    let next = page.chunks.last().map(|chunk| chunk.seq);
    wire::LogPage {
        data: page
            .chunks
            .into_iter()
            .map(|chunk| log_chunk(id, chunk))
            .collect(),
        has_more: page.more,
        next_seq: next.filter(|_| page.more),
    }
}

fn log_chunk(id: &CommandId, chunk: TextChunk) -> wire::LogChunk {
    wire::LogChunk {
        command_id: id.to_string(),
        created_at: time(chunk.time),
        data: chunk.text,
        seq: chunk.seq,
        stream: chunk.stream.as_str(),
    }
}

pub(super) fn log_event(chunk: TextChunk) -> wire::StreamEvent {
    wire::StreamEvent::Log {
        created_at: time(chunk.time),
        data: chunk.text,
        seq: chunk.seq,
        stream: chunk.stream.as_str(),
    }
}

/// A file by itself: its path says its name.
pub(super) fn file(entry: &FileEntry) -> wire::FileStat {
    wire::FileStat {
        path: shown_path(&entry.path),
        kind: file_kind(entry.kind),
        size_bytes: entry.size_bytes,
        modified_at: time(entry.modified_at),
        name: None,
    }
}

/// An entry of a directory.
pub(super) fn directory_entry(entry: &FileEntry) -> wire::FileStat {
    wire::FileStat {
        name: Some(entry.name.clone()),
        ..file(entry)
    }
}

/// The vendor knows two kinds; a link that leads nowhere, a pipe or a socket is no directory.
const fn file_kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Directory => "directory",
        FileKind::File | FileKind::Symlink | FileKind::Other => "file",
    }
}

pub(super) fn content(
    entry: &FileEntry,
    bytes: Vec<u8>,
    encoding: Encoding,
) -> Result<wire::FileContent, Refused> {
    let size_bytes = bytes.len() as u64;
    let (encoding, content) = match encoding {
        Encoding::Base64 => ("base64", BASE64.encode(bytes)),
        Encoding::Utf8 => match String::from_utf8(bytes) {
            Ok(text) => ("utf8", text),
            Err(_) => {
                return Err(Refused::new(
                    Word::InvalidFileEncoding,
                    "the file is not valid UTF-8; read it with encoding \"base64\"",
                ));
            }
        },
    };
    Ok(wire::FileContent {
        path: shown_path(&entry.path),
        size_bytes,
        encoding,
        content,
    })
}

/// An absolute path without `.`, `..` and doubled slashes, as the vendor shows paths. By its names
/// alone: it is for people to read, and nothing is opened by it.
fn shown_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { WORKSPACE };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// An object that was copied from a sandbox; others are no artifacts.
pub(super) fn artifact(ctx: &Ctx, object: Object) -> Result<wire::Artifact, Refused> {
    let id = with_prefix(object.id.as_str(), "art");
    let source = object.source;
    let source = source.ok_or_else(|| Refused::no("artifact", &id))?;
    Ok(wire::Artifact {
        org_id: ctx.principal.org.to_string(),
        object_key: format!("artifacts/{id}"),
        id,
        project_id: object.project.into(),
        sandbox_id: source.sandbox.into(),
        name: object.name,
        size_bytes: object.size_bytes.unwrap_or(0),
        source_path: shown_path(&source.path),
        content_type: object.content_type,
        created_at: time(object.created_at),
        deleted_at: object.deleted_at.map(time),
        retention_expires_at: object.expires_at.map(time),
    })
}

pub(super) fn artifacts(
    ctx: &Ctx,
    found: Page<Object>,
) -> Result<wire::Page<wire::Artifact>, Refused> {
    let items = found.items.into_iter().map(|object| artifact(ctx, object));
    let shown = Page {
        items: items.collect::<Result<_, _>>()?,
        next: found.next,
    };
    Ok(page(shown, |artifact| artifact))
}

/// Relative to the dialect's own base.
pub(super) fn download_url(base: &BaseUrl, link: &Link) -> wire::DownloadUrl {
    wire::DownloadUrl {
        url: format!("{base}/crownest/v1/signed/{}", link.token),
        method: "GET",
        headers: None,
        auth_mode: "api_key",
    }
}

pub(super) fn preview(ctx: &Ctx, preview: Preview, urls: &PreviewUrls) -> wire::Preview {
    wire::Preview {
        // Callers of this vendor put a path with its own slash behind it.
        url: urls.of(&preview.slug).trim_end_matches('/').to_owned(),
        slug: preview.slug.to_string(),
        id: preview.id.into(),
        org_id: ctx.principal.org.to_string(),
        project_id: preview.project.into(),
        sandbox_id: preview.sandbox.into(),
        port: preview.port,
        auth_mode: preview.access.as_str(),
        created_at: time(preview.created_at),
        expires_at: preview.expires_at.map(time),
        revoked_at: preview.revoked_at.map(time),
    }
}

pub(super) fn project(project: Project) -> wire::Project {
    wire::Project {
        id: project.id.into(),
        org_id: project.org.into(),
        name: project.name,
        created_at: time(project.created_at),
    }
}

pub(super) fn api_key(key: Key) -> wire::ApiKey {
    wire::ApiKey {
        created_by_user_id: with_prefix(key.id.as_str(), "usr"),
        id: key.id.into(),
        org_id: key.org.into(),
        name: key.name,
        prefix: key.prefix,
        last4: key.suffix,
        project_ids: vec![key.project.into()],
        scopes: scopes(key.role).to_vec(),
        created_at: time(key.created_at),
        revoked_at: key.revoked_at.map(time),
        last_used_at: key.last_used_at.map(time),
    }
}

/// What the roles of this server allow, in the vendor's words.
const fn scopes(role: Role) -> &'static [&'static str] {
    const ADMIN: [&str; 15] = [
        "sandboxes:read",
        "sandboxes:write",
        "commands:read",
        "commands:write",
        "files:read",
        "files:write",
        "artifacts:read",
        "artifacts:write",
        "previews:read",
        "previews:write",
        "projects:read",
        "usage:read",
        "projects:write",
        "api_keys:read",
        "api_keys:write",
    ];
    match role {
        Role::Admin => &ADMIN,
        Role::Member => ADMIN.split_at(12).0,
    }
}

pub(super) fn usage(month: &ProjectMonth) -> wire::Usage {
    let used = month.used;
    let current = used.live_sandboxes;
    let quota = month.project.quota.live_sandboxes.map(|limit| wire::Quota {
        limit: limit.into(),
        current,
        remaining: u64::from(limit).saturating_sub(current),
    });
    wire::Usage {
        period: wire::Period {
            start: time(month.month.begin),
            end: time(month.month.end),
            reset_at: time(month.month.end),
        },
        pricing_version: "self-hosted",
        compute_unit_seconds_per_credit: UNIT_SECONDS_PER_CREDIT,
        currency_per_credit: 0.0,
        compute_unit_seconds: wire::Used {
            used: used.vcpu_seconds,
        },
        credits: wire::Used {
            used: used.vcpu_seconds / UNIT_SECONDS_PER_CREDIT as f64,
        },
        quotas: quota
            .map(|quota| ("concurrentSandboxes", quota))
            .into_iter()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::{CommandSpec, ProjectId, Purpose, SandboxId};

    fn ended(state: CommandState, cancel: Option<CancelMode>) -> wire::Command {
        command(Command {
            id: CommandId::generate(),
            sandbox: SandboxId::generate(),
            project: ProjectId::generate(),
            purpose: Purpose::Command,
            spec: CommandSpec::new(Program::Shell("true".into())),
            state,
            cancel,
            created_at: Time::UNIX_EPOCH,
            started_at: Some(Time::UNIX_EPOCH),
            ended_at: Some(Time::UNIX_EPOCH + std::time::Duration::from_micros(1_500_700)),
            last_seq: None,
            truncated: false,
        })
    }

    #[test]
    fn endings_have_the_vendors_words() {
        let shown = ended(CommandState::Exited(ExitStatus::Code(3)), None);
        assert_eq!((shown.status, shown.exit_code), ("exited", Some(3)));
        assert_eq!(
            (shown.duration_ms, shown.termination_signal),
            (Some(1500), None)
        );
        assert_eq!(
            (shown.cwd.as_str(), shown.collect_status),
            ("/workspace", "not_requested")
        );
        let shown = ended(CommandState::Exited(ExitStatus::Signal(11)), None);
        assert_eq!((shown.status, shown.exit_code), ("exited", Some(139)));
        let forced = ended(
            CommandState::Cancelled(ExitStatus::Signal(9)),
            Some(CancelMode::Force),
        );
        assert_eq!(
            (forced.status, forced.termination_signal),
            ("canceled", Some("SIGKILL"))
        );
        assert!(forced.canceled_at.is_some() && forced.cancel_mode == Some("force"));
        let gentle = ended(
            CommandState::Cancelled(ExitStatus::Code(0)),
            Some(CancelMode::Graceful),
        );
        assert_eq!(
            (gentle.exit_code, gentle.termination_signal),
            (Some(0), Some("SIGTERM"))
        );
        let killed = ended(CommandState::Killed, None);
        assert_eq!((killed.status, killed.exit_code), ("killed", None));
        assert_eq!(killed.killed_reason, Some("sandbox_destroyed"));
        assert_eq!(ended(CommandState::Lost, None).status, "failed");
        let late = ended(CommandState::TimedOut(ExitStatus::Signal(9)), None);
        assert_eq!(
            (late.status, late.termination_signal),
            ("timed_out", Some("SIGKILL"))
        );
        assert_eq!(late.canceled_at, None);
    }

    #[test]
    fn paths_are_shown_without_detours() {
        for (path, shown) in [
            ("", "/workspace"),
            ("a//b/./c/../d/", "/workspace/a/b/d"),
            ("/workspace/./x", "/workspace/x"),
            ("../../..", "/"),
            ("/tmp", "/tmp"),
        ] {
            assert_eq!(shown_path(path), shown);
        }
    }

    #[test]
    fn a_cap_within_a_character_leaves_no_mark() {
        let bytes = "aé".as_bytes();
        assert_eq!(text(bytes[..2].to_vec(), true), "a");
        assert_eq!(text(bytes[..2].to_vec(), false), "a\u{fffd}");
        assert_eq!(text(bytes.to_vec(), true), "aé");
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time(Time::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn every_reason_of_an_end_is_one_of_the_vendors() {
        let known = [
            "user_killed",
            "ttl_expired",
            "idle_expired",
            "platform_cleanup",
        ];
        for reason in EndReason::ALL {
            assert!(known.contains(&destroyed_reason(reason)));
        }
    }
}
