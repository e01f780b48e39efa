//! `pinfold sandbox`: sandboxes of a server.

mod attached;
mod change;
mod code;
mod contexts;
mod copy;
mod create;
mod exec;
mod list;
mod logs;
mod network;
mod show;
mod snapshot;
mod ssh;
mod ssh_key;

use anyhow::Result;
use clap::Subcommand;
use pinfold_sdk::Sandbox;

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{bytes, or_dash, time};

pub(crate) use copy::tar_of_directory;
pub(crate) use create::{mode, network, policy};

#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Make one
    Create(create::CreateArgs),
    /// Those that live
    #[command(visible_alias = "list")]
    Ls(list::ListArgs),
    /// Everything about one
    Show(show::ShowArgs),
    /// Run a command in one
    Exec(exec::ExecArgs),
    /// Run Python, JavaScript or TypeScript in one, with variables that last
    Code(code::CodeArgs),
    /// Code contexts of one: the interpreters behind `code`
    #[command(subcommand)]
    Contexts(contexts::ContextsCommand),
    /// Open a shell in one
    Shell(exec::ShellArgs),
    /// Open a shell in one over SSH, or run what `ssh` can: commands, forwarded ports
    Ssh(ssh::SshArgs),
    /// Keys that open one over SSH
    #[command(subcommand)]
    SshKey(ssh_key::SshKeyCommand),
    /// Copy files in or out
    Cp(copy::CopyArgs),
    /// What its commands wrote
    Logs(logs::LogsArgs),
    /// Its commands
    Commands(list::CommandsArgs),
    /// Freeze one: memory and processes kept, no CPU
    Suspend(change::ChangeArgs),
    /// Let a frozen one go on
    Resume(change::ChangeArgs),
    /// End its processes and keep its disk
    Stop(change::ChangeArgs),
    /// Boot a stopped one
    Start(change::ChangeArgs),
    /// What one may reach; with a mode or rules, change it
    Network(network::ShowOrSetArgs),
    /// Keep what one has on its disk as an image
    Snapshot(snapshot::SnapshotArgs),
    /// Give one more time to live
    Extend(change::ExtendArgs),
    /// End some, and remove everything of them
    #[command(visible_alias = "destroy")]
    Rm(change::RemoveArgs),
}

impl SandboxCommand {
    /// Whether its exit code is a command's own.
    pub(crate) const fn runs_a_command(&self) -> bool {
        matches!(self, Self::Exec(_) | Self::Shell(_) | Self::Ssh(_))
    }
}

pub(crate) async fn run(global: &Global, command: SandboxCommand) -> Result<Ending> {
    let client = client::connect(global)?;
    match command {
        SandboxCommand::Create(args) => create::run(&client, args).await,
        SandboxCommand::Ls(args) => list::sandboxes(&client, args).await,
        SandboxCommand::Show(args) => show::run(&client, args).await,
        SandboxCommand::Exec(args) => exec::exec(&client, args).await,
        SandboxCommand::Code(args) => code::run(&client, args).await,
        SandboxCommand::Contexts(command) => contexts::run(&client, command).await,
        SandboxCommand::Shell(args) => exec::shell(&client, args).await,
        SandboxCommand::Ssh(args) => ssh::run(&client, args).await,
        SandboxCommand::SshKey(command) => ssh_key::run(&client, command).await,
        SandboxCommand::Cp(args) => copy::run(&client, args).await,
        SandboxCommand::Logs(args) => logs::run(&client, args).await,
        SandboxCommand::Commands(args) => list::commands(&client, args).await,
        SandboxCommand::Suspend(args) => change::suspend(&client, args).await,
        SandboxCommand::Resume(args) => change::resume(&client, args).await,
        SandboxCommand::Stop(args) => change::stop(&client, args).await,
        SandboxCommand::Start(args) => change::start(&client, args).await,
        SandboxCommand::Snapshot(args) => snapshot::run(&client, args).await,
        SandboxCommand::Network(args) => network::run(&client, args).await,
        SandboxCommand::Extend(args) => change::extend(&client, args).await,
        SandboxCommand::Rm(args) => change::remove(&client, args).await,
    }
}

/// A sandbox's facts, for people.
fn facts(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("id", sandbox.id.clone()),
        ("name", or_dash(sandbox.name.as_ref())),
        ("state", state(sandbox)),
        ("image", sandbox.image.clone()),
        ("cpus", sandbox.vcpu.to_string()),
        ("memory", bytes(u64::from(sandbox.memory_mib) << 20)),
        ("disk", bytes(u64::from(sandbox.disk_mib) << 20)),
        ("network", sandbox.network.to_string()),
        ("workdir", sandbox.workdir.clone()),
        ("user", sandbox.user.clone()),
        ("created", time(&sandbox.created_at)),
        (
            "expires",
            sandbox
                .expires_at
                .as_deref()
                .map_or_else(|| "never".to_owned(), time),
        ),
    ];
    for credential in &sandbox.credentials {
        let (secret, host) = (&credential.secret, &credential.host);
        facts.push((
            "credential",
            format!("{secret} to {host} in {}", credential.header),
        ));
    }
    if let Some(failure) = &sandbox.failure {
        facts.push(("failure", failure.clone()));
    }
    facts
}

fn state(sandbox: &Sandbox) -> String {
    match sandbox.reason {
        Some(reason) => format!("{} ({reason})", sandbox.state),
        None => sandbox.state.to_string(),
    }
}
