//! What a run of code tells: typed events, read from the lines that its relay prints.
//!
//! The lines come from inside the sandbox, where anybody may have written them. So nothing in them
//! is trusted: what is no event of the known form is passed over, and every size is bounded.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One line at most; a longer one is passed over.
const LINE_MAX_BYTES: usize = 12 << 20;
/// Media types of one output at most.
const FORMS_MAX: usize = 16;
/// Outputs of a run: those that an interpreter shows, and the one that tells of the rest.
const OUTPUTS_MAX: usize = 257;
const FORM_MAX_CHARS: usize = 100;
const NAME_MAX_CHARS: usize = 200;
const MESSAGE_MAX_BYTES: usize = 1 << 20;

/// One thing that happened in a run, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum CodeEvent {
    /// The code began.
    Begun {
        /// Counts the runs of this interpreter, from 1.
        execution_count: u32,
        /// Variables of earlier runs are gone: this is the first run of a fresh interpreter.
        restarted: bool,
    },
    Stdout(String),
    Stderr(String),
    /// The run wrote more than 8 MiB to both streams; the rest is dropped.
    Truncated,
    Output(CodeOutput),
    Error(CodeError),
    /// The last one.
    Complete(CodeCompletion),
}

/// A value in every form it offers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CodeOutput {
    /// By media type: text, base64 for binary forms, or any JSON for `application/json`.
    pub data: BTreeMap<String, Value>,
    /// Forms that were cut to their bound.
    pub truncated: Vec<String>,
    /// Forms that are too large, or could not be made.
    pub rejected: Vec<RejectedForm>,
    /// The value of the last expression, not of a `display`.
    pub is_result: bool,
}

/// A form of an output that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedForm {
    pub format: String,
    pub reason: String,
    /// It was there, and is over a bound.
    pub too_large: bool,
}

/// What the code raised, or why it could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeError {
    pub name: String,
    pub message: String,
    /// With the frames of the code alone; may be empty.
    pub traceback: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodeCompletion {
    pub ending: CodeEnding,
    pub execution_count: Option<u32>,
    /// From its beginning; `None` where nobody measured it.
    pub duration_ms: Option<f64>,
    /// Whether variables are there for the next run.
    pub state_kept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeEnding {
    Ok,
    Error,
    Interrupted,
    TimedOut,
    Died,
    /// The sandbox's processes are gone; nobody knows how far it came.
    Lost,
}

/// A line as the programs inside print it.
#[derive(Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
enum Line {
    Begin {
        n: u32,
        restarted: bool,
    },
    Stdout {
        d: String,
    },
    Stderr {
        d: String,
    },
    Truncated,
    Output {
        data: BTreeMap<String, Value>,
        rejected: Vec<Rejected>,
        truncated: Vec<String>,
        result: bool,
    },
    Error {
        name: String,
        message: String,
        traceback: String,
    },
    Complete {
        status: CodeEnding,
        n: u32,
        ms: f64,
        kept: bool,
    },
}

#[derive(Deserialize)]
struct Rejected {
    format: String,
    reason: String,
    /// Interpreters that began under an earlier server do not say.
    #[serde(default)]
    large: bool,
}

/// Puts lines together from bytes, and events from lines. Ends with the first `Complete`.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    /// The line is over its bound: its rest is passed over.
    skipping: bool,
    complete: bool,
    outputs: usize,
}

