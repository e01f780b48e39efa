//! `pinfold sandbox create`.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pinfold_model::network::Rule;
use pinfold_sdk::{
    BindCredential, Client, CreateSandbox, ErrorCode, IdleAction, NetworkMode, NetworkPolicy,
    Sandbox,
};

use crate::commands::run::{Network, NetworkArgs, environment};
use crate::exit::Ending;
use crate::output::{self, Format};
use crate::values::{self, Variable};

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// A name for it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// A template or image; a template where both have the name [default: the server's default image]
    #[arg(long, short, value_name = "NAME")]
    image: Option<String>,

    /// A template, never an image
    #[arg(long, value_name = "NAME", conflicts_with = "image")]
    template: Option<String>,

    /// A sandbox, by name or id: begin with what it has on its disk now, and with its settings
    #[arg(long, value_name = "SANDBOX", conflicts_with_all = ["image", "template"])]
    fork: Option<String>,

    /// CPUs, such as 2 or 0.5
    #[arg(long, value_name = "CPUS", value_parser = values::vcpu_millis)]
    vcpu: Option<u32>,

    /// Memory, such as 512m or 2g
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    memory: Option<u32>,

    /// What it may write to its own disk, such as 10g
    #[arg(long, value_name = "SIZE", value_parser = values::size_mib)]
    disk: Option<u32>,

    #[command(flatten)]
    network: NetworkArgs,

    /// A variable of every command's environment; NAME alone copies the value it has here
    #[arg(long, short, value_name = "NAME[=VALUE]", value_parser = values::variable)]
    env: Vec<Variable>,

    /// Where commands begin
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,

    /// Who commands are inside: a name, UID or UID:GID
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,

    /// Something to remember about it
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    metadata: Vec<(String, String)>,

    /// How long it lives at most, such as 2h
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    ttl: Option<Duration>,

    /// How long it may stay unused
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    idle_timeout: Option<Duration>,

    /// What happens then
    #[arg(long, value_name = "ACTION", value_enum, requires = "idle_timeout")]
    idle_action: Option<Idle>,

    /// A secret that goes with requests to a host, as a bearer token; repeat it for more
    #[arg(
        long,
        value_name = "NAME@HOST[:PORT]",
        value_parser = values::credential,
        long_help = "A secret that goes with requests to a host, as a bearer token; *.HOST stands for \
                     every name below it. In full: \
                     secret=NAME,host=HOST[:PORT][,header=HEADER][,format=FORMAT], where {} in the \
                     format stands for the value. Needs rules of --allow for those hosts"
    )]
    credential: Vec<BindCredential>,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Idle {
    Destroy,
    Suspend,
    Stop,
}

pub(super) async fn run(client: &Client, args: CreateArgs) -> Result<Ending> {
    let format = args.format;
    let fork_of = match &args.fork {
        Some(name) => Some(crate::client::sandbox(client, name).await?.id),
        None => None,
    };
    let request = CreateSandbox {
        fork_of,
        ..request(args)
    };
    let sandbox = create(client, request).await?;
    if format.json {
        output::json(&sandbox)?;
    } else {
        output::line(&sandbox.id)?;
    }
    Ok(Ending::Done)
}

/// From the template of that name; where there is none, from the image, which may have to be pulled.
async fn create(client: &Client, request: CreateSandbox) -> Result<Sandbox> {
    if let Some(name) = request.image.clone() {
        let from_template = CreateSandbox {
            image: None,
            template: Some(name),
            ..request.clone()
        };
        match client.sandboxes().create(&from_template).await {
            Err(error) if error.code() == Some(ErrorCode::TemplateNotFound) => {}
            other => return Ok(other?),
        }
    }
    Ok(client.sandboxes().create(&request).await?)
}

fn request(args: CreateArgs) -> CreateSandbox {
    CreateSandbox {
        name: args.name,
        image: args.image,
        template: args.template,
        vcpu: args.vcpu.map(|millis| f64::from(millis) / 1000.0),
        memory_mib: args.memory,
        disk_mib: args.disk,
        network: args.network.mode().map(mode),
        network_policy: args.network.policy().as_ref().map(policy),
        env: environment(args.env),
        workdir: args.workdir,
        user: args.user,
        metadata: args.metadata.into_iter().collect(),
        ttl_ms: args.ttl.map(values::milliseconds),
        idle_timeout_ms: args.idle_timeout.map(values::milliseconds),
        idle_action: args.idle_action.map(|action| match action {
            Idle::Destroy => IdleAction::Destroy,
            Idle::Suspend => IdleAction::Suspend,
            Idle::Stop => IdleAction::Stop,
        }),
        credentials: (!args.credential.is_empty()).then_some(args.credential),
        ..CreateSandbox::default()
    }
}

pub(crate) const fn network(network: Network) -> NetworkMode {
    match network {
        Network::None => NetworkMode::None,
        Network::Open => NetworkMode::Open,
        Network::Policy => NetworkMode::Policy,
    }
}

pub(crate) const fn mode(mode: pinfold_model::NetworkMode) -> NetworkMode {
    match mode {
        pinfold_model::NetworkMode::None => NetworkMode::None,
        pinfold_model::NetworkMode::Open => NetworkMode::Open,
        pinfold_model::NetworkMode::Policy => NetworkMode::Policy,
    }
}

pub(crate) fn policy(policy: &pinfold_model::NetworkPolicy) -> NetworkPolicy {
    let texts = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect();
    NetworkPolicy {
        allow: texts(&policy.allow),
        deny: texts(&policy.deny),
    }
}
