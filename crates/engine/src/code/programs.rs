//! The programs that run inside the sandbox, as commands. They come with each command, so nothing
//! of them is written to the sandbox's disk.

use std::time::Duration;

use pinfold_model::{CodeContext, CodeContextId, CodeLanguage, CommandId, CommandSpec, Program};
use serde::Serialize;

/// One program in pieces that only define; its last line begins it.
const PYTHON_INTERPRETER: &str = concat!(
    include_str!("programs/interpreter.py"),
    "\n\n",
    include_str!("programs/links.py"),
    "\n\n",
    include_str!("programs/worker.py"),
    "\n\nserve()\n"
);
const PYTHON_RELAY: &str = include_str!("programs/relay.py");
/// The same; the worker is this program once more.
const NODE_INTERPRETER: &str = concat!(
    include_str!("programs/interpreter.js"),
    "\n",
    include_str!("programs/worker.js"),
    "\nconst [first, second, third] = process.argv.slice(1);\n",
    "if (first === 'worker') work(second);\n",
    "else supervise(first, second === 'again', third);\n"
);
const NODE_RELAY: &str = include_str!("programs/relay.js");
/// Takes the Python relay, the one for node, and their arguments.
const EITHER: &str = "p=$0; j=$1; shift; command -v python3 >/dev/null 2>&1 && \
    exec python3 -I -S -c \"$p\" \"$@\"; exec node -e \"$j\" \"$@\"";

/// Linux takes at most 128 KiB in one argument.
const ARGUMENT_MAX_BYTES: usize = 96 << 10;
/// The interpreter ends a run that is over its time; this is for one that no longer can.
const LATE: Duration = Duration::from_secs(25);
/// Each run is bounded by the interpreter; what it prints between runs is kept up to here.
const INTERPRETER_OUTPUT_BYTES: u64 = 1 << 20;

/// One run as the interpreter reads it.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub(super) id: &'a CommandId,
    /// What was accepted before it and had not ended: it begins behind them.
    pub(super) after: &'a [CommandId],
    pub(super) code: &'a str,
    /// Absolute; where the run takes place instead of where the last one left off.
    pub(super) cwd: Option<&'a str>,
    /// Seconds.
    pub(super) timeout: f64,
}

/// The interpreter of one generation of a context.
pub(super) fn interpreter(context: &CodeContext, generation: u32) -> CommandSpec {
    let life = if generation > 1 { "again" } else { "first" };
    let name = socket_name(context, generation);
    let argv = match context.language {
        CodeLanguage::Python => vec!["python3", "-c", PYTHON_INTERPRETER, &name, life],
        CodeLanguage::Javascript | CodeLanguage::Typescript => {
            let language = context.language.as_str();
            vec!["node", "-e", NODE_INTERPRETER, &name, life, language]
        }
    };
    let argv = argv.into_iter().map(str::to_owned).collect();
    CommandSpec {
        cwd: context.asked_cwd.clone(),
        output_cap_bytes: Some(INTERPRETER_OUTPUT_BYTES),
        ..CommandSpec::new(Program::Argv(argv))
    }
}

/// One run in the interpreter of the context's present generation.
pub(super) fn relay(
    context: &CodeContext,
    request: &Request<'_>,
    timeout: Duration,
) -> CommandSpec {
    let program: &[&str] = match context.language {
        CodeLanguage::Python => &["python3", "-I", "-S", "-c", PYTHON_RELAY],
        // Python starts several times faster, so it relays where there is one.
        CodeLanguage::Javascript | CodeLanguage::Typescript => {
            &["sh", "-c", EITHER, PYTHON_RELAY, NODE_RELAY]
        }
    };
    let name = socket_name(context, context.generation);
    let text = serde_json::to_string(request).expect("texts and numbers have a JSON form");
    let argv = program.iter().copied().chain([name.as_str()]);
    let argv = argv.chain(cut(&text)).map(str::to_owned).collect();
    CommandSpec {
        timeout: Some(timeout + LATE),
        ..CommandSpec::new(Program::Argv(argv))
    }
}

/// Names the socket's directory. Its id cannot be guessed, and each generation has its own.
fn socket_name(context: &CodeContext, generation: u32) -> String {
    format!("{}-{generation}", context.id)
}

/// To which generation of its context an interpreter or a relay belongs, by its socket's name.
pub(super) fn generation(context: &CodeContextId, program: &Program) -> Option<u32> {
    let Program::Argv(argv) = program else {
        return None;
    };
    let of = |word: &String| {
        let number = word.strip_prefix(context.as_str())?.strip_prefix('-')?;
        number.parse().ok()
    };
    argv.iter().find_map(of)
}

/// The text in pieces that each fit into one argument.
fn cut(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let mut end = text.len().min(ARGUMENT_MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_loses_none() {
        let text = "aß→𝄞".repeat(40_000);
        let pieces: Vec<_> = cut(&text).collect();
        assert!(pieces.len() > 2);
        assert!(pieces.iter().all(|piece| piece.len() <= ARGUMENT_MAX_BYTES));
        assert_eq!(pieces.concat(), text);
        assert_eq!(cut("").count(), 0);
    }
}
