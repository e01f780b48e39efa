//! Sandboxes.

use std::time::Duration;

use pinfold_engine::{CreateSandbox, ImageOrTemplate, SandboxFilter, SandboxNetwork, States, Wait};
use pinfold_model::network::Rule;
use pinfold_model::sandbox::{EndReason, IdleAction, SandboxExtras};
use pinfold_model::{Code, Error, NetworkMode, NetworkPolicy, Result, Sandbox, SandboxState};
use pinfold_wire as wire;

use super::quantity::{millis, time, vcpu, vcpu_millis};
use super::secret;

pub(crate) fn to_wire(sandbox: Sandbox) -> wire::Sandbox {
    let spec = sandbox.spec;
    let (template_id, template, template_version) = match spec.template {
        Some(origin) => (
            Some(origin.id.into()),
            Some(origin.name),
            Some(origin.version),
        ),
        None => (None, None, None),
    };
    wire::Sandbox {
        id: sandbox.id.into(),
        project_id: sandbox.project.into(),
        name: spec.name,
        state: state(sandbox.state),
        reason: sandbox.reason.map(reason),
        failure: sandbox.failure,
        image: spec.image_name,
        image_id: spec.image.into(),
        template,
        template_id,
        template_version,
        template_version_id: spec.template_version.map(Into::into),
        forked_from: spec.forked_from.map(Into::into),
        vcpu: vcpu(spec.resources.vcpu_millis),
        memory_mib: spec.resources.memory_mib,
        disk_mib: spec.resources.disk_mib,
        pids: spec.resources.pids,
        network_policy: policy(spec.network, &spec.network_policy),
        network_policy_id: spec.network_policy_id.map(Into::into),
        network: network(spec.network),
        env_names: spec.env.into_keys().collect(),
        workdir: spec.workdir,
        user: spec.user,
        hostname: spec.hostname,
        metadata: spec.metadata,
        ttl_ms: spec.ttl.map(millis),
        idle_timeout_ms: spec.idle_timeout.map(millis),
        idle_action: match spec.idle_action {
            IdleAction::Destroy => wire::IdleAction::Destroy,
            IdleAction::Suspend => wire::IdleAction::Suspend,
            IdleAction::Stop => wire::IdleAction::Stop,
        },
        credentials: spec.credentials.iter().map(secret::credential).collect(),
        created_at: time(sandbox.created_at),
        running_since: sandbox.running_since.map(time),
        expires_at: sandbox.expires_at.map(time),
        last_active_at: time(sandbox.last_active_at),
        ended_at: sandbox.ended_at.map(time),
    }
}

fn state(state: SandboxState) -> wire::SandboxState {
    match state {
        SandboxState::Creating => wire::SandboxState::Creating,
        SandboxState::Running => wire::SandboxState::Running,
        SandboxState::Suspended => wire::SandboxState::Suspended,
        SandboxState::Stopped => wire::SandboxState::Stopped,
        SandboxState::Failed => wire::SandboxState::Failed,
        SandboxState::Destroyed => wire::SandboxState::Destroyed,
    }
}

fn reason(reason: EndReason) -> wire::EndReason {
    match reason {
        EndReason::Requested => wire::EndReason::Requested,
        EndReason::TtlExpired => wire::EndReason::TtlExpired,
        EndReason::IdleExpired => wire::EndReason::IdleExpired,
        EndReason::BootFailed => wire::EndReason::BootFailed,
        EndReason::Lost => wire::EndReason::Lost,
        EndReason::OutOfMemory => wire::EndReason::OutOfMemory,
        EndReason::OutOfDisk => wire::EndReason::OutOfDisk,
        EndReason::MainExited => wire::EndReason::MainExited,
    }
}

pub(crate) fn network(mode: NetworkMode) -> wire::NetworkMode {
    match mode {
        NetworkMode::None => wire::NetworkMode::None,
        NetworkMode::Open => wire::NetworkMode::Open,
        NetworkMode::Policy => wire::NetworkMode::Policy,
    }
}

/// Shown where it is obeyed.
pub(crate) fn policy(mode: NetworkMode, policy: &NetworkPolicy) -> Option<wire::NetworkPolicy> {
    (mode == NetworkMode::Policy).then(|| policy_to_wire(policy))
}

pub(super) fn policy_to_wire(policy: &NetworkPolicy) -> wire::NetworkPolicy {
    let texts = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect();
    wire::NetworkPolicy {
        allow: texts(&policy.allow),
        deny: texts(&policy.deny),
    }
}

