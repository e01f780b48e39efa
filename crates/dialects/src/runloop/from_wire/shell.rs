//! What executions run: a login shell for each line, or one that has a name and keeps its state.

use std::collections::BTreeMap;

use pinfold_engine::default_path;
use pinfold_model::{CommandSpec, Program, StdinMode};

use crate::runloop::errors::Refused;
use crate::runloop::wire;

/// Found whatever PATH a devbox has.
const SH: &str = "/bin/sh";
/// A function that puts $1 before what profiles have made of PATH, and is gone then.
const PATH_AGAIN: &str = r#"_runloop_path() {
    local part IFS=:
    set -f
    for part in $PATH; do
        case ":$1:" in *":$part:"*) ;; *) set -- "$1:$part" ;; esac
    done
    set +f
    PATH=$1
    unset -f _runloop_path
}"#;
/// A login shell of bash, or of sh where the image has none, for the line that the arguments behind
/// [`PATH_AGAIN`] are together. A shell takes no argument of more than 128 KiB: a longer line has several. A
/// shorter one stands alone, so that what it says of its last command and of errors is as ever. A PATH that
/// neither the image nor the request has said is of no interest: what profiles make of it stays.
const LOGIN_SHELL: &str = concat!(
    r#"_runloop_again=$1; shift
case $# in
1) _runloop_line=$1; set -- ;;
*) _runloop_line='_runloop_line=; for _runloop_piece do _runloop_line=$_runloop_line$_runloop_piece; done; set --
eval "unset _runloop_line _runloop_piece; $_runloop_line"' ;;
esac
if [ "$PATH" != ""#,
    default_path!(),
    r#"" ]; then
    set -- "$_runloop_again" "$PATH" "$@"; PATH=$PATH:"#,
    default_path!(),
    r#"
    _runloop_line='eval "$1"; _runloop_path "$2"; shift 2; '$_runloop_line
fi
command -v bash >/dev/null 2>&1 && exec bash -lc "$_runloop_line" bash "$@"
exec sh -lc "$_runloop_line" sh "$@""#
);
/// The same without a line. Where profiles are put right, they are read by a shell before the terminal's own.
const TERMINAL_SHELL: &str = concat!(
    r#"if [ "$PATH" != ""#,
    default_path!(),
    r#"" ]; then
    set -- "$1" "$PATH"; PATH=$PATH:"#,
    default_path!(),
    r#"
    command -v bash >/dev/null 2>&1 && exec bash -lc 'eval "$1"; _runloop_path "$2"; exec bash' bash "$@"
    exec sh -lc 'eval "$1"; _runloop_path "$2"; exec sh' sh "$@"
fi
command -v bash >/dev/null 2>&1 && exec bash -l
exec sh -l"#
);
/// Holds the lock of the shell $1 while a child does by the script $2 the line that the arguments behind
/// [`PATH_AGAIN`] are: nothing that the line leaves running has the lock, not even a subshell. The lock is the
/// kernel's, so it goes with whoever holds it.
const NAMED_SHELL: &str = concat!(
    r#"_runloop_name=$1 _runloop_script=$2 _runloop_again=$3 _runloop_given=; shift 3
if [ "$PATH" != ""#,
    default_path!(),
    r#"" ]; then _runloop_given=$PATH; PATH=$PATH:"#,
    default_path!(),
    r#"; fi
exec bash -c '
_runloop=$HOME/.runloop/shells/$1 _runloop_script=$2
mkdir -p "${_runloop%/*}" && exec 9>>"$_runloop.lock" && flock 9 || exit 126
trap : INT TERM
shift 2
bash -lc "$_runloop_script" bash "$_runloop" "$@" 9>&-
exit
' bash "$_runloop_name" "$_runloop_script" "$_runloop_again" "$_runloop_given" "$@""#
);
/// Does the line in the state that the file $1 has, and leaves what has become of it there. Of the
/// environment that is what differs from what was given: no values of secrets, which may be others
/// the next time.
const NAMED_LINE: &str = r#"if [ -n "$3" ]; then eval "$2"; _runloop_path "$3"; fi
_runloop=$1 _runloop_line=; shift 3
for _runloop_piece do _runloop_line=$_runloop_line$_runloop_piece; done
set --
declare -A _runloop_given
for _runloop_name in $(compgen -e); do _runloop_given[$_runloop_name]=${!_runloop_name-}; done
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
eval "$_runloop_line""#;
/// Bytes of a line in one argument; with what stands before them in the shell's own they are below the kernel's
/// 128 KiB.
const PIECE_MAX_BYTES: usize = 100 << 10;
const SHELL_NAME_MAX_BYTES: usize = 64;

/// What a login shell of the devbox's user makes of a line.
pub(in crate::runloop) fn shell(line: &str) -> Program {
    script(&[LOGIN_SHELL, "sh", PATH_AGAIN], line)
}

/// The shell of a terminal: of bash, or of sh where the image has none.
pub(in crate::runloop) fn terminal() -> Program {
    script(&[TERMINAL_SHELL, "sh", PATH_AGAIN], "")
}

/// The same in a shell that has a name: its directory, exports, functions and aliases are those that
/// the last line left, and lines wait for each other. What is left stands in a file, so the shell
/// outlives servers and restarts.
fn shell_named(name: &str, line: &str) -> Program {
    let name = file_name(name);
    script(&[NAMED_SHELL, "sh", &name, NAMED_LINE, PATH_AGAIN], line)
}

fn script(head: &[&str], line: &str) -> Program {
    let head = [SH, "-c"].iter().chain(head).copied();
    let all = head.chain(pieces(line)).map(str::to_owned);
    Program::Argv(all.collect())
}

/// Parts of whole characters that are a line together; none of an empty one.
fn pieces(mut line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !line.is_empty() {
        let mut at = line.len().min(PIECE_MAX_BYTES);
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        let (piece, rest) = line.split_at(at);
        pieces.push(piece);
        line = rest;
    }
    pieces
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
            [_, _, script, _, _, line @ ..] if script == LOGIN_SHELL => line.concat(),
            [_, _, script, _, _, _, _, line @ ..] if script == NAMED_SHELL => line.concat(),
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
    fn a_long_line_has_several_arguments_and_is_still_one() {
        let long = format!("x{}", "é".repeat(PIECE_MAX_BYTES));
        for line in ["true", "a\nb", &long] {
            for program in [shell(line), shell_named("a", line)] {
                assert_eq!(line_of(&program), line);
                let Program::Argv(argv) = program else {
                    panic!("no arguments");
                };
                assert!(argv.iter().all(|text| text.len() <= PIECE_MAX_BYTES));
            }
        }
        assert_eq!(pieces(&long).len(), 3);
    }

    #[test]
    fn names_of_shells_are_no_paths() {
        assert_eq!(file_name("a-1"), "a-1");
        assert_eq!(file_name("../é /"), "%2e%2e%2f%c3%a9%20%2f");
    }
}
