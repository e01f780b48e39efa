//! `pinfold completion`: scripts that shells complete with.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::cli::whole;
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
    clap_complete::generate(args.shell, &mut whole(), "pinfold", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Ending::Done)
}
