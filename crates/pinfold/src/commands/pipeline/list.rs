//! `pinfold pipeline ls`, `show`, `logs` and `cancel`.

use anyhow::{Result, anyhow};
use clap::Args;
use futures::TryStreamExt;
use pinfold_sdk::{Client, ListPipelineRuns, PipelineRun, PipelineRunState, PipelineStep};

use super::view::{Shown, View};
use crate::exit::Ending;
use crate::output::{Format, or_dash, remark, time};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those in this state: queued, running, completed, failed or cancelled
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<PipelineRunState>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run's number
    #[arg(value_name = "RUN")]
    run: u64,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The run's number
    #[arg(value_name = "RUN")]
    run: u64,

    /// The events themselves, one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The run's number
    #[arg(value_name = "RUN")]
    run: u64,

    #[command(flatten)]
    format: Format,
}

fn state(text: &str) -> Result<PipelineRunState> {
    match PipelineRunState::from_word(text) {
        PipelineRunState::Unknown => {
            let known: Vec<_> = PipelineRunState::ALL.iter().map(|it| it.as_str()).collect();
            Err(anyhow!("it is one of {}", known.join(", ")))
        }
        known => Ok(known),
    }
}

pub(super) async fn list(client: &Client, args: ListArgs) -> Result<Ending> {
    let query = ListPipelineRuns {
        state: args.state,
        ..ListPipelineRuns::default()
    };
    let all: Vec<_> = client.pipelines().all(query).try_collect().await?;
    let columns = ["RUN", "STATE", "PASSED", "IMAGE", "CREATED", "ENDED"];
    args.format.list(&all, columns, |run| {
        [
            run.id.to_string(),
            run.state.to_string(),
            format!("{}/{}", run.passed_count, run.step_count),
            run.image.clone(),
            time(&run.created_at),
            or_dash(run.ended_at.as_deref().map(time).as_ref()),
        ]
    })?;
    Ok(Ending::Done)
}

pub(super) async fn show(client: &Client, args: ShowArgs) -> Result<Ending> {
    let run = client.pipelines().get(args.run).await?;
    args.format.one(&run, &facts(&run))?;
    Ok(Ending::Done)
}

fn facts(run: &PipelineRun) -> Vec<(&str, String)> {
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("state", run.state.to_string()),
        ("image", run.image.clone()),
        ("cpus", run.vcpu.to_string()),
        ("memory", format!("{} MiB", run.memory_mib)),
        ("sandbox", run.sandbox_id.clone()),
        ("created", time(&run.created_at)),
        ("ended", or_dash(run.ended_at.as_deref().map(time).as_ref())),
    ];
    if let Some(failure) = &run.failure {
        facts.push(("failure", failure.message.clone()));
    }
    facts.extend(run.steps.iter().map(|step| ("step", fact(step))));
    facts
}

fn fact(step: &PipelineStep) -> String {
    let code = step.exit_code.filter(|code| *code != 0);
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    format!("{}. {}: {}{code}", step.index + 1, step.name, step.state)
}

pub(super) async fn logs(client: &Client, args: LogsArgs) -> Result<Ending> {
    let run = client.pipelines().get(args.run).await?;
    let shown = if args.json { Shown::Json } else { Shown::Text };
    let mut view = View::new(shown, run.step_count);
    let mut events = client.pipelines().stream(run.id, 0);
    while let Some(event) = events.next().await? {
        view.show(&event)?;
    }
    Ok(Ending::Done)
}

pub(super) async fn cancel(client: &Client, args: CancelArgs) -> Result<Ending> {
    client.pipelines().cancel(args.run).await?;
    let run = client.pipelines().wait(args.run).await?;
    if args.format.json {
        crate::output::json(&run)?;
    } else if run.state != PipelineRunState::Cancelled {
        remark(&format!("run {} had ended: {}", run.id, run.state));
    }
    Ok(Ending::Done)
}
