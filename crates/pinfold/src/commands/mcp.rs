//! `pinfold mcp`: the tools of a server for an MCP client that starts this program.

use anyhow::{Context, Result};

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::run::Signals;

pub(crate) async fn run(global: &Global) -> Result<Ending> {
    let client = client::connect(global)?;
    // Said here, where who set this up reads it, and not by each tool.
    client.whoami().await?;
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let end = async move {
        signals.next_ending().await;
    };
    pinfold_mcp::serve_stdio(client, end).await?;
    Ok(Ending::Done)
}
