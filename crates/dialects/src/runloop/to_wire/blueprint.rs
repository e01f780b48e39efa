//! Blueprints.

use pinfold_engine::{BuildEvent, TextDecoder};
use pinfold_model::build::{BuildFault, BuildState};
use pinfold_model::journal::Stream;
use pinfold_model::{Build, Time};

use super::ends::{Ends, Room};
use super::lines::Lines;
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
        BuildFault::OutOfMemory => "out_of_memory",
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

/// The log of a build, made of its events: its beginning and its end, where it is long.
pub(in crate::runloop) struct BuildLog {
    lines: Ends<wire::BlueprintLog>,
    /// When what came last was written.
    at: Time,
    decoders: [TextDecoder; 2],
    begun: Lines,
}

impl BuildLog {
    const FIRST: Room = Room {
        items: 20_000,
        bytes: 4 << 20,
    };
    const LAST: Room = Room {
        items: 80_000,
        bytes: 12 << 20,
    };

    pub(in crate::runloop) fn of(build: &Build) -> Self {
        let mut log = Self {
            lines: Ends::new(Self::FIRST, Self::LAST),
            at: build.created_at,
            decoders: Default::default(),
            begun: Lines::default(),
        };
        for warning in &build.warnings {
            log.line("warn", warning.clone());
        }
        log
    }

    pub(in crate::runloop) fn take(&mut self, event: BuildEvent) {
        match event {
            BuildEvent::StepStarted { what, .. } => self.line("info", what.text),
            BuildEvent::Output {
                stream,
                bytes,
                time,
                ..
            } => {
                self.at = time;
                let text = self.decoders[index(stream)].push(&bytes);
                self.text(stream, &text);
            }
            BuildEvent::Truncated { .. } => {
                self.end_lines();
                self.line("warn", "what followed was not kept".to_owned());
            }
            BuildEvent::StepEnded { result, .. } => {
                self.end_lines();
                if result.cached {
                    self.line("info", "taken from the cache".to_owned());
                }
            }
            BuildEvent::Ended(build) => {
                self.end_lines();
                if let Some(failure) = build.failure {
                    self.line("error", failure.message);
                }
            }
        }
    }

    pub(in crate::runloop) fn finish(mut self) -> Vec<wire::BlueprintLog> {
        self.end_lines();
        let at = time(self.at);
        self.lines.finish(|left_out| wire::BlueprintLog {
            level: "warn",
            message: format!("{left_out} lines are left out here"),
            timestamp_ms: at,
        })
    }

    fn text(&mut self, stream: Stream, text: &str) {
        for line in self.begun.push(stream, text) {
            self.line(level(stream), line);
        }
    }

    /// What a step wrote last need not end with a line break.
    fn end_lines(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let cut = std::mem::take(&mut self.decoders[index(stream)]).finish();
            self.text(stream, &cut.unwrap_or_default());
        }
        for (stream, line) in self.begun.finish() {
            self.line(level(stream), line);
        }
    }

    fn line(&mut self, level: &'static str, mut message: String) {
        if message.ends_with('\r') {
            message.pop();
        }
        let bytes = message.len();
        let line = wire::BlueprintLog {
            level,
            message,
            timestamp_ms: time(self.at),
        };
        self.lines.push(line, bytes);
    }
}

const fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

const fn level(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "info",
        Stream::Stderr => "error",
    }
}