pub(crate) fn from_policy(policy: wire::NetworkPolicy) -> Result<NetworkPolicy> {
    Ok(NetworkPolicy {
        allow: rules(policy.allow)?,
        deny: rules(policy.deny)?,
    })
}

pub(super) fn rules(texts: Vec<String>) -> Result<Vec<Rule>> {
    texts.into_iter().map(Rule::try_from).collect()
}

pub(crate) fn network_to_wire(network: SandboxNetwork) -> wire::SandboxNetwork {
    let counts = network.counts;
    wire::SandboxNetwork {
        mode: self::network(network.mode),
        policy: policy_to_wire(&network.policy),
        connections: counts.connections,
        refused: counts.refused,
        bytes_out: counts.bytes_out,
        bytes_in: counts.bytes_in,
        questions: counts.questions,
        questions_refused: counts.questions_refused,
        last_refused: network
            .refused
            .into_iter()
            .map(|refused| wire::NetworkRefusal {
                at: time(refused.at),
                host: refused.host,
                port: refused.port,
                why: refused.why.to_string(),
            })
            .collect(),
    }
}

pub(crate) fn from_network(mode: wire::NetworkMode) -> Result<NetworkMode> {
    // A word the wire does not know is one the domain does not, with its list of those it does.
    mode.as_str().parse()
}

fn idle_action(action: wire::IdleAction) -> Result<IdleAction> {
    match action {
        wire::IdleAction::Destroy => Ok(IdleAction::Destroy),
        wire::IdleAction::Suspend => Ok(IdleAction::Suspend),
        wire::IdleAction::Stop => Ok(IdleAction::Stop),
        wire::IdleAction::Unknown => Err(Error::invalid(
            "idle_action",
            "idle_action must be \"destroy\", \"suspend\" or \"stop\"",
        )),
    }
}

pub(crate) fn from_wire(request: wire::CreateSandbox) -> Result<CreateSandbox> {
    let source = (request.image, request.template, request.template_version);
    let from = match source {
        (None, None, None) if let Some(id) = &request.fork_of => {
            let unknown = |_| Error::new(Code::SandboxNotFound, format!("no sandbox {id:?}"));
            ImageOrTemplate::Sandbox(id.parse().map_err(unknown)?)
        }
        _ if request.fork_of.is_some() => {
            return Err(Error::invalid(
                "fork_of",
                "a fork has the image of its original; give fork_of without image and template",
            ));
        }
        (None, Some(template), version) => ImageOrTemplate::Template { template, version },
        (_, _, Some(_)) => {
            return Err(Error::invalid(
                "template_version",
                "template_version goes with a template",
            ));
        }
        (Some(_), Some(_), _) => {
            return Err(Error::invalid(
                "template",
                "give an image or a template, not both",
            ));
        }
        (Some(image), None, None) => ImageOrTemplate::Image(image),
        (None, None, None) => ImageOrTemplate::Default,
    };
    Ok(CreateSandbox {
        project: None,
        name: request.name,
        from,
        vcpu_millis: request.vcpu.map(vcpu_millis).transpose()?,
        memory_mib: request.memory_mib,
        disk_mib: request.disk_mib,
        pids: request.pids,
        network: request.network.map(from_network).transpose()?,
        network_policy: request.network_policy.map(from_policy).transpose()?,
        network_policy_id: request.network_policy_id,
        env: request.env,
        workdir: request.workdir,
        user: request.user,
        hostname: request.hostname,
        metadata: request.metadata,
        ttl: request.ttl_ms.map(Duration::from_millis),
        idle_timeout: request.idle_timeout_ms.map(Duration::from_millis),
        idle_action: request.idle_action.map(idle_action).transpose()?,
        mounts: Vec::new(),
        credentials: request.credentials.map(secret::bound).transpose()?,
        gateways: Vec::new(),
        more: SandboxExtras::default(),
        setup_secrets: Default::default(),
        // Tunnels are a vendor's: here every port has a preview of its own.
        tunnel: None,
        wait: match request.wait {
            Some(false) => Wait::No,
            Some(true) | None => Wait::Running,
        },
    })
}

pub(crate) fn filter(query: &wire::ListSandboxes) -> Result<SandboxFilter> {
    let states = match (query.state, query.include_ended.unwrap_or(false)) {
        (None, false) => States::Present,
        (None, true) => States::All,
        (Some(_), true) => {
            return Err(Error::invalid(
                "include_ended",
                "a state says already which sandboxes are wanted",
            ));
        }
        (Some(state), false) => States::Only(vec![state.as_str().parse()?]),
    };
    Ok(SandboxFilter {
        project: None,
        states,
        metadata: query.metadata.clone(),
    })
}
