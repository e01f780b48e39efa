//! Code contexts, and what runs of code tell.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pinfold_engine::{CodeError, CodeOutput, CodeRun, CodeRunState, RejectedForm};
use pinfold_model::CodeContext;
use serde_json::Value;

use super::file::shown_path;
use super::time;
use crate::crownest::wire::{self, RejectedReason};

const TEXT: &str = "text/plain";

pub(in crate::crownest) fn context(context: CodeContext) -> wire::CodeContext {
    wire::CodeContext {
        id: context.id.into(),
        sandbox_id: context.sandbox.into(),
        language: context.language.as_str(),
        cwd: shown_path(&context.cwd),
        is_default: context.is_default,
        created_at: time(context.created_at),
        expires_at: time(context.expires_at),
    }
}

/// A run that has ended, with its outputs as they are to be shown.
pub(in crate::crownest) fn code_run(run: CodeRun, outputs: Vec<wire::CodeOutput>) -> wire::CodeRun {
    wire::CodeRun {
        sandbox_id: run.sandbox.into(),
        context_id: run.context.into(),
        language: run.language.as_str(),
        execution_count: run.execution_count.unwrap_or(0),
        stdout: run.stdout,
        stderr: run.stderr,
        stdout_truncated: run.truncated,
        stderr_truncated: run.truncated,
        outputs,
        error: code_error(run.error, run.state),
        duration_ms: run.duration.map(|took| took.as_secs_f64() * 1000.0),
    }
}

/// A run has no status here: that it did not come to its own end is told by its error alone, also
/// where the code swallowed the interrupt and raised nothing.
pub(in crate::crownest) fn code_error(
    error: Option<CodeError>,
    state: CodeRunState,
) -> Option<wire::CodeError> {
    let (name, message) = match (state, &error) {
        (CodeRunState::TimedOut, _) => (
            "TimeoutError",
            "the run took longer than its timeout and was interrupted",
        ),
        (CodeRunState::Interrupted, None) => ("Interrupted", "the run was interrupted"),
        _ => return error.map(|error| shown(error.name, error.message, &error.traceback)),
    };
    let (said, traceback) = error.map_or_else(Default::default, |e| (e.message, e.traceback));
    // Words without a traceback are the platform's: whether it began, and that variables are gone.
    let message = match traceback.is_empty() && !said.is_empty() {
        true => said,
        false => message.to_owned(),
    };
    Some(shown(name.to_owned(), message, &traceback))
}

fn shown(name: String, message: String, traceback: &str) -> wire::CodeError {
    let traceback = traceback.lines().map(str::to_owned).collect();
    wire::CodeError {
        name,
        message,
        traceback,
    }
}

/// A form of an output: ready to be shown, or to be promoted first.
#[derive(Debug, PartialEq)]
pub(in crate::crownest) enum Form {
    Shown(wire::CodeOutput),
    Promotable(Promotable),
}

/// A form that does not stand in an answer and may become an artifact.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::crownest) struct Promotable {
    pub(in crate::crownest) format: &'static str,
    pub(in crate::crownest) media: &'static str,
    pub(in crate::crownest) bytes: Vec<u8>,
}

/// Every form in which a value was offered, the plain text first: each is an output of its own.
pub(in crate::crownest) fn forms(output: CodeOutput) -> Vec<Form> {
    let CodeOutput {
        mut data,
        truncated,
        rejected,
        is_result: _,
    } = output;
    let text = data.remove_entry(TEXT);
    let offered = text.into_iter().chain(data);
    let offered = offered.map(|(media, value)| {
        let cut = truncated.contains(&media);
        form(&media, value, cut)
    });
    let rejected = rejected.into_iter().map(refused);
    offered.chain(rejected).collect()
}

fn form(media: &str, value: Value, truncated: bool) -> Form {
    if let Some(format) = inline_format(media) {
        return Form::Shown(wire::CodeOutput::Inline {
            format,
            value,
            truncated,
        });
    }
    let Some((format, media_type)) = promotable_format(media) else {
        return rejected(media, reason_of(media));
    };
    let bytes = match value {
        Value::String(text) if matches!(format, "png" | "jpeg") => BASE64.decode(text).ok(),
        Value::String(text) => Some(text.into_bytes()),
        _ => None,
    };
    match bytes {
        Some(bytes) => Form::Promotable(Promotable {
            format,
            media: media_type,
            bytes,
        }),
        // What the code calls by that name is something else.
        None => rejected(media, RejectedReason::UnsupportedFormat),
    }
}

fn rejected(media: &str, reason: RejectedReason) -> Form {
    Form::Shown(wire::CodeOutput::Rejected {
        format: format_of(media),
        reason,
    })
}

fn refused(form: RejectedForm) -> Form {
    let reason = match form.too_large {
        true => RejectedReason::OutputTooLarge,
        false => RejectedReason::UnsupportedFormat,
    };
    rejected(&form.format, reason)
}

/// The vendor's name of a form that stands in an answer.
fn inline_format(media: &str) -> Option<&'static str> {
    Some(match media {
        TEXT => "text",
        "text/markdown" => "markdown",
        "text/latex" => "latex",
        "text/csv" => "data",
        "application/json" => "json",
        chart if is_chart(chart) => "chart",
        json if json.ends_with("+json") => "data",
        _ => return None,
    })
}

/// Descriptions of charts as Plotly, Vega and Vega-Lite offer them.
fn is_chart(media: &str) -> bool {
    let kinds = ["plotly.", "vega.", "vegalite."];
    media.ends_with("+json")
        && media
            .strip_prefix("application/vnd.")
            .is_some_and(|rest| kinds.iter().any(|kind| rest.starts_with(kind)))
}

/// The vendor's name and the media type of a form that may become an artifact.
fn promotable_format(media: &str) -> Option<(&'static str, &'static str)> {
    Some(match media {
        "image/png" => ("png", "image/png"),
        "image/jpeg" => ("jpeg", "image/jpeg"),
        "image/svg+xml" => ("svg", "image/svg+xml"),
        "text/html" => ("html", "text/html"),
        _ => return None,
    })
}

fn reason_of(media: &str) -> RejectedReason {
    match media {
        "application/javascript" | "text/javascript" => RejectedReason::UnsafeActiveContent,
        _ => RejectedReason::UnsupportedFormat,
    }
}

/// The vendor's name where it has one, else what stands behind the slash.
fn format_of(media: &str) -> String {
    let known = inline_format(media).or(promotable_format(media).map(|(format, _)| format));
    let plain = media.rsplit('/').next().unwrap_or(media);
    known.unwrap_or(plain).to_owned()
}

#[cfg(test)]
mod tests;
