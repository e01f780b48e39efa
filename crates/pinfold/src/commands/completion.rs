//! `pinfold completion`: scripts that shells complete with.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Ending;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionArgs) -> Result<Ending> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pinfold", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Ending::Done)
}
