//! Following work that is done in steps, each with a journal of its own: what they do and write, as
//! events that can be taken up anywhere.
//!
//! Nothing of it is stored. The number of an event says which step it belongs to and which record
//! of that step's journal it is, and both are kept anyway:
//!
//! ```text
//! step * 2^32 + 1            the step started
//! step * 2^32 + 1 + record   what it wrote
//! step * 2^32 + 2^32 - 1     it ended
//! steps * 2^32 + 1           the whole ended
//! ```
//! So numbers grow, have gaps, and stay below 2^53 for clients whose numbers are floats.

use std::fmt;
use std::time::Duration;

use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::pipeline::{StepRun, StepState};
use pinfold_model::{Code, Error, Result, Time};
use pinfold_runtime::journal::{JournalReader, Journals};
use pinfold_store::Store;
use tokio::sync::watch;

use crate::commands::find_journal;
use crate::config::Parts;

const STEP_BITS: u32 = 32;
/// Far above the records that fit into one journal.
const STEP_END: u64 = (1 << STEP_BITS) - 1;
/// Between two looks for the writer of a journal, which after a restart comes a moment later.
const WRITER_RETRY: Duration = Duration::from_millis(100);

/// What has steps.
pub(crate) trait Stepped {
    fn steps(&self) -> usize;

    /// `None` behind the last one.
    fn step(&self, step: usize) -> Option<&StepRun>;

    /// Nothing more is going to happen.
    fn is_over(&self) -> bool;
}

/// Something that happened. Steps count from 0.
#[derive(Debug)]
pub(crate) enum StepEvent {
    Started(usize),
    Output {
        step: usize,
        time: Time,
        stream: Stream,
        bytes: Vec<u8>,
    },
    /// What the step wrote after this was not kept.
    Truncated(usize),
    /// Passed, failed, or skipped without having started.
    Ended(usize),
    /// The last one.
    Over,
}

/// Yields what happens, in order, waiting for more until [`StepEvent::Over`] has been given. Holds
/// one record of 1 MiB at most, and never delays the work.
pub(crate) struct StepReader<T> {
    view: watch::Receiver<T>,
    journals: Journals,
    store: Store,
    after_seq: u64,
    at: At,
}

/// What comes next.
enum At {
    /// The step has not been told of.
    Before(usize),
    /// Records of the step behind this one.
    Within {
        step: usize,
        record: u64,
        reader: Option<JournalReader>,
    },
    /// Everything that the step wrote has been told.
    Written(usize),
    Over,
}

impl At {
    fn behind(seq: u64, steps: usize) -> Self {
        let step = usize::try_from(seq >> STEP_BITS).unwrap_or(usize::MAX);
        if step >= steps {
            // The end is told again to whoever asks for more.
            return Self::Before(steps);
        }
        match seq & STEP_END {
            0 => Self::Before(step),
            STEP_END => Self::Before(step + 1),
            within => Self::Within {
                step,
                record: within - 1,
                reader: None,
            },
        }
    }
}

const fn started(step: usize) -> u64 {
    ((step as u64) << STEP_BITS) + 1
}

const fn ended(step: usize) -> u64 {
    ((step as u64) << STEP_BITS) + STEP_END
}

type Told = (u64, StepEvent);

impl<T: Stepped> StepReader<T> {
    /// From behind the event `after_seq`; 0 is from the beginning.
    pub(crate) fn new(view: watch::Receiver<T>, parts: &Parts, after_seq: u64) -> Self {
        let at = At::behind(after_seq, view.borrow().steps());
        Self {
            view,
            journals: parts.journals.clone(),
            store: parts.store.clone(),
            after_seq,
            at,
        }
    }

