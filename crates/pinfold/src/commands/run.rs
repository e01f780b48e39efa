//! `pinfold run`: options of the embedded run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use pinfold_engine::{CreateSandbox, EngineConfig};
use pinfold_model::network::Rule;
use pinfold_model::sandbox::HostMount;
use pinfold_model::{CommandSpec, NetworkMode, NetworkPolicy, Program};

use crate::cli::Global;
use crate::commands::serve::{Pull, registry_credentials};
use crate::exit::Ending;
use crate::paths::DataDir;
use crate::run::{Installation, Wanted, embedded, is_interactive, terminal_size};
use crate::subnet::SubnetArgs;
use crate::values::{self, Variable};

#[derive(Debug, Args)]
#[command(
    after_help = "The command behaves as if it ran here: its input, output, signals, terminal \
                        and exit code are its own. 124: its time ran out. 125: Pinfold failed. \
                        126, 127: the program cannot be executed, is not there."
)]
pub(crate) struct RunArgs {
    /// An image or template [default: host, a read-only view of this machine's /usr]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) image: Option<String>,

    /// What becomes of a wish for an image that is not there
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value = "missing",
        env = "PINFOLD_PULL"
    )]
    pub(crate) pull: Pull,

    /// Credentials by registry, in the format of docker's config.json
    #[arg(long, value_name = "FILE", env = "PINFOLD_REGISTRY_AUTH_FILE")]
    pub(crate) registry_auth: Option<PathBuf>,

    /// CPUs, such as 2 or 0.5 [default: 1]
    #[arg(long, value_name = "CPUS", value_parser = values::vcpu_millis)]
    pub(crate) vcpu: Option<u32>,

    /// Memory, such as 512m or 2g [default: 1g]
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    pub(crate) memory: Option<u32>,

    /// What it may write to its own disk, such as 10g [default: 4g]
    #[arg(long, value_name = "SIZE", value_parser = values::size_mib)]
    pub(crate) disk: Option<u32>,

    /// Kill the command after this time, such as 90s or 1h30m
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,

    #[command(flatten)]
    pub(crate) subnet: SubnetArgs,

    /// A variable of its environment; NAME alone copies the value it has here
    #[arg(long, short, value_name = "NAME[=VALUE]", value_parser = values::variable)]
    pub(crate) env: Vec<Variable>,

    /// A directory or file of this machine shown inside
    #[arg(long, short = 'v', value_name = "SOURCE:TARGET[:ro]", value_parser = values::mount)]
    pub(crate) mount: Vec<HostMount>,

    /// Where the command begins; made where missing
    #[arg(long, short, value_name = "DIR")]
    pub(crate) workdir: Option<String>,

    /// Who it is inside: a name, UID or UID:GID [default: root]
    #[arg(long, short, value_name = "USER")]
    pub(crate) user: Option<String>,

    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,

    /// A name for the sandbox
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// What to run
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}

/// Whether the command gets a terminal.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct TerminalArgs {
    /// Give it a terminal; auto: if stdin and stdout are one
    #[arg(
        long,
        short,
        value_name = "WHEN",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_value = "auto",
        default_missing_value = "always"
    )]
    tty: Tty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tty {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// Nothing but itself
    None,
    /// The outside, through NAT
    Open,
    /// What --allow says, and nothing else
    Policy,
}

/// What a sandbox may reach.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NetworkArgs {
    /// What it may reach [default with --allow or --deny: policy]
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) network: Option<Network>,

    /// Something it may reach: example.com, *.example.com:443, 203.0.113.0/24, ...
    #[arg(long, value_name = "RULE")]
    pub(crate) allow: Vec<Rule>,

    /// Something it may not, whatever else says so
    #[arg(long, value_name = "RULE")]
    pub(crate) deny: Vec<Rule>,
}

impl NetworkArgs {
    pub(crate) fn mode(&self) -> Option<NetworkMode> {
        let by_rules = self.policy().map(|_| NetworkMode::Policy);
        self.network.map(Into::into).or(by_rules)
    }

    /// `None` where no rule is given.
    pub(crate) fn policy(&self) -> Option<NetworkPolicy> {
        let (allow, deny) = (self.allow.clone(), self.deny.clone());
        let policy = NetworkPolicy { allow, deny };
        (!policy.is_empty()).then_some(policy)
    }
}

impl TerminalArgs {
    pub(crate) fn wanted(self) -> bool {
        match self.tty {
            Tty::Auto => is_interactive(),
            Tty::Always => true,
            Tty::Never => false,
        }
    }
}

impl From<Network> for NetworkMode {
    fn from(network: Network) -> Self {
        match network {
            Network::None => Self::None,
            Network::Open => Self::Open,
            Network::Policy => Self::Policy,
        }
    }
}

pub(crate) async fn run(global: &Global, args: RunArgs) -> Result<Ending> {
    let data = DataDir::locate(global.data_dir.as_deref())?;
    embedded(wanted(args, data, global.database.clone())?).await
}

fn wanted(args: RunArgs, data: DataDir, database: Option<String>) -> Result<Wanted> {
    let mut env = environment(args.env);
    let tty = args.terminal.wanted().then(terminal_size);
    if tty.is_some() {
        copy_term(&mut env);
    }
    let command = CommandSpec {
        env,
        tty,
        timeout: args.timeout,
        ..CommandSpec::new(Program::Argv(text_arguments(args.command)?))
    };
    let sandbox = CreateSandbox {
        name: args.name,
        vcpu_millis: args.vcpu,
        memory_mib: args.memory,
        disk_mib: args.disk,
        network: args.network.mode(),
        network_policy: args.network.policy(),
        workdir: args.workdir,
        user: args.user,
        mounts: args.mount,
        ..CreateSandbox::default()
    };
    Ok(Wanted {
        sandbox,
        image: args.image,
        command,
        installation: Installation {
            data,
            database,
            pull: EngineConfig {
                pull: args.pull.into(),
                registry_credentials: registry_credentials(args.registry_auth.as_deref())?,
                ..EngineConfig::default()
            },
        },
        subnet: args.subnet.chosen(),
        name_servers: args.subnet.name_servers(),
    })
}

/// Variables that are named without a value and not set here stay unset.
pub(crate) fn environment(variables: Vec<Variable>) -> BTreeMap<String, String> {
    let set = variables
        .into_iter()
        .filter_map(|v| Some((v.name, v.value?)));
    set.collect()
}

/// Programs draw for the terminal that shows them, which is ours.
pub(crate) fn copy_term(env: &mut BTreeMap<String, String>) {
    if let Ok(term) = std::env::var("TERM") {
        env.entry("TERM".to_owned()).or_insert(term);
    }
}

pub(crate) fn text_arguments(arguments: Vec<OsString>) -> Result<Vec<String>> {
    let text = |argument: OsString| {
        argument
            .into_string()
            .map_err(|bytes| anyhow!("the argument {bytes:?} is not UTF-8"))
    };
    arguments.into_iter().map(text).collect()
}
