//! Runs of code as a tool: interpreters that keep their variables.

use pinfold_sdk::{
    Client, CodeError, CodeEvent, CodeLanguage, CodeOutput, CodeRun, CodeRunState, Error, RunCode,
    StreamName,
};
use rmcp::RoleServer;
use rmcp::model::ContentBlock;
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::RequestContext;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::answer::{Answer, Failure, Told};
use crate::arguments as args;
use crate::output::{Gathered, boundary};
use crate::progress::Progress;

/// Of each textual form of a value.
const FORM_MAX_BYTES: usize = 16 << 10;
/// Of all values and pictures of one answer.
const VALUES_MAX: usize = 32;
/// Pictures that models can see.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Of all pictures of one answer, as base64.
const PICTURES_MAX_BYTES: usize = 8 << 20;

/// How a run of code ended and what it told.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CodeFacts {
    run_id: String,
    /// The interpreter, for the next run.
    context_id: String,
    /// succeeded, failed (it raised), interrupted, timed_out, died or lost
    state: String,
    /// It began in a fresh interpreter: variables of earlier runs were gone.
    restarted: bool,
    stdout: String,
    stderr: String,
    /// Some of what was written is not here.
    truncated: bool,
    /// Values by media type, as text or JSON; pictures are in the answer as images.
    values: Vec<Map<String, Value>>,
    error: Option<ErrorFacts>,
}

/// What the code raised, or why it could not go on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorFacts {
    name: String,
    message: String,
    traceback: String,
}

/// An interpreter with no variables.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ContextFacts {
    context_id: String,
    language: String,
    cwd: String,
}

/// Runs code to its end; cancelling the call interrupts it.
pub(crate) async fn run(
    client: &Client,
    wanted: args::RunCode,
    context: &RequestContext<RoleServer>,
) -> Answer {
    let request = RunCode {
        code: wanted.code,
        language: wanted.language.map(CodeLanguage::from),
        context_id: wanted.context_id,
        cwd: None,
        timeout_ms: wanted
            .timeout_seconds
            .map(|seconds| seconds.saturating_mul(1000)),
    };
    let run = client.code().start(&wanted.sandbox_id, &request).await?;
    let mut progress = Progress::of(context);
    let followed = tokio::select! {
        followed = follow(client, &run.id, &mut progress) => followed,
        () = context.ct.cancelled() => return Err(interrupted(client, &run.id).await),
    };
    let (gathered, run) = followed?;
    Ok(told(&gathered, run))
}

/// Gives a context a fresh interpreter.
pub(crate) async fn restart(client: &Client, wanted: args::RestartCode) -> Answer {
    let context = client.code().restart_context(&wanted.context_id).await?;
    let text = format!("{} begins afresh, without variables", context.id);
    let facts = ContextFacts {
        context_id: context.id,
        language: context.language.to_string(),
        cwd: context.cwd,
    };
    Ok(Told::new(text, &facts))
}

/// To the run's end; what it writes is told on the way where the caller wants that.
async fn follow(
    client: &Client,
    id: &str,
    progress: &mut Progress,
) -> Result<(Gathered, CodeRun), Error> {
    let mut events = client.code().stream(id, 0);
    let mut gathered = Gathered::both_ends();
    while let Some(event) = events.next().await? {
        let (seq, stream, data) = match event {
            CodeEvent::Stdout { seq, data } => (seq, StreamName::Stdout, data),
            CodeEvent::Stderr { seq, data } => (seq, StreamName::Stderr, data),
            CodeEvent::Truncated { .. } => {
                gathered.capped = true;
                continue;
            }
            CodeEvent::Complete { run, .. } => return Ok((gathered, *run)),
            CodeEvent::Begun { .. } | CodeEvent::Output { .. } | CodeEvent::Error { .. } => {
                continue;
            }
        };
        gathered.push_bytes(seq, stream, data.as_bytes());
        progress.wrote(stream, data.as_bytes()).await;
    }
    let run = client.code().get(id).await?;
    Ok((gathered, run))
}

/// Ends what nobody waits for any more; its variables are kept.
async fn interrupted(client: &Client, id: &str) -> Failure {
    match client.code().interrupt(id).await {
        Ok(_) => Failure::new("cancelled", format!("cancelled; {id} was interrupted")),
        Err(error) => error.into(),
    }
}

