//! Executions: of a stream's end so many lines, and whether that is all.

use pinfold_engine::{OutputTail, RunOutput};
use pinfold_model::{CommandState, ExitStatus};

use crate::runloop::errors::Refused;
use crate::runloop::{from_wire, ids, wire};

pub(in crate::runloop) fn execution(tail: OutputTail, last_n: usize) -> wire::Execution {
    let command = tail.command;
    let state = command.state;
    let mut shown = wire::Execution {
        devbox_id: ids::of_devbox(&command.sandbox),
        status: status(state),
        exit_status: state.exit_status().map(ExitStatus::shell_code),
        stdout: None,
        stderr: None,
        stdout_truncated: None,
        stderr_truncated: None,
        execution_id: command.id.into(),
        shell_name: from_wire::shell_name(&command.spec),
    };
    if state.is_terminal() {
        let (stdout, cut) = last_lines(&tail.stdout, tail.stdout_cut, last_n);
        (shown.stdout, shown.stdout_truncated) = (Some(stdout), Some(cut));
        let (stderr, cut) = last_lines(&tail.stderr, tail.stderr_cut, last_n);
        (shown.stderr, shown.stderr_truncated) = (Some(stderr), Some(cut));
    }
    shown
}

/// A command that ended; one that was lost has nothing to say, and that is an error here.
pub(in crate::runloop) fn sync_execution(run: RunOutput) -> Result<wire::SyncExecution, Refused> {
    let Some(exit) = run.command.state.exit_status() else {
        return Err(Refused::bad("the devbox ended while the command ran"));
    };
    if run.stdout_truncated || run.stderr_truncated {
        return Err(Refused::bad(
            "the command wrote more than one answer holds; execute it asynchronously",
        ));
    }
    Ok(wire::SyncExecution {
        devbox_id: ids::of_devbox(&run.command.sandbox),
        exit_status: exit.shell_code(),
        stdout: String::from_utf8_lossy(&run.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&run.stderr).into_owned(),
    })
}

const fn status(state: CommandState) -> &'static str {
    match state {
        CommandState::Queued => "queued",
        CommandState::Starting | CommandState::Running => "running",
        CommandState::Exited(_)
        | CommandState::Cancelled(_)
        | CommandState::TimedOut(_)
        | CommandState::Killed
        | CommandState::Lost => "completed",
    }
}

/// The last `n` lines of the end of a stream, and whether something is missing before them.
fn last_lines(end: &[u8], cut: bool, n: usize) -> (String, bool) {
    let mut from = 0;
    if cut {
        // Not in the middle of a character.
        from = end.iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
    }
    let lines = match end.strip_suffix(b"\n") {
        Some(without) => without,
        None => end,
    };
    let breaks = lines
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n');
    let begin = match n {
        0 => end.len(),
        _ => breaks.map(|(at, _)| at + 1).nth(n - 1).unwrap_or(0),
    };
    let begin = begin.max(from);
    let text = String::from_utf8_lossy(&end[begin..]).into_owned();
    (text, cut || begin > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_are_shown_and_what_is_missing_is_said() {
        for (text, n, shown, cut) in [
            ("a\nb\nc\n", 2, "b\nc\n", true),
            ("a\nb\nc", 2, "b\nc", true),
            ("a\nb\n", 2, "a\nb\n", false),
            ("a", 1, "a", false),
            ("", 5, "", false),
            ("\n\n", 1, "\n", true),
            ("a\n", 0, "", true),
        ] {
            assert_eq!(
                last_lines(text.as_bytes(), false, n),
                (shown.to_owned(), cut),
                "{text:?}"
            );
        }
        let half = &"é-b".as_bytes()[1..];
        assert_eq!(last_lines(half, true, 9), ("-b".to_owned(), true));
    }
}
