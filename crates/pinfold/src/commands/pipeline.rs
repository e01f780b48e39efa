//! `pinfold pipeline`: runs of markdown documents.

mod follow;
mod list;
mod run;
mod status;
mod view;

use anyhow::Result;
use clap::Subcommand;

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;

pub(crate) use follow::{Source, follow};
pub(crate) use view::View;

#[derive(Debug, Subcommand)]
pub(crate) enum PipelineCommand {
    /// Run the bash blocks of a markdown document in one fresh sandbox
    Run(Box<run::RunArgs>),
    /// Runs, newest first
    #[command(visible_alias = "list")]
    Ls(list::ListArgs),
    /// Everything about a run
    Show(list::ShowArgs),
    /// What a run's steps wrote; stays until the run ends
    Logs(list::LogsArgs),
    /// End a run
    Cancel(list::CancelArgs),
}

impl PipelineCommand {
    /// Whether its exit code is a step's own.
    pub(crate) const fn runs_steps(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

pub(crate) async fn run(global: &Global, command: PipelineCommand) -> Result<Ending> {
    match command {
        PipelineCommand::Run(args) => run::run(global, *args).await,
        PipelineCommand::Ls(args) => list::list(&client::connect(global)?, args).await,
        PipelineCommand::Show(args) => list::show(&client::connect(global)?, args).await,
        PipelineCommand::Logs(args) => list::logs(&client::connect(global)?, args).await,
        PipelineCommand::Cancel(args) => list::cancel(&client::connect(global)?, args).await,
    }
}
