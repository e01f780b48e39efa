//! What the steps of a run wrote.

use pinfold_model::journal::Stream;
use pinfold_model::pipeline::StepRun;
use pinfold_model::{CommandId, Ctx, Error, PipelineRun, Result, RunId};
use pinfold_runtime::journal::{Journals, OpenError};

use crate::Engine;
use crate::commands::may_have_written;
use crate::errors::journal_error;

/// How much of what steps wrote a report holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBounds {
    /// Bytes of each stream of each step.
    pub stream_bytes: usize,
    /// Bytes of all steps together.
    pub total_bytes: usize,
}

/// A run with the beginning of what its finished steps wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    pub run: PipelineRun,
    /// As many as the run has steps.
    pub output: Vec<StepOutput>,
}

/// The beginning of both streams of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepOutput {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// More was written than is here; the journal of the step's command has it, while it is kept.
    pub stdout_truncated: bool,
    pub stderr_truncated: bool,
}

impl Engine {
    /// A run as it is now, with the beginning of what each finished step wrote. Output is kept as
    /// long as that of other commands.
    pub async fn report_run(
        &self,
        ctx: &Ctx,
        id: RunId,
        bounds: ReportBounds,
    ) -> Result<RunReport> {
        self.timed(ctx, "pipeline.report", async {
            let run = self.any_run(ctx, id).await?;
            let (steps, journals) = (run.steps.clone(), self.inner.parts.journals.clone());
            let read = move || collect(&journals, &steps, bounds);
            let kept = tokio::task::spawn_blocking(read)
                .await
                .map_err(Error::internal)??;
            let mut output = Vec::with_capacity(kept.len());
            for (step, kept) in run.steps.iter().zip(kept) {
                output.push(match kept {
                    Some(kept) => kept,
                    None => self.not_kept(step).await?,
                });
            }
            Ok(RunReport { run, output })
        })
        .await
    }
}

impl Engine {
    /// Of a step that ran nothing is kept any more: what is missing, as far as its record tells.
    async fn not_kept(&self, step: &StepRun) -> Result<StepOutput> {
        let command = match &step.command {
            Some(id) => self.store().commands().get(id).await?,
            None => None,
        };
        let lost = command.map_or(step.started_at.is_some(), |it| may_have_written(&it));
        Ok(StepOutput {
            stdout_truncated: lost,
            stderr_truncated: lost,
            ..StepOutput::default()
        })
    }
}

/// `None` for each step whose journal is gone.
fn collect(
    journals: &Journals,
    steps: &[StepRun],
    bounds: ReportBounds,
) -> Result<Vec<Option<StepOutput>>> {
    let mut room = bounds.total_bytes;
    let output = |step: &StepRun| match &step.command {
        // What a step writes while it runs would be read again at each look at the run.
        Some(id) if step.state.is_terminal() => {
            of_step(journals, id, bounds.stream_bytes, &mut room)
        }
        _ => Ok(Some(StepOutput::default())),
    };
    steps.iter().map(output).collect()
}

fn of_step(
    journals: &Journals,
    id: &CommandId,
    stream_bytes: usize,
    room: &mut usize,
) -> Result<Option<StepOutput>> {
    let journal = match journals.get(id) {
        Ok(journal) => journal,
        Err(OpenError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(journal_error(error)),
    };
    let mut collect = |stream| {
        let collected = journal.collect(stream, stream_bytes.min(*room));
        let collected = collected.map_err(Error::internal)?;
        *room -= collected.bytes.len().min(*room);
        Ok::<_, Error>(collected)
    };
    let stdout = collect(Stream::Stdout)?;
    let stderr = collect(Stream::Stderr)?;
    Ok(Some(StepOutput {
        stdout: stdout.bytes,
        stderr: stderr.bytes,
        stdout_truncated: stdout.truncated,
        stderr_truncated: stderr.truncated,
    }))
}
