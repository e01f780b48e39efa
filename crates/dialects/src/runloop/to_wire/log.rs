//! Logs: what happened to a command, line by line.

use pinfold_engine::TextPage;
use pinfold_model::journal::Stream;
use pinfold_model::{Command, ExitStatus};

use super::time;
use crate::runloop::{from_wire, wire};

pub(in crate::runloop) fn logs(command: Command, text: TextPage) -> Vec<wire::Log> {
    let id = command.id.as_str();
    let entry = |level, at| wire::Log {
        level,
        source: "exec",
        timestamp_ms: time(at),
        cmd_id: id.to_owned(),
        ..wire::Log::default()
    };
    let mut logs = vec![wire::Log {
        cmd: Some(from_wire::line_of(&command.spec.program)),
        ..entry("info", command.created_at)
    }];
    for chunk in text.chunks {
        let level = match chunk.stream {
            Stream::Stdout => "info",
            Stream::Stderr => "error",
        };
        let lines = chunk.text.lines().map(|line| wire::Log {
            message: Some(line.to_owned()),
            ..entry(level, chunk.time)
        });
        logs.extend(lines);
    }
    if let Some(at) = command.ended_at {
        logs.push(wire::Log {
            exit_code: command.state.exit_status().map(ExitStatus::shell_code),
            ..entry("info", at)
        });
    }
    logs
}
