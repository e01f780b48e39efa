//! `pinfold sandbox ssh-key`: keys that open a sandbox over SSH.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use pinfold_sdk::{Client, CreateSshKey, SshGateway, SshKey};

use crate::client::sandbox;
use crate::exit::Ending;
use crate::output::{self, Format, remark, time};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum SshKeyCommand {
    /// Make one, and print its private half
    Create(CreateArgs),
    /// Those of a sandbox
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// End one at once, with the connections of who came in with it
    #[command(visible_alias = "revoke")]
    Rm(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// Let a public key of yours in, such as ~/.ssh/id_ed25519.pub
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,

    /// How long one may log in with it, such as 2h [default: as long as the sandbox lives]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    expires: Option<Duration>,

    /// Write the private half to this new file, for its owner only
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["public_key", "json"])]
    out: Option<PathBuf>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// Its id
    #[arg(value_name = "KEY")]
    key: String,
}

pub(super) async fn run(client: &Client, command: SshKeyCommand) -> Result<Ending> {
    match command {
        SshKeyCommand::Create(args) => create(client, args).await?,
        SshKeyCommand::Ls(args) => list(client, args).await?,
        SshKeyCommand::Rm(args) => {
            let sandbox = sandbox(client, &args.sandbox).await?;
            client.ssh_keys().delete(&sandbox.id, &args.key).await?;
            output::line(&args.key)?;
        }
    }
    Ok(Ending::Done)
}

async fn create(client: &Client, args: CreateArgs) -> Result<()> {
    let public_key = args.public_key.as_deref().map(read).transpose()?;
    let sandbox = sandbox(client, &args.sandbox).await?;
    let request = CreateSshKey {
        public_key,
        expires_in_ms: args.expires.map(values::milliseconds),
    };
    let created = client.ssh_keys().create(&sandbox.id, &request).await?;
    if args.format.json {
        return output::json(&created);
    }
    let identity = match (&created.private_key, &args.out) {
        (Some(private), Some(path)) => {
            write_private(path, private)?;
            output::line(&created.key.id)?;
            format!("-i {} ", path.display())
        }
        (Some(private), None) => {
            output::line(private.trim_end())?;
            "-i FILE ".to_owned()
        }
        (None, _) => {
            output::line(&created.key.id)?;
            String::new()
        }
    };
    remark(&format!("{} {}", created.key.id, created.key.fingerprint));
    remark(&format!("ssh {identity}{}", destination(&created.gateway)));
    remark(&format!("known_hosts: {}", created.gateway.known_hosts));
    Ok(())
}

async fn list(client: &Client, args: ListArgs) -> Result<()> {
    let sandbox = sandbox(client, &args.sandbox).await?;
    let all: Vec<SshKey> = client.ssh_keys().all(&sandbox.id).try_collect().await?;
    let columns = ["ID", "FINGERPRINT", "CREATED", "EXPIRES"];
    args.format.list(&all, columns, |key| {
        [
            key.id.clone(),
            key.fingerprint.clone(),
            time(&key.created_at),
            key.expires_at
                .as_deref()
                .map_or_else(|| "-".to_owned(), time),
        ]
    })
}

fn destination(gateway: &SshGateway) -> String {
    format!("-p {} {}@{}", gateway.port, gateway.user, gateway.host)
}

fn read(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path);
    text.with_context(|| format!("cannot read the public key {}", path.display()))
}

/// For its owner only, and never over another file.
pub(super) fn write_private(path: &Path, private: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(private.as_bytes()));
    written.with_context(|| format!("cannot write the private key to {}", path.display()))
}
