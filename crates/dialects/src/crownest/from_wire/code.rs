//! Code contexts and runs of code.

use pinfold_engine::{CreateCodeContext, RunCode};
use pinfold_model::{CodeLanguage, limits};

use super::{TIMEOUT_DEFAULT, WORKSPACE, timeout};
use crate::crownest::errors::{Refused, Word};
use crate::crownest::{ids, wire};

pub(in crate::crownest) fn create_context(
    request: wire::CreateContext,
) -> Result<CreateCodeContext, Refused> {
    let language = language(request.language.as_deref())?.unwrap_or(CodeLanguage::Python);
    Ok(CreateCodeContext {
        cwd: cwd(request.cwd),
        cwd_within: Some(WORKSPACE.to_owned()),
        timeout: timeout(request.timeout_ms)?.or(Some(TIMEOUT_DEFAULT)),
        ..CreateCodeContext::new(language)
    })
}

pub(in crate::crownest) fn run_code(request: wire::RunCode) -> Result<RunCode, Refused> {
    if request.code.len() > limits::CODE_MAX_BYTES {
        return Err(Refused::of(
            Word::CodeSourceTooLarge,
            "code",
            format!(
                "code may have at most {} bytes; write more to a file and run that",
                limits::CODE_MAX_BYTES
            ),
        ));
    }
    let context = request.context_id.as_deref().map(ids::code_context);
    let context = context.transpose()?;
    let language = match language(request.language.as_deref())? {
        // The SDK says so whenever its caller names no language: then the context's is meant.
        Some(CodeLanguage::Python) if context.is_some() => None,
        language => language,
    };
    Ok(RunCode {
        language,
        cwd: cwd(request.cwd),
        cwd_within: Some(WORKSPACE.to_owned()),
        // A context has a timeout of its own for runs that name none.
        timeout: timeout(request.timeout_ms)?.or(match context {
            Some(_) => None,
            None => Some(TIMEOUT_DEFAULT),
        }),
        context,
        keeps: promotes(request.artifact_policy.as_deref())?,
        ..RunCode::new(request.code)
    })
}

fn language(given: Option<&str>) -> Result<Option<CodeLanguage>, Refused> {
    Ok(given.map(str::parse).transpose()?)
}

fn cwd(given: Option<String>) -> Option<String> {
    given.filter(|cwd| !cwd.is_empty())
}

/// Whether outputs that do not stand in an answer become artifacts.
fn promotes(policy: Option<&str>) -> Result<bool, Refused> {
    match policy {
        None | Some("inline_only") => Ok(false),
        Some("promote") => Ok(true),
        Some(_) => Err(Refused::invalid(
            "artifactPolicy",
            "artifactPolicy must be \"inline_only\" or \"promote\"",
        )),
    }
}
