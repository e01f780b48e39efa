//! `pinfold sandbox network`: what a sandbox may reach, and what became of its tries.

use anyhow::Result;
use clap::Args;
use pinfold_sdk::{Client, PutSandboxNetwork, SandboxNetwork};

use super::{mode, policy};
use crate::client;
use crate::commands::run::NetworkArgs;
use crate::exit::Ending;
use crate::output::{Format, bytes, time};

#[derive(Debug, Args)]
pub(crate) struct ShowOrSetArgs {
    /// Name or id
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    format: Format,
}

/// Shows it; with a mode or rules, which are then all that hold, changes it first.
pub(super) async fn run(client: &Client, args: ShowOrSetArgs) -> Result<Ending> {
    let id = client::sandbox(client, &args.sandbox).await?.id;
    let network = match args.network.mode() {
        Some(wanted) => {
            let request = PutSandboxNetwork {
                mode: mode(wanted),
                policy: args.network.policy().as_ref().map(policy),
            };
            client.sandboxes().set_network(&id, &request).await?
        }
        None => client.sandboxes().network(&id).await?,
    };
    args.format.one(&network, &facts(&network))?;
    Ok(Ending::Done)
}

fn facts(network: &SandboxNetwork) -> Vec<(&'static str, String)> {
    let mut facts = vec![("mode", network.mode.to_string())];
    let rules = |rules: &[String]| rules.join(" ");
    if !network.policy.allow.is_empty() {
        facts.push(("allow", rules(&network.policy.allow)));
    }
    if !network.policy.deny.is_empty() {
        facts.push(("deny", rules(&network.policy.deny)));
    }
    facts.extend([
        ("connections", network.connections.to_string()),
        ("refused", network.refused.to_string()),
        ("sent", bytes(network.bytes_out)),
        ("received", bytes(network.bytes_in)),
        ("names asked", network.questions.to_string()),
        ("names refused", network.questions_refused.to_string()),
    ]);
    for refused in &network.last_refused {
        let port = refused
            .port
            .map_or(String::new(), |port| format!(":{port}"));
        let text = format!(
            "{} {}{port}: {}",
            time(&refused.at),
            refused.host,
            refused.why
        );
        facts.push(("refused", text));
    }
    facts
}
