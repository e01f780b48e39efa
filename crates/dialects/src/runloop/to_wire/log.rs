//! Logs: what happened to a command, line by line.

use pinfold_engine::TextPage;
use pinfold_model::journal::Stream;
use pinfold_model::{Command, ExitStatus};

use super::time;
use crate::runloop::{from_wire, wire};

pub(in crate::runloop) fn logs<'a>(
    command: &'a Command,
    text: &'a TextPage,
) -> impl Iterator<Item = wire::Log> + 'a {
    let id = command.id.as_str();
    let entry = move |level, at| wire::Log {
        level,
        source: "exec",
        timestamp_ms: time(at),
        cmd_id: id.to_owned(),
        ..wire::Log::default()
    };
    let begun = wire::Log {
        cmd: Some(from_wire::line_of(&command.spec.program)),
        ..entry("info", command.created_at)
    };
    let lines = text.chunks.iter().flat_map(move |chunk| {
        let level = match chunk.stream {
            Stream::Stdout => "info",
            Stream::Stderr => "error",
        };
        chunk.text.lines().map(move |line| wire::Log {
            message: Some(line.to_owned()),
            ..entry(level, chunk.time)
        })
    });
    let ended = command.ended_at.map(|at| wire::Log {
        exit_code: command.state.exit_status().map(ExitStatus::shell_code),
        ..entry("info", at)
    });
    std::iter::once(begun).chain(lines).chain(ended)
}
