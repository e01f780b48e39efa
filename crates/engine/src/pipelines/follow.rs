//! Following a run: what its steps do and write, numbered by place (`steps.rs`).

use pinfold_model::journal::Stream;
use pinfold_model::pipeline::{Step, StepRun};
use pinfold_model::{Ctx, Error, PipelineRun, Result, RunId, Time};
use tokio::sync::watch;

use crate::Engine;
use crate::steps::{StepEvent, StepReader, Stepped};

/// Something that happened in a run. Steps count from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    StepStarted {
        step: usize,
        name: String,
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
    /// Passed, failed, or skipped without having started.
    StepEnded {
        step: usize,
        spec: Box<Step>,
        result: Box<StepRun>,
    },
    /// The last one.
    Ended(Box<PipelineRun>),
}

/// Yields what happens in a run, in order, waiting for more until [`RunEvent::Ended`] has been
/// given. Holds one record of 1 MiB at most, and never delays the run.
#[derive(Debug)]
pub struct RunReader(StepReader<PipelineRun>);

impl Stepped for PipelineRun {
    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn step(&self, step: usize) -> Option<&StepRun> {
        self.steps.get(step)
    }

    fn is_over(&self) -> bool {
        self.state.is_terminal()
    }
}

impl Engine {
    /// Follows a run from behind the event `after_seq`; 0 is from its beginning.
    pub async fn follow_run(&self, ctx: &Ctx, id: RunId, after_seq: u64) -> Result<RunReader> {
        self.timed(ctx, "pipeline.follow", async {
            self.any_run(ctx, id).await?;
            let run = match self.inner.runs.get(id) {
                Some(live) => live.watch(),
                // Its sender is gone, so what it shows is the last there is. One that has just
                // ended was recorded before its owner went.
                None => watch::Sender::new(self.any_run(ctx, id).await?).subscribe(),
            };
            Ok(RunReader(StepReader::new(
                run,
                &self.inner.parts,
                after_seq,
            )))
        })
        .await
    }
}

impl RunReader {
    /// The next event and its number; `None` after the last. May be dropped while it waits without
    /// losing anything.
    pub async fn next(&mut self) -> Result<Option<(u64, RunEvent)>> {
        let Some((seq, event)) = self.0.next().await? else {
            return Ok(None);
        };
        let run = self.0.now();
        let event = match event {
            StepEvent::Started(step) => {
                let name = run.spec.steps.get(step).map(|step| step.name.clone());
                RunEvent::StepStarted {
                    step,
                    name: name.unwrap_or_default(),
                }
            }
            StepEvent::Output {
                step,
                time,
                stream,
                bytes,
            } => RunEvent::Output {
                step,
                time,
                stream,
                bytes,
            },
            StepEvent::Truncated(step) => RunEvent::Truncated { step },
            StepEvent::Ended(step) => match (run.spec.steps.get(step), run.steps.get(step)) {
                (Some(spec), Some(result)) => RunEvent::StepEnded {
                    step,
                    spec: Box::new(spec.clone()),
                    result: Box::new(result.clone()),
                },
                _ => return Err(Error::internal("a run lost a step")),
            },
            StepEvent::Over => RunEvent::Ended(Box::new(run.clone())),
        };
        Ok(Some((seq, event)))
    }
}