    /// What the whole is now, as far as the events are concerned.
    pub(crate) fn now(&self) -> watch::Ref<'_, T> {
        self.view.borrow()
    }

    /// The next event and its number; `None` after the last. May be dropped while it waits without
    /// losing anything.
    pub(crate) async fn next(&mut self) -> Result<Option<Told>> {
        loop {
            let told = match &self.at {
                At::Over => return Ok(None),
                At::Before(step) => Some(self.begin(*step).await?),
                At::Within { .. } => self.within().await?,
                At::Written(step) => Some(self.finish(*step).await?),
            };
            if told.is_some() {
                return Ok(told);
            }
        }
    }

    async fn begin(&mut self, step: usize) -> Result<Told> {
        let begun = self
            .when(|whole| match whole.step(step).map(|step| step.state) {
                None => whole.is_over().then_some(Begun::Over),
                Some(StepState::Pending) => None,
                Some(StepState::Skipped) => Some(Begun::Skipped),
                Some(_) => Some(Begun::Started),
            })
            .await?;
        match begun {
            Begun::Over => {
                self.at = At::Over;
                let seq = started(step).max(self.after_seq.saturating_add(1));
                Ok((seq, StepEvent::Over))
            }
            Begun::Skipped => self.finish(step).await,
            Begun::Started => {
                self.at = At::Within {
                    step,
                    record: 0,
                    reader: None,
                };
                Ok((started(step), StepEvent::Started(step)))
            }
        }
    }

    /// The next record of a step; `None` behind the last one.
    async fn within(&mut self) -> Result<Option<Told>> {
        let At::Within {
            step,
            record,
            reader,
        } = &mut self.at
        else {
            return Ok(None);
        };
        let step = *step;
        // Before reading: what a step wrote is in its journal before its end is seen.
        let now = self.view.borrow().step(step).cloned();
        let over = now.as_ref().is_none_or(|step| step.state.is_terminal());
        if reader.is_none() {
            let command = now.as_ref().and_then(|step| step.command.as_ref());
            *reader = match command {
                Some(id) => find_journal(&self.journals, &self.store, id).await?,
                None => None,
            }
            .map(|journal| journal.reader(*record));
            let ran = now.is_some_and(|step| step.exit_code.is_some());
            if reader.is_none() && over && ran && *record == 0 {
                // Nothing of it is kept any more.
                self.at = At::Written(step);
                return Ok(Some((started(step) + 1, StepEvent::Truncated(step))));
            }
        }
        let next = match reader {
            Some(reader) => reader.next().await.map_err(Error::internal)?,
            None => None,
        };
        let Some(next) = next else {
            *reader = None;
            match over {
                true => self.at = At::Written(step),
                false => self.look_again(step).await?,
            }
            return Ok(None);
        };
        *record = next.seq;
        let seq = started(step) + next.seq;
        let event = told(step, next);
        if event.is_none() {
            self.at = At::Written(step);
        }
        Ok(event.map(|event| (seq, event)))
    }

    /// Nobody writes the journal of a step that runs: its writer is about to come back.
    async fn look_again(&mut self, step: usize) -> Result<()> {
        let over = self.when(|whole| is_over(whole, step).then_some(()));
        match tokio::time::timeout(WRITER_RETRY, over).await {
            Ok(over) => over,
            Err(_) => Ok(()),
        }
    }

    async fn finish(&mut self, step: usize) -> Result<Told> {
        self.when(|whole| is_over(whole, step).then_some(()))
            .await?;
        self.at = At::Before(step + 1);
        Ok((ended(step), StepEvent::Ended(step)))
    }

    /// What `look` finds, as soon as it finds it.
    async fn when<F>(&mut self, look: impl Fn(&T) -> Option<F>) -> Result<F> {
        // Fails where the owner is gone; what it left may still be what is looked for.
        let _ = self.view.wait_for(|whole| look(whole).is_some()).await;
        let found = look(&self.view.borrow());
        found.ok_or_else(|| {
            Error::new(
                Code::Unavailable,
                "the server is shutting down; follow it again from the last event",
            )
        })
    }
}

/// What there is to tell before a step.
enum Begun {
    Started,
    Skipped,
    /// There is no such step, and all is over.
    Over,
}

/// There is nothing more to come of the step.
fn is_over(whole: &impl Stepped, step: usize) -> bool {
    whole.step(step).is_none_or(|step| step.state.is_terminal())
}

/// `None` for the end of the step's command: the step's own end follows.
fn told(step: usize, record: Record) -> Option<StepEvent> {
    match record.body {
        RecordBody::Output { stream, bytes } => Some(StepEvent::Output {
            step,
            time: record.time,
            stream,
            bytes,
        }),
        RecordBody::Truncated => Some(StepEvent::Truncated(step)),
        RecordBody::End { .. } => None,
    }
}

impl<T> fmt::Debug for StepReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepReader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_the_place_behind_its_event() {
        assert!(matches!(At::behind(0, 2), At::Before(0)));
        assert!(matches!(
            At::behind(started(1), 2),
            At::Within {
                step: 1,
                record: 0,
                ..
            }
        ));
        assert!(matches!(
            At::behind(started(0) + 7, 2),
            At::Within {
                step: 0,
                record: 7,
                ..
            }
        ));
        assert!(matches!(At::behind(ended(0), 2), At::Before(1)));
        assert!(matches!(At::behind(ended(1), 2), At::Before(2)));
        for beyond in [started(2), started(7) + 3, u64::MAX] {
            assert!(matches!(At::behind(beyond, 2), At::Before(2)), "{beyond}");
        }
    }
}
