//! Following a run: what its steps do and write, as a stream that can be taken up anywhere.
//!
//! Nothing of it is stored: a position names a step and a record of that step's journal, and both
//! are kept anyway.

use std::fmt;
use std::str::FromStr;

use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::pipeline::{StepRun, StepState};
use pinfold_model::{CommandId, Ctx, Error, PipelineRun, Result, RunId};
use pinfold_runtime::journal::{JournalReader, Journals, OpenError};
use tokio::sync::watch;

use crate::Engine;
use crate::errors::journal_error;

/// Something that happened in a run. Steps count from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    StepStarted {
        step: usize,
    },
    Output {
        step: usize,
        stream: Stream,
        bytes: Vec<u8>,
    },
    /// The cap was reached: nothing that the step wrote after this was kept.
    Truncated {
        step: usize,
    },
    /// Passed, failed, or skipped without having started.
    StepFinished {
        step: usize,
        result: StepRun,
    },
    /// The last one.
    Finished(Box<PipelineRun>),
}

/// How far somebody has followed a run. As text `STEP.RECORD`, `STEP.end` or `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunPosition {
    /// The step has started and these many records of it have been told.
    Within {
        step: usize,
        seq: u64,
    },
    /// The step has finished.
    Behind {
        step: usize,
    },
    End,
}

impl fmt::Display for RunPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within { step, seq } => write!(f, "{step}.{seq}"),
            Self::Behind { step } => write!(f, "{step}.end"),
            Self::End => f.write_str("end"),
        }
    }
}

impl FromStr for RunPosition {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(
                "last-event-id",
                "a position in a run is an id of its event stream, unchanged",
            )
        };
        if text == "end" {
            return Ok(Self::End);
        }
        let (step, seq) = text.split_once('.').ok_or_else(wrong)?;
        let step = step.parse().map_err(|_| wrong())?;
        if seq == "end" {
            return Ok(Self::Behind { step });
        }
        let seq = seq.parse().map_err(|_| wrong())?;
        Ok(Self::Within { step, seq })
    }
}

/// Yields what happens in a run, in order, waiting for more until the run has ended. Holds one
/// record of 1 MiB at most, and never delays the run.
pub struct RunReader {
    run: watch::Receiver<PipelineRun>,
    journals: Journals,
    at: At,
}

/// What comes next.
enum At {
    /// The step has not been told of.
    Before(usize),
    /// Records of the step behind this one.
    Within {
        step: usize,
        seq: u64,
        reader: Option<JournalReader>,
    },
    /// Everything that the step wrote has been told.
    Written(usize),
    Over,
}

impl Engine {
    /// Follows a run from its beginning, or from behind what has been told up to `after`.
    pub async fn follow_run(
        &self,
        ctx: &Ctx,
        id: RunId,
        after: Option<RunPosition>,
    ) -> Result<RunReader> {
        self.timed("pipeline.follow", async {
            let known = self.any_run(ctx, id).await?;
            let run = match self.inner.runs.get(id) {
                Some(live) => live.watch(),
                // Its sender is gone, so what it shows is the last there is.
                None => watch::Sender::new(known).subscribe(),
            };
            let at = match after {
                None => At::Before(0),
                Some(RunPosition::Behind { step }) => At::Before(step.saturating_add(1)),
                Some(RunPosition::End) => At::Over,
                Some(RunPosition::Within { step, seq }) => At::Within {
                    step,
                    seq,
                    reader: None,
                },
            };
            Ok(RunReader {
                run,
                journals: self.inner.parts.journals.clone(),
                at,
            })
        })
        .await
    }
}

impl RunReader {
    /// The next event and the position behind it; `None` after the last. May be dropped while it
    /// waits without losing anything.
    pub async fn next(&mut self) -> Result<Option<(RunPosition, RunEvent)>> {
        loop {
            let told = match &self.at {
                At::Over => return Ok(None),
                At::Before(step) => self.begin(*step).await?,
                At::Within { .. } => self.within().await?,
                At::Written(step) => Some(self.finish(*step).await?),
            };
            if told.is_some() {
                return Ok(told);
            }
        }
    }

