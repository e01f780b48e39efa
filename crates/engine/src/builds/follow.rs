//! Following a build: its log, numbered by place as that of a pipeline's run is (`steps.rs`).

use pinfold_model::build::BuildStep;
use pinfold_model::journal::Stream;
use pinfold_model::pipeline::StepRun;
use pinfold_model::{Build, BuildId, Ctx, Error, Result, Time};
use tokio::sync::watch;

use crate::Engine;
use crate::steps::{StepEvent, StepReader, Stepped};

/// Something that happened in a build. Steps count from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum BuildEvent {
    StepStarted {
        step: usize,
        what: Box<BuildStep>,
    },
    Output {
        step: usize,
        time: Time,
        stream: Stream,
        bytes: Vec<u8>,
    },
    /// What the step wrote after this was not kept.
    Truncated {
        step: usize,
    },
    /// Done, taken from an earlier build, failed, or skipped.
    StepEnded {
        step: usize,
        result: Box<BuildStep>,
    },
    /// The last one.
    Ended(Box<Build>),
}

/// Yields what happens in a build, in order, waiting for more until [`BuildEvent::Ended`] has been
/// given. Holds one record of 1 MiB at most, and never delays the build.
#[derive(Debug)]
pub struct BuildReader(StepReader<Build>);

impl Stepped for Build {
    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn step(&self, step: usize) -> Option<&StepRun> {
        self.steps.get(step).map(|step| &step.run)
    }

    fn is_over(&self) -> bool {
        self.state.is_terminal()
    }
}

impl Engine {
    /// Follows a build from behind the event `after_seq`; 0 is from its beginning. Output is kept as
    /// long as that of other commands.
    pub async fn follow_build(
        &self,
        ctx: &Ctx,
        id: &BuildId,
        after_seq: u64,
    ) -> Result<BuildReader> {
        self.timed(ctx, "image.build.follow", async {
            self.any_build(ctx, id).await?;
            let build = match self.inner.builds.get(id) {
                Some(live) => live.watch(),
                None => watch::Sender::new(self.any_build(ctx, id).await?).subscribe(),
            };
            Ok(BuildReader(StepReader::new(
                build,
                &self.inner.parts,
                after_seq,
            )))
        })
        .await
    }
}

impl BuildReader {
    /// The next event and its number; `None` after the last. May be dropped while it waits without
    /// losing anything.
    pub async fn next(&mut self) -> Result<Option<(u64, BuildEvent)>> {
        let Some((seq, event)) = self.0.next().await? else {
            return Ok(None);
        };
        let build = self.0.now();
        let what = |step: usize| {
            let found = build.steps.get(step).cloned().map(Box::new);
            found.ok_or_else(|| Error::internal("a build lost a step"))
        };
        let event = match event {
            StepEvent::Started(step) => BuildEvent::StepStarted {
                step,
                what: what(step)?,
            },
            StepEvent::Output {
                step,
                time,
                stream,
                bytes,
            } => BuildEvent::Output {
                step,
                time,
                stream,
                bytes,
            },
            StepEvent::Truncated(step) => BuildEvent::Truncated { step },
            StepEvent::Ended(step) => BuildEvent::StepEnded {
                step,
                result: what(step)?,
            },
            StepEvent::Over => BuildEvent::Ended(Box::new(build.clone())),
        };
        Ok(Some((seq, event)))
    }
}
