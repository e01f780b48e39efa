//! `pinfold usage`: what the project has used.

use anyhow::Result;
use clap::Args;
use pinfold_sdk::UsageQuery;

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{Format, time};

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// From this time on, as in 2026-11-01T00:00:00Z [default: 30 days before the end]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// Up to this time [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,

    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(global: &Global, args: UsageArgs) -> Result<Ending> {
    let query = UsageQuery {
        from: args.from,
        to: args.to,
    };
    let usage = client::connect(global)?.usage().project(&query).await?;
    let facts = [
        ("project", usage.project_id.clone()),
        ("from", time(&usage.from)),
        ("to", time(&usage.to)),
        ("sandboxes", usage.sandboxes.to_string()),
        ("live now", usage.live_sandboxes.to_string()),
        (
            "cpu reserved",
            format!("{:.1} vCPU-seconds", usage.vcpu_seconds),
        ),
        ("cpu used", format!("{:.1} seconds", usage.cpu_seconds)),
        (
            "memory reserved",
            format!("{:.1} GiB-seconds", usage.memory_gib_seconds),
        ),
        ("time", format!("{:.1} seconds", usage.wall_seconds)),
    ];
    args.format.one(&usage, &facts)?;
    Ok(Ending::Done)
}
