//! Logs: what happened to a command, line by line.

use pinfold_engine::TextPage;
use pinfold_model::journal::Stream;
use pinfold_model::{Command, ExitStatus, Time};

use super::time;
use crate::runloop::{from_wire, wire};

pub(in crate::runloop) fn logs(
    command: &Command,
    text: TextPage,
) -> impl Iterator<Item = wire::Log> + '_ {
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
    let lines = whole_lines(text).into_iter().map(move |line| {
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
    std::iter::once(begun).chain(lines).chain(ended)
}

struct Line {
    stream: Stream,
    ended_at: Time,
    text: String,
}

/// Each line when it ended, wherever chunks were cut; what has not ended comes last.
fn whole_lines(text: TextPage) -> Vec<Line> {
    let (mut out, mut err, mut lines) = (String::new(), String::new(), Vec::new());
    let last = text.chunks.last().map(|chunk| chunk.time);
    for chunk in text.chunks {
        let begun = match chunk.stream {
            Stream::Stdout => &mut out,
            Stream::Stderr => &mut err,
        };
        for piece in chunk.text.split_inclusive('\n') {
            begun.push_str(piece.trim_end_matches('\n'));
            if piece.ends_with('\n') {
                lines.push(Line {
                    stream: chunk.stream,
                    ended_at: chunk.time,
                    text: std::mem::take(begun),
                });
            }
        }
    }
    for (stream, text) in [(Stream::Stdout, out), (Stream::Stderr, err)] {
        if let Some(ended_at) = last.filter(|_| !text.is_empty()) {
            lines.push(Line {
                stream,
                ended_at,
                text,
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_engine::TextChunk;

    #[test]
    fn lines_are_whole_however_they_came() {
        let chunk = |stream, text: &str| TextChunk {
            seq: 1,
            time: Time::UNIX_EPOCH,
            stream,
            text: text.to_owned(),
        };
        let page = TextPage {
            chunks: vec![
                chunk(Stream::Stdout, "one\ntw"),
                chunk(Stream::Stderr, "oh"),
                chunk(Stream::Stdout, "o\n\nthree"),
            ],
            ..TextPage::default()
        };
        let lines = whole_lines(page);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["one", "two", "", "three", "oh"]);
    }
}
