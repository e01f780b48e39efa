//! `pinfold sandbox show`.

use anyhow::Result;
use clap::Args;
use pinfold_sdk::{Client, Gauge, Sandbox, SandboxState};
use serde::Serialize;

use crate::client::sandbox;
use crate::exit::Ending;
use crate::output::{Format, bytes};

use super::facts;

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name or id
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    sandbox: &'a Sandbox,
    /// `null` where it does not run.
    usage: Option<Gauge>,
}

pub(super) async fn run(client: &Client, args: ShowArgs) -> Result<Ending> {
    let sandbox = sandbox(client, &args.sandbox).await?;
    let usage = match sandbox.state {
        SandboxState::Running | SandboxState::Suspended => {
            Some(client.sandboxes().usage(&sandbox.id).await?)
        }
        _ => None,
    };
    let mut facts = facts(&sandbox);
    if let Some(usage) = &usage {
        facts.extend([
            ("memory used", bytes(usage.memory_bytes)),
            ("processes", usage.processes.to_string()),
            (
                "cpu used",
                format!("{:.2} s", usage.cpu_used_us as f64 / 1e6),
            ),
        ]);
    }
    args.format.one(
        &Shown {
            sandbox: &sandbox,
            usage,
        },
        &facts,
    )?;
    Ok(Ending::Done)
}
