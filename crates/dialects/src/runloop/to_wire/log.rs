//! Logs: what happened to a command, line by line.

use pinfold_engine::{TextChunk, TextTail};
use pinfold_model::journal::Stream;
use pinfold_model::{Command, ExitStatus, Sandbox, Time};

use super::lines::Lines;
use super::time;
use crate::runloop::{from_wire, wire};

/// Stands where something is missing.
const CUT: &str = "earlier lines are left out here; the execution's own streams have them";

pub(in crate::runloop) fn logs(
    command: &Command,
    text: TextTail,
) -> impl Iterator<Item = wire::Log> + '_ {
    let id = command.id.as_str();
    let entry = move |level, at| wire::Log {
        level,
        source: "exec",
        timestamp_ms: time(at),
        cmd_id: Some(id.to_owned()),
        ..wire::Log::default()
    };
    let begun = wire::Log {
        cmd: Some(from_wire::line_of(&command.spec.program)),
        ..entry("info", command.created_at)
    };
    let cut = text.cut.then(|| wire::Log {
        message: Some(CUT.to_owned()),
        ..entry("warn", command.created_at)
    });
    let lines = whole_lines(text.chunks).into_iter().map(move |line| {
        let level = match line.stream {
            Stream::Stdout => "info",
            Stream::Stderr => "error",
        };
        wire::Log {
            message: Some(line.text),
            ..entry(level, line.ended_at)
        }
    });
    let ended = command.ended_at.map(|at| wire::Log {
        exit_code: command.state.exit_status().map(ExitStatus::shell_code),
        ..entry("info", at)
    });
    std::iter::once(begun).chain(cut).chain(lines).chain(ended)
}

/// Why a devbox failed, or rests again though it was to run: no command need have said so.
pub(in crate::runloop) fn failure_log(sandbox: &Sandbox) -> Option<wire::Log> {
    let why = sandbox.failure.clone()?;
    Some(wire::Log {
        level: "error",
        source: "setup_commands",
        timestamp_ms: time(sandbox.ended_at.unwrap_or(sandbox.last_active_at)),
        message: Some(why),
        ..wire::Log::default()
    })
}

/// The newest of the logs of several commands.
#[derive(Debug)]
pub(in crate::runloop) struct Newest {
    lines: usize,
    bytes: usize,
    /// The newest command comes first.
    commands: Vec<Vec<wire::Log>>,
    full: bool,
}

impl Newest {
    pub(in crate::runloop) const fn new(lines: usize, bytes: usize) -> Self {
        Self {
            lines,
            bytes,
            commands: Vec::new(),
            full: false,
        }
    }

    /// Whether nothing more fits.
    pub(in crate::runloop) const fn is_full(&self) -> bool {
        self.full
    }

    /// Takes the logs of a command that is older than those before; of one that does not fit as much of
    /// the end as does.
    pub(in crate::runloop) fn take(&mut self, mut logs: Vec<wire::Log>) {
        let fits = |log: &&wire::Log| {
            let text = log.message.as_ref().or(log.cmd.as_ref());
            let bytes = text.map_or(0, String::len);
            let fits = self.lines > 0 && self.bytes >= bytes;
            if fits {
                self.lines -= 1;
                self.bytes -= bytes;
            }
            fits
        };
        let fitting = logs.iter().rev().take_while(fits).count();
        let missing = logs.len() - fitting;
        if missing > 0 {
            self.full = true;
            // That it begun, and that something is missing behind it.
            let last = &logs[missing - 1];
            let notice = wire::Log {
                level: "warn",
                message: Some(CUT.to_owned()),
                cmd: None,
                exit_code: None,
                cmd_id: last.cmd_id.clone(),
                ..*last
            };
            let rest = logs.split_off(missing);
            let begun = logs.into_iter().next().filter(|_| missing > 1);
            logs = begun.into_iter().chain([notice]).chain(rest).collect();
        }
        self.commands.push(logs);
    }

    /// All of them, oldest first.
    pub(in crate::runloop) fn finish(self) -> Vec<wire::Log> {
        self.commands.into_iter().rev().flatten().collect()
    }
}

struct Line {
    stream: Stream,
    ended_at: Time,
    text: String,
}

/// Each line when it ended, wherever chunks were cut; what has not ended comes last.
fn whole_lines(chunks: Vec<TextChunk>) -> Vec<Line> {
    let (mut begun, mut lines) = (Lines::default(), Vec::new());
    let last = chunks.last().map(|chunk| chunk.time);
    for chunk in chunks {
        let ended = begun.push(chunk.stream, &chunk.text).into_iter();
        lines.extend(ended.map(|text| Line {
            stream: chunk.stream,
            ended_at: chunk.time,
            text,
        }));
    }
    let rest = begun.finish().zip(std::iter::repeat(last));
    lines.extend(rest.filter_map(|((stream, text), last)| {
        let ended_at = last?;
        Some(Line {
            stream,
            ended_at,
            text,
        })
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_came() {
        let chunk = |stream, text: &str| TextChunk {
            seq: 1,
            time: Time::UNIX_EPOCH,
            stream,
            text: text.to_owned(),
        };
        let lines = whole_lines(vec![
            chunk(Stream::Stdout, "one\ntw"),
            chunk(Stream::Stderr, "oh"),
            chunk(Stream::Stdout, "o\n\nthree"),
        ]);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["one", "two", "", "three", "oh"]);
    }

    #[test]
    fn the_newest_lines_stay_and_what_is_missing_is_said() {
        let command = |id: &str, lines: usize| {
            let entry = |cmd: Option<&str>, message: Option<String>| wire::Log {
                cmd: cmd.map(str::to_owned),
                message,
                cmd_id: Some(id.to_owned()),
                ..wire::Log::default()
            };
            let lines = (0..lines).map(|n| entry(None, Some(n.to_string())));
            std::iter::once(entry(Some("seq"), None))
                .chain(lines)
                .collect::<Vec<_>>()
        };
        let shown = |newest: Newest| {
            let text = |log: wire::Log| match (log.cmd, log.message) {
                (Some(_), _) => format!("{}:", log.cmd_id.unwrap_or_default()),
                (None, message) => message.filter(|text| text != CUT).unwrap_or("...".into()),
            };
            newest.finish().into_iter().map(text).collect::<Vec<_>>()
        };
        let mut newest = Newest::new(100, 1000);
        newest.take(command("b", 2));
        newest.take(command("a", 1));
        assert!(!newest.is_full());
        assert_eq!(shown(newest), ["a:", "0", "b:", "0", "1"]);
        let mut newest = Newest::new(5, 1000);
        newest.take(command("b", 2));
        newest.take(command("a", 4));
        assert!(newest.is_full());
        assert_eq!(shown(newest), ["a:", "...", "2", "3", "b:", "0", "1"]);
        let mut newest = Newest::new(3, 1000);
        newest.take(command("b", 3));
        assert_eq!(shown(newest), ["...", "0", "1", "2"]);
    }
}
