//! Devboxes.

use pinfold_engine::ShownTunnel;
use pinfold_model::sandbox::EndReason;
use pinfold_model::{Sandbox, SandboxState, Time};

use super::{gateway_specs, mcp_specs, time, tunnel};
use crate::runloop::errors::Refused;
use crate::runloop::{ids, wire};

macro_rules! statuses {
    ($($name:ident = $text:literal,)+) => {
        /// Every status that the vendor has; some never hold here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::runloop) enum Status { $($name,)+ }

        impl Status {
            const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub(in crate::runloop) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

statuses! {
    Scheduled = "scheduled",
    Queued = "queued",
    Provisioning = "provisioning",
    Initializing = "initializing",
    Running = "running",
    Suspending = "suspending",
    Suspended = "suspended",
    Resuming = "resuming",
    Failure = "failure",
    Shutdown = "shutdown",
}

impl std::str::FromStr for Status {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let found = Self::ALL.iter().find(|status| status.as_str() == text);
        let known = found.copied();
        known.ok_or_else(|| Refused::invalid("status", format!("no status {text:?}")))
    }
}

pub(in crate::runloop) fn status(sandbox: &Sandbox) -> Status {
    match sandbox.state {
        SandboxState::Creating => Status::Provisioning,
        SandboxState::Running if sandbox.spec.more.setup.is_pending() => Status::Initializing,
        SandboxState::Running if sandbox.spec.more.farewell.under_way.is_some() => {
            Status::Suspending
        }
        SandboxState::Running => Status::Running,
        SandboxState::Suspended | SandboxState::Stopped => Status::Suspended,
        SandboxState::Failed => Status::Failure,
        SandboxState::Destroyed => Status::Shutdown,
    }
}

pub(in crate::runloop) fn devbox(sandbox: Sandbox, shown: Option<ShownTunnel>) -> wire::Devbox {
    let now = status(&sandbox);
    let failure = sandbox.reason.and_then(failure_reason);
    let kept = wire::Kept::of(&sandbox.spec.more.annotations);
    wire::Devbox {
        id: ids::of_devbox(&sandbox.id),
        status: now.as_str(),
        create_time_ms: time(sandbox.created_at),
        end_time_ms: sandbox.ended_at.map(time),
        capabilities: [],
        launch_parameters: kept.launch_parameters,
        state_transitions: transitions(&sandbox, now),
        blueprint_id: kept.blueprint_id,
        snapshot_id: kept.snapshot_id,
        failure_reason: failure,
        shutdown_reason: sandbox.reason.and_then(shutdown_reason),
        gateway_specs: gateway_specs(&sandbox.spec.more.gateways),
        mcp_specs: mcp_specs(&sandbox.spec.more.gateways),
        tunnel: shown.map(tunnel),
        name: sandbox.spec.name,
        metadata: sandbox.spec.metadata,
    }
}

/// As far as the times of a sandbox's life are kept: when it was made, last began to run, and ended.
fn transitions(sandbox: &Sandbox, now: Status) -> Vec<wire::Transition> {
    let one = |status: Status, at: Time| wire::Transition {
        status: status.as_str(),
        transition_time_ms: time(at),
        failure_reason: None,
    };
    let mut all = vec![one(Status::Provisioning, sandbox.created_at)];
    if let Some(since) = sandbox.running_since {
        all.push(match now {
            Status::Initializing => one(now, since),
            _ => one(Status::Running, since),
        });
    }
    if let Some(at) = sandbox.ended_at {
        let last = one(now, at);
        let category = sandbox.reason.and_then(failure_reason);
        all.push(wire::Transition {
            // Unlike that of the devbox this is a text for people.
            failure_reason: category.map(|category| match &sandbox.failure {
                Some(why) => format!("{category}: {why}"),
                None => category.to_owned(),
            }),
            ..last
        });
    }
    all
}

const fn failure_reason(reason: EndReason) -> Option<&'static str> {
    match reason {
        EndReason::Requested
        | EndReason::TtlExpired
        | EndReason::IdleExpired
        | EndReason::MainExited => None,
        EndReason::OutOfMemory => Some("out_of_memory"),
        EndReason::OutOfDisk => Some("out_of_disk"),
        EndReason::BootFailed => Some("execution_failed"),
        EndReason::Lost => Some("health_check_failed"),
    }
}

const fn shutdown_reason(reason: EndReason) -> Option<&'static str> {
    match reason {
        EndReason::Requested => Some("api_shutdown"),
        EndReason::TtlExpired => Some("keep_alive_timeout"),
        EndReason::IdleExpired => Some("idle"),
        EndReason::MainExited => Some("entrypoint_exit"),
        EndReason::OutOfMemory | EndReason::OutOfDisk | EndReason::BootFailed | EndReason::Lost => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_an_end_is_one_of_the_vendors() {
        for reason in EndReason::ALL {
            let (failure, shutdown) = (failure_reason(reason), shutdown_reason(reason));
            assert!(failure.is_some() != shutdown.is_some(), "{reason:?}");
        }
    }

    #[test]
    fn statuses_read_back_and_others_are_refused() {
        for status in Status::ALL {
            let read = status.as_str().parse::<Status>();
            assert!(read.is_ok_and(|read| read == *status));
        }
        assert!("asleep".parse::<Status>().is_err());
    }
}
