//! `pinfold sandbox code`: code in a context that keeps its variables.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use pinfold_model::{ExitStatus, limits};
use pinfold_sdk::{Client, CodeEvent, CodeOutput, CodeRun, CodeRunState, RunCode};
use tokio::signal::unix::{SignalKind, signal};

use super::contexts::language;
use super::exec::id_of;
use crate::exit::Ending;
use crate::output::remark;
use crate::run::SIGINT;
use crate::values;

#[derive(Debug, Args)]
pub(crate) struct CodeArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// The file to run, or - for stdin [default: stdin]
    #[arg(value_name = "FILE", conflicts_with = "code")]
    file: Option<PathBuf>,

    /// The code itself
    #[arg(long, short = 'c', value_name = "CODE")]
    code: Option<String>,

    /// python, javascript or typescript [default: the context's, else python]
    #[arg(long, short, value_parser = language)]
    language: Option<pinfold_sdk::CodeLanguage>,

    /// Which context [default: the language's own]
    #[arg(long, value_name = "CONTEXT_ID")]
    context: Option<String>,

    /// Where this run takes place
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,

    /// Interrupt the run after this time, at most 10m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// Events as they happen, one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &Client, args: CodeArgs) -> Result<Ending> {
    let code = match &args.code {
        Some(code) => code.clone(),
        None => source(args.file.as_deref())?,
    };
    let request = RunCode {
        code,
        language: args.language,
        context_id: args.context,
        cwd: args.workdir,
        timeout_ms: args.timeout.map(values::milliseconds),
    };
    let sandbox = id_of(client, &args.sandbox).await?;
    let run = client.code().start(&sandbox, &request).await?;
    let mut events = client.code().stream(&run.id, 0);
    let mut presses = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
    let mut asked = Asked::Nothing;
    // A future does nothing before it is polled.
    let code = client.code();
    let interrupt = code.interrupt(&run.id);
    tokio::pin!(interrupt);
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            sent = &mut interrupt, if asked == Asked::Interrupt => {
                sent?;
                asked = Asked::Interrupted;
                continue;
            }
            _ = presses.recv() => {
                // Whoever presses again no longer wants to wait, for the run or for the server.
                if asked != Asked::Nothing {
                    return Ok(Ending::Command(ExitStatus::Signal(SIGINT)));
                }
                asked = Asked::Interrupt;
                continue;
            }
        };
        match event {
            Some(event) if args.json => {
                let ending = ending_of(&event);
                crate::output::line(&serde_json::to_string(&event)?)?;
                if let Some(ending) = ending {
                    return Ok(ending);
                }
            }
            Some(CodeEvent::Complete { run, .. }) => return Ok(ending(&run)),
            Some(event) => show(event)?,
            None => return Ok(Ending::Failed),
        }
    }
}

/// What became of Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// The run is about to be interrupted.
    Interrupt,
    /// The server has been told.
    Interrupted,
}

/// At most what a run may hold, and a byte more, so that the server can say what is wrong.
fn source(file: Option<&std::path::Path>) -> Result<String> {
    let most = limits::CODE_MAX_BYTES as u64 + 1;
    let mut text = String::new();
    match file {
        Some(path) if path.as_os_str() != "-" => {
            let shown = path.display();
            let file = std::fs::File::open(path).with_context(|| format!("cannot open {shown}"))?;
            let read = file.take(most).read_to_string(&mut text);
            read.with_context(|| format!("cannot read {shown}"))?;
        }
        _ => {
            let read = io::stdin().take(most).read_to_string(&mut text);
            read.context("cannot read stdin")?;
        }
    }
    Ok(text)
}

fn show(event: CodeEvent) -> Result<()> {
    match event {
        CodeEvent::Stdout { data, .. } => write(io::stdout(), &data),
        CodeEvent::Stderr { data, .. } => write(io::stderr(), &data),
        CodeEvent::Output { output, .. } => write(io::stdout(), &text_of(&output)),
        CodeEvent::Error { error, .. } => {
            let mut text = error.traceback;
            if text.is_empty() {
                text = format!("{}: {}\n", error.name, error.message);
            }
            write(io::stderr(), &text)
        }
        CodeEvent::Begun {
            restarted: true, ..
        } => {
            remark("pinfold: a fresh interpreter; variables of earlier runs are gone");
            Ok(())
        }
        CodeEvent::Truncated { .. } => {
            remark("pinfold: the output reached its bound; the rest is dropped");
            Ok(())
        }
        CodeEvent::Begun { .. } | CodeEvent::Complete { .. } => Ok(()),
    }
}

/// For a terminal: the text, and which other forms there are.
fn text_of(output: &CodeOutput) -> String {
    let text = output.data.get("text/plain").and_then(|text| text.as_str());
    let mut shown = text.map(str::to_owned).unwrap_or_default();
    let others: Vec<_> = output
        .data
        .keys()
        .map(String::as_str)
        .filter(|form| *form != "text/plain")
        .collect();
    if !others.is_empty() {
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(&format!("[also {}; see --json]", others.join(", ")));
    }
    for form in &output.rejected {
        shown.push_str(&format!("\n[no {}: {}]", form.format, form.reason));
    }
    shown.push('\n');
    shown
}

fn ending_of(event: &CodeEvent) -> Option<Ending> {
    match event {
        CodeEvent::Complete { run, .. } => Some(ending(run)),
        _ => None,
    }
}

fn ending(run: &CodeRun) -> Ending {
    match run.state {
        CodeRunState::Succeeded => Ending::Done,
        CodeRunState::TimedOut => Ending::TimedOut,
        _ => Ending::Failed,
    }
}

fn write(mut to: impl Write, text: &str) -> Result<()> {
    to.write_all(text.as_bytes())?;
    Ok(to.flush()?)
}
