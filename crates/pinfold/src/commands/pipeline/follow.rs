//! Following a run to its end, on a server or in this process: events shown, signals heard.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use pinfold_model::ExitStatus;
use pinfold_sdk::{PipelineEvent, PipelineRun, PipelineRunState, PipelineStepState};
use tokio::time::Interval;

use super::view::View;
use crate::exit::Ending;
use crate::output::{is_broken_pipe, remark};
use crate::run::{SIGCONT, SIGTSTP, SIGWINCH, Signals, stop_ourselves};

/// Between two looks of the line that shows how long a step has taken.
const TICK: Duration = Duration::from_millis(100);

/// A run that can be followed.
pub(crate) trait Source {
    /// The next event, waited for; `None` behind the last.
    async fn next(&mut self) -> Result<Option<PipelineEvent>>;

    /// Asks the run to end; does nothing before it is polled.
    fn cancel(&self) -> BoxFuture<'static, Result<()>>;

    /// What to tell where the run outlives us.
    fn left(&self) -> Option<String>;
}

/// Shows the run up to its end. The first signal to end us cancels it and waits for its end, the
/// second leaves at once; where nobody reads us any more the run is cancelled, too.
pub(crate) async fn follow(
    mut source: impl Source,
    mut view: View,
    signals: &mut Signals,
) -> Result<Ending> {
    let mut ender = Ender::new(source.cancel());
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let event = match until_event(&mut source, &mut view, &mut ender, signals, &mut ticks).await
        {
            Ok(Happened::Event(event)) => event,
            Ok(Happened::Leaving(ending)) => return Ok(ending),
            Err(error) => {
                view.clear();
                source.left().as_deref().map(remark);
                return Err(error);
            }
        };
        if let Err(error) = view.show(&event) {
            if is_broken_pipe(&error) && !matches!(event, PipelineEvent::Ended { .. }) {
                source.cancel().await?;
            }
            return Err(error);
        }
        if let PipelineEvent::Ended { run, .. } = &event {
            return Ok(ending(run, ender.heard));
        }
    }
}

enum Happened {
    Event(PipelineEvent),
    Leaving(Ending),
}

/// The future of one event lives through ticks and signals: it may be connecting.
async fn until_event(
    source: &mut impl Source,
    view: &mut View,
    ender: &mut Ender,
    signals: &mut Signals,
    ticks: &mut Interval,
) -> Result<Happened> {
    let next = source.next();
    tokio::pin!(next);
    loop {
        tokio::select! {
            event = &mut next => {
                let event = event?.context("the events of the run ended without its end")?;
                return Ok(Happened::Event(event));
            }
            done = &mut ender.cancel, if ender.is_asked() => ender.done(done)?,
            signal = signals.next() => {
                if let Some(ending) = ender.hear(signal, view) {
                    return Ok(Happened::Leaving(ending));
                }
            }
            _ = ticks.tick(), if view.is_live() => view.tick(),
        }
    }
}

/// What becomes of signals that should end us.
struct Ender {
    cancel: BoxFuture<'static, Result<()>>,
    state: Asked,
    heard: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// The run is about to be cancelled.
    Cancel,
    Cancelled,
}

impl Ender {
    fn new(cancel: BoxFuture<'static, Result<()>>) -> Self {
        Self {
            cancel,
            state: Asked::Nothing,
            heard: None,
        }
    }

    fn is_asked(&self) -> bool {
        self.state == Asked::Cancel
    }

    fn done(&mut self, done: Result<()>) -> Result<()> {
        self.state = Asked::Cancelled;
        done
    }

    /// The ending where we leave at once.
    fn hear(&mut self, signal: i32, view: &mut View) -> Option<Ending> {
        match signal {
            SIGTSTP => {
                view.clear();
                stop_ourselves();
            }
            SIGCONT | SIGWINCH => {}
            // Whoever asks again no longer wants to wait.
            _ if self.heard.is_some() => {
                view.clear();
                return Some(Ending::Command(ExitStatus::Signal(signal)));
            }
            _ => {
                self.heard = Some(signal);
                self.state = Asked::Cancel;
                view.remark("cancelling the run; once more to leave at once");
            }
        }
        None
    }
}

/// The exit code: that of the step which stopped the run, else why there was none.
pub(super) fn ending(run: &PipelineRun, heard: Option<i32>) -> Ending {
    match (run.state, heard) {
        (PipelineRunState::Completed, _) => return Ending::Done,
        (PipelineRunState::Cancelled, Some(signal)) => {
            return Ending::Command(ExitStatus::Signal(signal));
        }
        _ => {}
    }
    if let Some(failure) = &run.failure {
        return match failure.code == pinfold_model::Code::Timeout.as_str() {
            true => Ending::TimedOut,
            false => Ending::Ourselves,
        };
    }
    let stopped = |step: &&pinfold_sdk::PipelineStep| {
        step.state == PipelineStepState::Failed && !step.continue_on_error
    };
    match run
        .steps
        .iter()
        .find(stopped)
        .and_then(|step| step.exit_code)
    {
        // A failure must not pass for a success.
        None | Some(0) => Ending::Ourselves,
        Some(code) => Ending::Command(ExitStatus::Code(code)),
    }
}
