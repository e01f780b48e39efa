//! Commands.

use std::time::Duration;

use pinfold_engine::RunOutput;
use pinfold_model::command::{CancelMode, Input};
use pinfold_model::{
    Command, CommandSpec, CommandState, Error, ExitStatus, Program, Result, StdinMode, WindowSize,
};
use pinfold_wire as wire;

use super::quantity::{millis, time};

pub(crate) fn to_wire(command: Command) -> wire::Command {
    let spec = command.spec;
    let (argv, shell) = match spec.program {
        Program::Argv(argv) => (Some(argv), None),
        Program::Shell(line) => (None, Some(line)),
    };
    let (exit_code, signal) = match command.state.exit_status() {
        Some(ExitStatus::Code(code)) => (Some(code), None),
        Some(ExitStatus::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    wire::Command {
        id: command.id.into(),
        sandbox_id: command.sandbox.into(),
        project_id: command.project.into(),
        argv,
        shell,
        cwd: spec.cwd,
        env_names: {
            let secret: Vec<String> = spec.secret_env.into();
            spec.env.into_keys().chain(secret).collect()
        },
        user: spec.user,
        stdin: match spec.stdin {
            StdinMode::Null => wire::StdinMode::Null,
            StdinMode::Open => wire::StdinMode::Open,
        },
        tty: spec.tty.map(|size| wire::WindowSize {
            rows: size.rows,
            cols: size.cols,
        }),
        timeout_ms: spec.timeout.map(millis),
        output_cap_bytes: spec.output_cap_bytes,
        state: state(command.state),
        exit_code,
        signal,
        cancel: command.cancel.map(|mode| match mode {
            CancelMode::Graceful => wire::CancelMode::Graceful,
            CancelMode::Force => wire::CancelMode::Force,
        }),
        created_at: time(command.created_at),
        started_at: command.started_at.map(time),
        ended_at: command.ended_at.map(time),
        last_seq: command.last_seq,
        truncated: command.truncated,
    }
}

fn state(state: CommandState) -> wire::CommandState {
    match state {
        CommandState::Queued => wire::CommandState::Queued,
        CommandState::Starting => wire::CommandState::Starting,
        CommandState::Running => wire::CommandState::Running,
        CommandState::Exited(_) => wire::CommandState::Exited,
        CommandState::Cancelled(_) => wire::CommandState::Cancelled,
        CommandState::TimedOut(_) => wire::CommandState::TimedOut,
        CommandState::Killed => wire::CommandState::Killed,
        CommandState::Lost => wire::CommandState::Lost,
    }
}

pub(crate) fn from_wire(request: wire::StartCommand) -> Result<CommandSpec> {
    let program = match (request.argv, request.shell) {
        (Some(argv), None) => Program::Argv(argv),
        (None, Some(line)) => Program::Shell(line),
        (Some(_), Some(_)) => {
            return Err(Error::invalid("shell", "give argv or shell, not both"));
        }
        (None, None) => {
            return Err(Error::invalid(
                "argv",
                "give argv (a program and its arguments) or shell (a line for a shell)",
            ));
        }
    };
    let asked = request.stdin.map(stdin).transpose()?;
    let input = input(request.stdin_data, request.stdin_encoding, asked)?;
    Ok(CommandSpec {
        cwd: request.cwd,
        env: request.env,
        user: request.user,
        stdin: asked.unwrap_or_default(),
        input,
        tty: request.tty.map(window),
        timeout: request.timeout_ms.map(Duration::from_millis),
        output_cap_bytes: request.output_cap_bytes,
        ..CommandSpec::new(program)
    })
}

fn input(
    data: Option<String>,
    encoding: Option<wire::Encoding>,
    asked: Option<StdinMode>,
) -> Result<Option<Input>> {
    let Some(text) = data else {
        return match encoding {
            Some(_) => Err(Error::invalid("stdin_encoding", "there is no stdin_data")),
            None => Ok(None),
        };
    };
    let bytes = encoding
        .unwrap_or(wire::Encoding::Utf8)
        .decode(text)
        .map_err(|_| Error::invalid("stdin_data", "stdin_data is not in its stdin_encoding"))?;
    if asked == Some(StdinMode::Null) {
        return Err(Error::invalid(
            "stdin",
            "stdin cannot be null with stdin_data",
        ));
    }
    Input::new(bytes).map(Some)
}

fn stdin(mode: wire::StdinMode) -> Result<StdinMode> {
    match mode {
        wire::StdinMode::Null => Ok(StdinMode::Null),
        wire::StdinMode::Open => Ok(StdinMode::Open),
        wire::StdinMode::Unknown => Err(Error::invalid(
            "stdin",
            "stdin must be \"null\" or \"open\"",
        )),
    }
}

pub(crate) fn window(size: wire::WindowSize) -> WindowSize {
    WindowSize {
        rows: size.rows,
        cols: size.cols,
    }
}

pub(crate) fn cancel_mode(mode: wire::CancelMode) -> Result<CancelMode> {
    match mode {
        wire::CancelMode::Graceful => Ok(CancelMode::Graceful),
        wire::CancelMode::Force => Ok(CancelMode::Force),
        wire::CancelMode::Unknown => Err(Error::invalid(
            "mode",
            "mode must be \"graceful\" or \"force\"",
        )),
    }
}

pub(crate) fn run_to_wire(output: RunOutput) -> wire::RunResult {
    // A character that the bound cuts in two must not turn the whole text into base64.
    let (stdout_encoding, stdout) = encoded(output.stdout, output.stdout_truncated);
    let (stderr_encoding, stderr) = encoded(output.stderr, output.stderr_truncated);
    wire::RunResult {
        command: to_wire(output.command),
        stdout,
        stdout_encoding,
        stdout_truncated: output.stdout_truncated,
        stderr,
        stderr_encoding,
        stderr_truncated: output.stderr_truncated,
    }
}

fn encoded(mut bytes: Vec<u8>, truncated: bool) -> (wire::Encoding, String) {
    if truncated && let Err(error) = std::str::from_utf8(&bytes)
        // `None`: the fault is only that the text ends too early.
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    wire::Encoding::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(json: serde_json::Value) -> Result<CommandSpec> {
        from_wire(serde_json::from_value(json).expect("valid JSON form"))
    }

    #[test]
    fn stdin_data_is_all_of_stdin_unless_it_is_to_stay_open() {
        let start = |json| start(json).expect("valid");
        let hi = Input::new(b"hi".to_vec()).expect("small");
        let spec = start(serde_json::json!({"shell": "cat", "stdin_data": "hi"}));
        assert_eq!(
            (spec.stdin, spec.input.as_ref()),
            (StdinMode::Null, Some(&hi))
        );
        let json = serde_json::json!({"shell": "cat", "stdin_data": "hi", "stdin": "open"});
        let spec = start(json);
        assert_eq!(
            (spec.stdin, spec.input.as_ref()),
            (StdinMode::Open, Some(&hi))
        );
    }

    #[test]
    fn contradictions_name_their_field() {
        for (json, field) in [
            (serde_json::json!({}), "argv"),
            (serde_json::json!({"argv": ["a"], "shell": "a"}), "shell"),
            (
                serde_json::json!({"shell": "a", "stdin": "null", "stdin_data": "x"}),
                "stdin",
            ),
            (serde_json::json!({"shell": "a", "stdin": "pipe"}), "stdin"),
            (
                serde_json::json!({"shell": "a", "stdin_encoding": "base64"}),
                "stdin_encoding",
            ),
            (
                serde_json::json!({"shell": "a", "stdin_data": "!", "stdin_encoding": "base64"}),
                "stdin_data",
            ),
        ] {
            let error = start(json.clone()).expect_err("a contradiction");
            assert_eq!(error.details()["field"], field, "{json}");
        }
    }

    #[test]
    fn text_cut_inside_a_character_stays_text() {
        let mut bytes = "grün".as_bytes().to_vec();
        bytes.truncate(3);
        assert_eq!(
            encoded(bytes.clone(), true),
            (wire::Encoding::Utf8, "gr".into())
        );
        assert_eq!(encoded(bytes, false).0, wire::Encoding::Base64);
        assert_eq!(encoded(vec![0xff, b'a'], true).0, wire::Encoding::Base64);
    }
}
