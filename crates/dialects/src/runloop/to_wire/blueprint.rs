//! Blueprints.

use pinfold_engine::BuildEvent;
use pinfold_model::build::{BuildFault, BuildState};
use pinfold_model::journal::Stream;
use pinfold_model::{Build, Time};

use super::time;
use crate::runloop::from_wire::blueprint::said;
use crate::runloop::{ids, wire};

/// Whether a blueprint's image is there, or can still come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runloop) enum Fate {
    Created,
    Deleted,
}

pub(in crate::runloop) fn blueprint(build: Build, fate: Fate) -> wire::Blueprint {
    let status = blueprint_status(&build);
    let said = said(&build);
    let failure = build.failure.as_ref().map(|failure| match failure.fault {
        BuildFault::OutOfDisk => "out_of_disk",
        _ => "build_failed",
    });
    wire::Blueprint {
        id: ids::of_blueprint(&build.id),
        name: said.name.clone(),
        create_time_ms: time(build.created_at),
        parameters: wire::BlueprintParameters {
            name: said.name,
            dockerfile: build.spec.dockerfile,
            system_setup_commands: build
                .spec
                .setup
                .into_iter()
                .skip(said.lines_of_code)
                .collect(),
            build_args: build.spec.args,
            file_mounts: build.spec.files,
            metadata: said.metadata.clone(),
            launch_parameters: said.launch_parameters,
            base_blueprint_id: said.base_blueprint_id.clone(),
            base_blueprint_name: said.base_blueprint_name,
            network_policy_id: said.network_policy_id,
            code_mounts: said.code_mounts,
            secrets: said.secrets,
        },
        state: match fate {
            Fate::Created => "created",
            Fate::Deleted => "deleted",
        },
        status,
        failure_reason: failure,
        build_finish_time_ms: build.ended_at.map(time),
        base_blueprint_id: said.base_blueprint_id,
        metadata: said.metadata,
        is_public: false,
    }
}

pub(in crate::runloop) const fn blueprint_status(build: &Build) -> &'static str {
    match build.state {
        BuildState::Queued => "queued",
        BuildState::Building => "building",
        BuildState::Complete => "build_complete",
        BuildState::Failed => "failed",
    }
}

/// The lines of one event.
pub(in crate::runloop) fn blueprint_logs(event: BuildEvent, at: Time) -> Vec<wire::BlueprintLog> {
    let line = |level, message: &str| wire::BlueprintLog {
        level,
        message: message.to_owned(),
        timestamp_ms: time(at),
    };
    match event {
        BuildEvent::StepStarted { what, .. } => vec![line("info", &what.text)],
        BuildEvent::Output { stream, bytes, .. } => {
            let level = match stream {
                Stream::Stdout => "info",
                Stream::Stderr => "error",
            };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.lines().map(|text| line(level, text)).collect()
        }
        BuildEvent::Truncated { .. } => vec![line("warn", "what followed was not kept")],
        BuildEvent::StepEnded { .. } => Vec::new(),
        BuildEvent::Ended(build) => {
            let failure = build.failure.as_ref();
            failure
                .map(|failure| line("error", &failure.message))
                .into_iter()
                .collect()
        }
    }
}