    async fn begin(&mut self, step: usize) -> Result<Option<(RunPosition, RunEvent)>> {
        let run = self
            .when(|run| {
                run.state.is_terminal()
                    || run
                        .steps
                        .get(step)
                        .is_some_and(|step| step.state != StepState::Pending)
            })
            .await?;
        let Some(now) = run.steps.get(step) else {
            self.at = At::Over;
            return Ok(Some((RunPosition::End, RunEvent::Finished(Box::new(run)))));
        };
        if now.state == StepState::Skipped {
            return self.finish(step).await.map(Some);
        }
        self.at = At::Within {
            step,
            seq: 0,
            reader: None,
        };
        let position = RunPosition::Within { step, seq: 0 };
        Ok(Some((position, RunEvent::StepStarted { step })))
    }

    /// The next record of a step; `None` behind the last one.
    async fn within(&mut self) -> Result<Option<(RunPosition, RunEvent)>> {
        let At::Within { step, seq, reader } = &mut self.at else {
            return Ok(None);
        };
        let step = *step;
        if reader.is_none() {
            let run = self.run.borrow().clone();
            let command = run.steps.get(step).and_then(|step| step.command.clone());
            *reader = match command {
                Some(command) => open(&self.journals, &command, *seq)?,
                None => None,
            };
        }
        let record = match reader {
            Some(reader) => reader.next().await.map_err(Error::internal)?,
            None => None,
        };
        let Some(Record { seq: at, body, .. }) = record else {
            self.at = At::Written(step);
            return Ok(None);
        };
        *seq = at;
        let event = match body {
            RecordBody::Output { stream, bytes } => RunEvent::Output {
                step,
                stream,
                bytes,
            },
            RecordBody::Truncated => RunEvent::Truncated { step },
            RecordBody::End { .. } => {
                self.at = At::Written(step);
                return Ok(None);
            }
        };
        Ok(Some((RunPosition::Within { step, seq: at }, event)))
    }

    async fn finish(&mut self, step: usize) -> Result<(RunPosition, RunEvent)> {
        let run = self
            .when(|run| {
                run.state.is_terminal()
                    || run
                        .steps
                        .get(step)
                        .is_none_or(|step| step.state.is_terminal())
            })
            .await?;
        let Some(result) = run.steps.get(step).cloned() else {
            self.at = At::Over;
            return Ok((RunPosition::End, RunEvent::Finished(Box::new(run))));
        };
        self.at = At::Before(step + 1);
        let position = RunPosition::Behind { step };
        Ok((position, RunEvent::StepFinished { step, result }))
    }

    /// The run as soon as `settled` holds.
    async fn when(&mut self, settled: impl Fn(&PipelineRun) -> bool) -> Result<PipelineRun> {
        if let Ok(run) = self.run.wait_for(&settled).await {
            return Ok(run.clone());
        }
        // Its owner is gone.
        let run = self.run.borrow().clone();
        if settled(&run) {
            return Ok(run);
        }
        Err(Error::new(
            pinfold_model::Code::Unavailable,
            "the server is shutting down; follow the run again from the last event",
        ))
    }
}

/// `None`: nothing of it is kept, or it never began.
fn open(journals: &Journals, id: &CommandId, after: u64) -> Result<Option<JournalReader>> {
    match journals.reader(id, after) {
        Ok(reader) => Ok(Some(reader)),
        Err(OpenError::NotFound(_)) => Ok(None),
        Err(error) => Err(journal_error(error)),
    }
}

impl fmt::Debug for RunReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunReader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_their_text_form() {
        for position in [
            RunPosition::Within { step: 3, seq: 17 },
            RunPosition::Behind { step: 0 },
            RunPosition::End,
        ] {
            assert_eq!(
                position.to_string().parse::<RunPosition>().ok(),
                Some(position)
            );
        }
        for text in ["", "x", "1", "1.", ".1", "-1.2", "1.2.3", "1.END"] {
            assert!(text.parse::<RunPosition>().is_err(), "{text:?}");
        }
    }
}