impl Lines {
    pub(super) fn take(&mut self, mut bytes: &[u8], mut event: impl FnMut(CodeEvent)) {
        while !self.complete && !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + part.len() > LINE_MAX_BYTES {
                self.skipping = true;
                self.line = Vec::new();
            }
            if !self.skipping {
                self.line.extend_from_slice(part);
            }
            let Some(end) = end else {
                return;
            };
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            if !std::mem::take(&mut self.skipping)
                && let Some(found) = parse(&line)
                && self.admits(&found)
            {
                self.complete = matches!(found, CodeEvent::Complete(_));
                event(found);
            }
        }
    }

    /// Interpreters hold this bound themselves, but code can speak in their place.
    fn admits(&mut self, found: &CodeEvent) -> bool {
        let output = matches!(found, CodeEvent::Output(_));
        self.outputs += usize::from(output);
        !output || self.outputs <= OUTPUTS_MAX
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

fn parse(line: &[u8]) -> Option<CodeEvent> {
    Some(match serde_json::from_slice(line).ok()? {
        Line::Begin { n, restarted } => CodeEvent::Begun {
            execution_count: n,
            restarted,
        },
        Line::Stdout { d } => CodeEvent::Stdout(d),
        Line::Stderr { d } => CodeEvent::Stderr(d),
        Line::Truncated => CodeEvent::Truncated,
        Line::Output {
            data,
            rejected,
            truncated,
            result,
        } => CodeEvent::Output(CodeOutput {
            data: data
                .into_iter()
                .filter(|(form, _)| form.chars().count() <= FORM_MAX_CHARS)
                .take(FORMS_MAX)
                .collect(),
            truncated: truncated.into_iter().take(FORMS_MAX).collect(),
            rejected: rejected.into_iter().take(FORMS_MAX).map(bounded).collect(),
            is_result: result,
        }),
        Line::Error {
            name,
            message,
            traceback,
        } => CodeEvent::Error(CodeError {
            name: name.chars().take(NAME_MAX_CHARS).collect(),
            message: cut(message, MESSAGE_MAX_BYTES),
            traceback: cut(traceback, MESSAGE_MAX_BYTES),
        }),
        Line::Complete {
            status,
            n,
            ms,
            kept,
        } => CodeEvent::Complete(CodeCompletion {
            ending: status,
            execution_count: (n > 0).then_some(n),
            duration_ms: (ms.is_finite() && ms >= 0.0).then_some(ms),
            state_kept: kept,
        }),
    })
}

fn bounded(rejected: Rejected) -> RejectedForm {
    RejectedForm {
        format: rejected.format.chars().take(FORM_MAX_CHARS).collect(),
        reason: rejected.reason.chars().take(1000).collect(),
        too_large: rejected.large,
    }
}

fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COMPLETE: &[u8] =
        b"{\"t\":\"complete\",\"status\":\"ok\",\"n\":2,\"ms\":1.5,\"kept\":true}\n";

    fn events(lines: &mut Lines, bytes: &[u8]) -> Vec<CodeEvent> {
        let mut events = Vec::new();
        lines.take(bytes, |event| events.push(event));
        events
    }

    #[test]
    fn what_is_no_event_is_passed_over() {
        let mut lines = Lines::default();
        let junk = b"\xff\n{}\n{\"t\":\"rm\"}\n{\"t\":\"stdout\",\"d\":1}\n\n{\"t\":\"stdout\",\"d\":\"x\"}\n";
        assert_eq!(events(&mut lines, junk), [CodeEvent::Stdout("x".into())]);
    }

    #[test]
    fn outputs_beyond_the_bound_are_passed_over() {
        let one =
            b"{\"t\":\"output\",\"data\":{},\"rejected\":[],\"truncated\":[],\"result\":false}\n";
        let mut lines = Lines::default();
        let many = one.repeat(OUTPUTS_MAX + 9);
        assert_eq!(events(&mut lines, &many).len(), OUTPUTS_MAX);
        assert_eq!(events(&mut lines, COMPLETE).len(), 1);
    }

    #[test]
    fn nothing_follows_the_end() {
        let mut lines = Lines::default();
        let twice = [COMPLETE, b"{\"t\":\"stdout\",\"d\":\"x\"}\n", COMPLETE].concat();
        assert_eq!(events(&mut lines, &twice).len(), 1);
        assert!(lines.is_complete());
    }

    #[test]
    fn a_line_over_its_bound_is_passed_over_and_the_next_is_read() {
        let mut lines = Lines::default();
        let long = vec![b'x'; LINE_MAX_BYTES / 2 + 1];
        for _ in 0..3 {
            assert!(events(&mut lines, &long).is_empty());
            assert!(lines.line.len() <= LINE_MAX_BYTES);
        }
        assert!(events(&mut lines, b"\n").is_empty());
        assert_eq!(events(&mut lines, COMPLETE).len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            events(&mut Lines::default(), &bytes);
        }

        #[test]
        fn events_do_not_depend_on_how_their_bytes_arrive(cuts in proptest::collection::vec(1..9usize, 1..60)) {
            let text = [b"{\"t\":\"stderr\",\"d\":\"\\u00fc\"}\n".as_slice(), COMPLETE].concat();
            let whole = events(&mut Lines::default(), &text);
            let (mut lines, mut pieces, mut rest) = (Lines::default(), Vec::new(), text.as_slice());
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.extend(events(&mut lines, piece));
                rest = left;
            }
            pieces.extend(events(&mut lines, rest));
            prop_assert_eq!(pieces, whole);
        }
    }
}
