//! Following a run to its end, on a server or in this process: events shown, signals heard.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use pinfold_model::ExitStatus;
use pinfold_sdk::{PipelineEvent, PipelineRun, PipelineRunState, PipelineStepState};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use super::view::View;
use crate::exit::Ending;
use crate::output::remark;
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
/// second leaves at once; where nobody reads us any more the run is cancelled, too. `heard` is the
/// signal that came before there was a run to follow.
pub(crate) async fn follow(
    mut source: impl Source,
    view: View,
    signals: &mut Signals,
    heard: Option<i32>,
) -> Result<Ending> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut follower = Follower {
        screen: Screen::Idle(view),
        ender: Ender::new(source.cancel(), heard),
        ticks,
        signals,
    };
    loop {
        let event = match follower.event(&mut source).await {
            Ok(Happened::Event(event)) => event,
            Ok(Happened::Leaving(ending)) => return Ok(follower.leave(&source, ending)),
            Err(error) => {
                follower.screen.clear();
                source.left().as_deref().map(remark);
                return Err(error);
            }
        };
        let run = match &event {
            PipelineEvent::Ended { run, .. } => Some(run.clone()),
            _ => None,
        };
        if run.is_some() {
            // What comes of a cancel no longer matters.
            follower.ender.state = Asked::Cancelled;
        }
        match (follower.show(event).await, run) {
            (Ok(Some(leaving)), _) => return Ok(follower.leave(&source, leaving)),
            (Ok(None), Some(run)) => return Ok(ending(&run, follower.ender.heard)),
            (Ok(None), None) => {}
            (Err(error), run) => {
                if run.is_none() {
                    follower.give_up(&source).await;
                }
                return Err(error);
            }
        }
    }
}

enum Happened {
    Event(PipelineEvent),
    Leaving(Ending),
}

struct Follower<'a> {
    screen: Screen,
    ender: Ender,
    ticks: Interval,
    signals: &'a mut Signals,
}

