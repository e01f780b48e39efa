//! What executions run: a login shell for each line, or one that has a name and keeps its state.

use std::collections::BTreeMap;

use pinfold_model::{CommandSpec, Program, StdinMode};

use crate::runloop::errors::Refused;
use crate::runloop::wire;

/// A login shell of bash, or of sh where the image has none.
const LOGIN_SHELL: &str =
    r#"command -v bash >/dev/null 2>&1 && exec bash -lc "$1"; exec sh -lc "$1""#;
const TERMINAL_SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash -l; exec sh -l";
/// Holds the lock of the shell $2 while a child does the line $1 by the script $3: nothing that the
/// line leaves running has the lock, not even a subshell. The lock is the kernel's, so it goes with
/// whoever holds it.
const NAMED_SHELL: &str = r#"exec bash -c '
_runloop=$HOME/.runloop/shells/$2
mkdir -p "${_runloop%/*}" && exec 9>>"$_runloop.lock" && flock 9 || exit 126
trap : INT TERM
bash -lc "$3" bash "$1" "$_runloop" 9>&-
exit
' bash "$1" "$2" "$3""#;
/// Does the line $1 in the state that the file $2 has, and leaves what has become of it there. Of the
/// environment that is what differs from what was given: no values of secrets, which may be others
/// the next time.
const NAMED_LINE: &str = r#"declare -A _runloop_given
for _runloop_name in $(compgen -e); do _runloop_given[$_runloop_name]=${!_runloop_name-}; done
_runloop=$2
if [ -f "$_runloop" ]; then . "$_runloop"; fi
_runloop_leave() {
    umask 077
    {
        compgen -e | while IFS= read -r _runloop_name; do
            [ "${_runloop_given[$_runloop_name]-}" = "${!_runloop_name-}" ] || declare -p "$_runloop_name"
        done
        declare -f; alias -p; printf "cd -- %q\n" "$PWD"
    } >| "$_runloop.new"
    mv -f "$_runloop.new" "$_runloop"
}
trap _runloop_leave EXIT
shopt -s expand_aliases
eval "$1""#;
const SHELL_NAME_MAX_BYTES: usize = 64;

/// What a login shell of the devbox's user makes of a line.
pub(in crate::runloop) fn shell(line: &str) -> Program {
    Program::Argv(
        ["sh", "-c", LOGIN_SHELL, "sh", line]
            .map(str::to_owned)
            .into(),
    )
}

/// The shell of a terminal: of bash, or of sh where the image has none.
pub(in crate::runloop) fn terminal() -> Program {
    Program::Argv(["sh", "-c", TERMINAL_SHELL].map(str::to_owned).into())
}

/// The same in a shell that has a name: its directory, exports, functions and aliases are those that
/// the last line left, and lines wait for each other. What is left stands in a file, so the shell
/// outlives servers and restarts.
fn shell_named(name: &str, line: &str) -> Program {
    let name = file_name(name);
    let argv = ["sh", "-c", NAMED_SHELL, "sh", line, &name, NAMED_LINE];
    Program::Argv(argv.map(str::to_owned).into())
}

/// A name as a part of a path: nothing in it means anything to a file system.
fn file_name(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let escaped = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02x}"),
    };
    name.bytes().map(escaped).collect()
}

/// The line that a program was made of, or the program as it is.
pub(in crate::runloop) fn line_of(program: &Program) -> String {
    match program {
        Program::Shell(line) => line.clone(),
        Program::Argv(argv) => match argv.as_slice() {
            [_, _, script, _, line, ..]
                if [LOGIN_SHELL, NAMED_SHELL].contains(&script.as_str()) =>
            {
                line.clone()
            }
            other => other.join(" "),
        },
    }
}

/// Where the name of an execution's shell is kept: in its environment.
const SHELL_NAME: &str = "RUNLOOP_SHELL_NAME";

/// The name of the shell that an execution is in, if it is in one.
pub(in crate::runloop) fn shell_name(spec: &CommandSpec) -> Option<String> {
    spec.env.get(SHELL_NAME).cloned()
}

pub(in crate::runloop) fn command(request: &wire::Execute) -> Result<CommandSpec, Refused> {
    let line = request.command.as_str();
    if line.trim().is_empty() {
        return Err(Refused::invalid("command", "must not be empty"));
    }
    let attach_stdin = request.attach_stdin.unwrap_or(false);
    if let Some(name) = &request.shell_name {
        if name.is_empty() || name.len() > SHELL_NAME_MAX_BYTES {
            let bounds = format!("must be 1 to {SHELL_NAME_MAX_BYTES} bytes long");
            return Err(Refused::invalid("shell_name", bounds));
        }
        return Ok(CommandSpec {
            env: BTreeMap::from([(SHELL_NAME.to_owned(), name.clone())]),
            stdin: stdin(attach_stdin),
            ..CommandSpec::new(shell_named(name, line))
        });
    }
    Ok(CommandSpec {
        stdin: stdin(attach_stdin),
        ..CommandSpec::new(shell(line))
    })
}

const fn stdin(attached: bool) -> StdinMode {
    match attached {
        true => StdinMode::Open,
        false => StdinMode::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_shells_are_no_paths() {
        assert_eq!(file_name("a-1"), "a-1");
        assert_eq!(file_name("../é /"), "%2e%2e%2f%c3%a9%20%2f");
    }
}
