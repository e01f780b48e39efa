//! `pinfold version`: ours and the server's.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::Format;

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    /// `null` where none answers.
    server: Option<String>,
}

pub(crate) async fn run(global: &Global, args: VersionArgs) -> Result<Ending> {
    let versions = Versions {
        client: env!("CARGO_PKG_VERSION"),
        server: client::server_version(global).await?,
    };
    let server = versions
        .server
        .clone()
        .unwrap_or_else(|| "none answers".to_owned());
    args.format.one(
        &versions,
        &[("pinfold", versions.client.to_owned()), ("server", server)],
    )?;
    Ok(Ending::Done)
}