impl Follower<'_> {
    /// A cancel that was not answered may not have arrived. Told only where stderr is free.
    fn leave(&self, source: &impl Source, ending: Ending) -> Ending {
        if self.ender.is_asked() && matches!(self.screen, Screen::Idle(_)) {
            source.left().as_deref().map(remark);
        }
        ending
    }

    /// The future of one event lives through ticks and signals: it may be connecting.
    async fn event(&mut self, source: &mut impl Source) -> Result<Happened> {
        let next = source.next();
        tokio::pin!(next);
        loop {
            tokio::select! {
                event = &mut next => {
                    let event = event?.context("the events of the run ended without its end")?;
                    return Ok(Happened::Event(event));
                }
                done = &mut self.ender.cancel, if self.ender.is_asked() => self.ender.done(done)?,
                signal = self.signals.next() => {
                    if let Some(ending) = self.ender.hear(signal, &mut self.screen) {
                        return Ok(Happened::Leaving(ending));
                    }
                }
                _ = self.ticks.tick(), if self.screen.is_live() => {
                    self.screen.begin(|view| { view.tick(); Ok(()) });
                }
                done = self.screen.idle(), if self.screen.is_busy() => done?,
            }
        }
    }

    /// Returns when it has been shown, or the ending where we leave before.
    async fn show(&mut self, event: PipelineEvent) -> Result<Option<Ending>> {
        if let Some(ending) = self.until_idle().await? {
            return Ok(Some(ending));
        }
        self.screen.begin(move |view| view.show(&event));
        self.until_idle().await
    }

    async fn until_idle(&mut self) -> Result<Option<Ending>> {
        while self.screen.is_busy() {
            tokio::select! {
                done = self.screen.idle() => done?,
                done = &mut self.ender.cancel, if self.ender.is_asked() => self.ender.done(done)?,
                signal = self.signals.next() => {
                    if let Some(ending) = self.ender.hear(signal, &mut self.screen) {
                        return Ok(Some(ending));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Nobody is told any more, so nothing shall go on.
    async fn give_up(&mut self, source: &impl Source) {
        tokio::select! {
            cancelled = source.cancel() => {
                if cancelled.is_err() {
                    source.left().as_deref().map(remark);
                }
            }
            _ = self.signals.next_ending() => {}
        }
    }
}

/// The view, which writes on a thread of its own: whoever reads us may stop reading, and neither
/// the run nor a signal waits for that. Without a server the whole engine shares our thread.
enum Screen {
    Idle(View),
    Busy(JoinHandle<(View, Result<()>)>),
    /// What it wrote panicked.
    Gone,
}

impl Screen {
    const fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// Whether a tick has something to draw, and can.
    fn is_live(&self) -> bool {
        matches!(self, Self::Idle(view) if view.is_live())
    }

    /// Leaves out what is to be written while it writes.
    fn begin(&mut self, write: impl FnOnce(&mut View) -> Result<()> + Send + 'static) {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Idle(mut view) => Self::Busy(tokio::task::spawn_blocking(move || {
                let written = write(&mut view);
                (view, written)
            })),
            other => other,
        };
    }

    /// Returns when it does not write any more, with what came of it.
    async fn idle(&mut self) -> Result<()> {
        let Self::Busy(writing) = self else {
            return Ok(());
        };
        let done = writing.await;
        *self = Self::Gone;
        let (view, written) = done.context("what shows the run panicked")?;
        *self = Self::Idle(view);
        written
    }

    fn clear(&mut self) {
        if let Self::Idle(view) = self {
            view.clear();
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
    fn new(cancel: BoxFuture<'static, Result<()>>, heard: Option<i32>) -> Self {
        Self {
            cancel,
            state: heard.map_or(Asked::Nothing, |_| Asked::Cancel),
            heard,
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
    fn hear(&mut self, signal: i32, screen: &mut Screen) -> Option<Ending> {
        match signal {
            SIGTSTP => {
                screen.clear();
                stop_ourselves();
            }
            SIGCONT | SIGWINCH => {}
            // Whoever asks again no longer wants to wait.
            _ if self.heard.is_some() => {
                screen.clear();
                return Some(Ending::Command(ExitStatus::Signal(signal)));
            }
            _ => {
                self.heard = Some(signal);
                self.state = Asked::Cancel;
                screen.begin(|view| {
                    view.remark("cancelling the run; once more to leave at once");
                    Ok(())
                });
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::watch;

    use super::*;
    use crate::commands::pipeline::view::Shown;
    use crate::run::SIGINT;

    /// A run that ends only when it is cancelled.
    struct UntilCancelled(watch::Sender<bool>);

    impl Source for UntilCancelled {
        async fn next(&mut self) -> Result<Option<PipelineEvent>> {
            let mut cancelled = self.0.subscribe();
            cancelled.wait_for(|cancelled| *cancelled).await?;
            let run = serde_json::json!({
                "id": 1, "project_id": "p", "sandbox_id": "s", "state": "cancelled",
                "image": "host", "vcpu": 1.0, "memory_mib": 1, "timeout_ms": 1,
                "step_count": 1, "passed_count": 0,
                "cancel_requested": true, "created_at": "2026-11-22T10:00:00Z",
            });
            let run = Box::new(serde_json::from_value(run)?);
            Ok(Some(PipelineEvent::Ended { seq: 1, run }))
        }

        fn cancel(&self) -> BoxFuture<'static, Result<()>> {
            let cancelled = self.0.clone();
            async move {
                cancelled.send_replace(true);
                Ok(())
            }
            .boxed()
        }

        fn left(&self) -> Option<String> {
            None
        }
    }

    #[tokio::test]
    async fn a_signal_that_came_before_the_run_cancels_it_and_its_end_is_waited_for() {
        let source = UntilCancelled(watch::Sender::new(false));
        let mut signals = Signals::listen().expect("listen");
        let view = View::new(Shown::Text, 1);
        let ending = follow(source, view, &mut signals, Some(SIGINT)).await;
        let expected = Ending::Command(ExitStatus::Signal(SIGINT));
        assert_eq!(ending.expect("an end"), expected);
    }
}