fn told(gathered: &Gathered, run: CodeRun) -> Told {
    let mut text = gathered.text();
    let mut pictures = Vec::new();
    let mut room = PICTURES_MAX_BYTES;
    let mut values = Vec::new();
    for output in run.outputs.iter().take(VALUES_MAX) {
        match picture(output) {
            Some((media_type, data)) if data.len() <= room => {
                room -= data.len();
                pictures.push(ContentBlock::image(data, media_type));
            }
            Some((media_type, _)) => line(
                &mut text,
                &format!(
                    "[a picture ({media_type}) is too large for an answer: save it as a file]"
                ),
            ),
            None => {}
        }
        for form in &output.rejected {
            let words = format!("[{} is not here: {}]", form.format, form.reason);
            line(&mut text, &words);
        }
        if let Some(plain) = output.data.get("text/plain").and_then(Value::as_str) {
            line(&mut text, &cut(plain));
        }
        values.push(forms(output));
    }
    if run.outputs.len() > VALUES_MAX {
        line(
            &mut text,
            &format!("[only the first {VALUES_MAX} values are here]"),
        );
    }
    if let Some(error) = &run.error {
        let CodeError {
            name,
            message,
            traceback,
        } = error;
        let words = format!("{name}: {}", cut(message));
        line(
            &mut text,
            &if traceback.is_empty() {
                words
            } else {
                cut(traceback)
            },
        );
    }
    if gathered.capped {
        line(&mut text, "[the code wrote more than the server keeps]");
    }
    line(&mut text, &ending(&run));
    let facts = CodeFacts {
        state: run.state.to_string(),
        restarted: run.restarted,
        stdout: gathered.of(StreamName::Stdout),
        stderr: gathered.of(StreamName::Stderr),
        truncated: gathered.left_out() > 0 || gathered.capped,
        values,
        error: run.error.map(ErrorFacts::from),
        run_id: run.id,
        context_id: run.context_id,
    };
    let mut told = Told::new(text, &facts);
    told.content.extend(pictures);
    told
}

fn ending(run: &CodeRun) -> String {
    let mut words = format!("[{} {}", run.id, run.state);
    if run.restarted {
        words.push_str(", in a fresh interpreter: variables of earlier runs were gone");
    }
    if run.state_kept == Some(false) && run.state != CodeRunState::Queued {
        words.push_str("; its variables are lost");
    }
    words.push(']');
    words
}

/// Appends a line.
fn line(text: &mut String, words: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(words);
}

fn picture(output: &CodeOutput) -> Option<(&'static str, &str)> {
    PICTURES.into_iter().find_map(|media_type| {
        let data = output.data.get(media_type)?.as_str()?;
        Some((media_type, data))
    })
}

/// The forms that are text or JSON; those over their bound are cut or, where that would break them,
/// said to be left out.
fn forms(output: &CodeOutput) -> Map<String, Value> {
    let readable = |(media_type, form): (&String, &Value)| {
        let shown = match form {
            _ if media_type.starts_with("image/") && media_type != "image/svg+xml" => return None,
            Value::String(text) => Value::String(cut(text)),
            form if form.to_string().len() > FORM_MAX_BYTES => {
                Value::String(format!("[more than {FORM_MAX_BYTES} bytes: not here]"))
            }
            form => form.clone(),
        };
        Some((media_type.clone(), shown))
    };
    output.data.iter().filter_map(readable).collect()
}

fn cut(text: &str) -> String {
    if text.len() <= FORM_MAX_BYTES {
        return text.to_owned();
    }
    let at = boundary(text.as_bytes(), FORM_MAX_BYTES);
    format!("{}[... {} bytes left out]", &text[..at], text.len() - at)
}

impl From<args::Language> for CodeLanguage {
    fn from(language: args::Language) -> Self {
        match language {
            args::Language::Python => Self::Python,
            args::Language::Javascript => Self::Javascript,
            args::Language::Typescript => Self::Typescript,
        }
    }
}

impl From<CodeError> for ErrorFacts {
    fn from(error: CodeError) -> Self {
        Self {
            name: error.name,
            message: cut(&error.message),
            traceback: cut(&error.traceback),
        }
    }
}
