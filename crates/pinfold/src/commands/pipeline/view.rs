//! How a run is shown: the steps' output on our stdout and stderr, what is said about the steps on
//! stderr; or events as JSON on stdout.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use pinfold_model::Time;
use pinfold_sdk::{
    PipelineEvent, PipelineRun, PipelineRunState, PipelineStep, PipelineStepState, StreamName,
};

use super::status::Status;
use crate::output::{json_line, printable, remark};

/// What people or programs want to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Text,
    Json,
}

pub(crate) struct View {
    shown: Shown,
    step_count: u32,
    /// Where stderr is a terminal.
    status: Option<Status>,
    colour: bool,
    /// The step that runs, as it is named on its line.
    running: Option<String>,
    /// Nothing stands behind the last line break of what was written.
    at_line_start: bool,
}

impl View {
    pub(crate) fn new(shown: Shown, step_count: u32) -> Self {
        let terminal = shown == Shown::Text && io::stderr().is_terminal();
        Self {
            shown,
            step_count,
            status: terminal.then(Status::new),
            colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
            running: None,
            at_line_start: true,
        }
    }

    /// Whether [`View::tick`] has something to draw.
    pub(super) fn is_live(&self) -> bool {
        self.status.is_some()
    }

    pub(super) fn tick(&mut self) {
        if let (Some(status), true) = (&mut self.status, self.at_line_start) {
            status.draw(self.running.as_deref().unwrap_or("making the sandbox"));
        }
    }

    pub(super) fn clear(&mut self) {
        if let Some(status) = &mut self.status {
            status.clear();
        }
    }

    pub(super) fn remark(&mut self, text: &str) {
        if self.shown == Shown::Text {
            self.say(text);
        }
    }

    /// # Errors
    /// Where our stdout cannot be written any more.
    pub(super) fn show(&mut self, event: &PipelineEvent) -> Result<()> {
        if self.shown == Shown::Json {
            return json_line(event);
        }
        match event {
            PipelineEvent::StepStarted { step, name, .. } => {
                let line = format!("{} {}", self.number(*step), printable(name));
                self.say(&self.painted("1", &line));
                self.running = Some(line);
                if let Some(status) = &mut self.status {
                    status.restart();
                }
            }
            PipelineEvent::Output {
                stream,
                encoding,
                data,
                ..
            } => self.pass(*stream, &encoding.decode(data.clone())?)?,
            PipelineEvent::Truncated { step, .. } => {
                let number = self.number(*step);
                self.say(&format!("{number} the rest of its output was not kept"));
            }
            PipelineEvent::StepEnded { result, .. } => self.step_ended(result),
            PipelineEvent::Ended { run, .. } => self.ended(run),
        }
        Ok(())
    }

    fn pass(&mut self, stream: StreamName, bytes: &[u8]) -> Result<()> {
        self.clear();
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        match stream {
            StreamName::Stderr => write(io::stderr(), bytes),
            StreamName::Stdout | StreamName::Unknown => write(io::stdout(), bytes),
        }
    }

    fn step_ended(&mut self, step: &PipelineStep) {
        self.running = None;
        let number = self.number(step.index);
        let took = took(step);
        let line = match step.state {
            PipelineStepState::Passed => self.painted("32", &format!("{number} passed{took}")),
            PipelineStepState::Skipped => {
                format!("{number} skipped: {}", printable(&step.name))
            }
            _ => {
                let code = step.exit_code.map(|code| format!(" with code {code}"));
                let code = code.unwrap_or_default();
                let on = if step.continue_on_error {
                    ", going on"
                } else {
                    ""
                };
                self.painted("31", &format!("{number} failed{code}{took}{on}"))
            }
        };
        self.say(&line);
    }

    fn ended(&mut self, run: &PipelineRun) {
        let counts = format!("{} of {} steps passed", run.passed_count, run.step_count);
        let line = match &run.failure {
            Some(failure) => {
                format!("{}: {}; {counts}", run.state, printable(&failure.message))
            }
            None => format!("{}: {counts}", run.state),
        };
        let colour = match run.state {
            PipelineRunState::Completed => "32",
            _ => "31",
        };
        self.say(&self.painted(colour, &line));
        self.status = None;
    }

    fn number(&self, index: u32) -> String {
        format!("[{}/{}]", index.saturating_add(1), self.step_count)
    }

    /// A line of our own, never behind half a line of a step's.
    fn say(&mut self, line: &str) {
        self.clear();
        if !std::mem::replace(&mut self.at_line_start, true) {
            remark("");
        }
        remark(line);
    }

    fn painted(&self, code: &str, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// ` after 1.2 s`; nothing of a step that never started.
fn took(step: &PipelineStep) -> String {
    let at = |time: &Option<String>| time.as_deref()?.parse::<Time>().ok();
    match (at(&step.started_at), at(&step.ended_at)) {
        (Some(start), Some(end)) => {
            let seconds = end.duration_since(start).as_secs_f64().max(0.0);
            format!(" after {seconds:.1} s")
        }
        _ => String::new(),
    }
}

fn write(mut to: impl Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes)?;
    Ok(to.flush()?)
}
