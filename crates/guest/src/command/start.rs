//! Starting: checks and preparation.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use pinfold_proto::{Configure, FailureKind, Start};
use pinfold_sys::process::{DEFAULT_PATH, ExecStrings};
use pinfold_sys::spawn::{Candidate, Child, Program, Sharing, Streams, spawn};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Command, Pipes, State};
use crate::failure::{Outcome, Refusal};
use crate::identity::{Powers, identity};
use crate::terminal::{self, Terminal};
use crate::tree::MARK;
use crate::users::{User, Users};

const PATH_MAX_BYTES: usize = 4095;

/// What starting needs of the guest.
pub(crate) struct Ground<'a> {
    pub(crate) sharing: Sharing,
    pub(crate) powers: &'a Powers,
    pub(crate) config: &'a Configure,
    pub(crate) users: &'a mut Users,
}

/// Starts the process. When it fails, nothing was started.
pub(super) fn start(
    ground: &mut Ground<'_>,
    start: Start,
    mut fds: Vec<OwnedFd>,
) -> Outcome<(Command, Child)> {
    check(&start)?;
    let gate = if start.gate {
        Some(fds.pop().ok_or_else(|| Refusal::invalid("no gate"))?)
    } else {
        None
    };
    let user = ground.users.find(&start.user)?;
    let identity = identity(&user, ground.powers)?;
    let cwd = working_directory(&start)?;
    let env = environment(&start, &user, ground.config);
    let (candidates, argvs, name) = program(&start, &env)?;
    let (streams, pipes, terminal) = streams(&start, fds, &user)?;
    let program = Program {
        candidates,
        argvs,
        env: ExecStrings::new(env.into_iter().map(c_string).collect::<Outcome<_>>()?),
        name,
        make: if start.make_cwd {
            prefixes(&start.cwd)?
        } else {
            Vec::new()
        },
        cwd,
        identity,
    };
    let child = spawn(program, &streams, gate.as_ref(), ground.sharing)
        .map_err(|error| Refusal::io("clone", &error))?;
    let command = Command {
        id: start.command,
        fingerprint: start.fingerprint,
        pid: child.pid(),
        owns_number: true,
        state: State::Running,
        pipes,
        terminal,
        gate,
        timer: None,
        timed_out: false,
        killed: false,
    };
    Ok((command, child))
}

fn check(start: &Start) -> Outcome<()> {
    let bytes = |text: &str| text.as_bytes().contains(&0);
    let first_is_missing = start.argv.first().is_none_or(Vec::is_empty);
    if start.shell.is_some() != start.argv.is_empty() || (start.shell.is_none() && first_is_missing)
    {
        return Err(Refusal::invalid(
            "either a program or a shell line, and not both",
        ));
    }
    if start.argv.iter().any(|arg| arg.contains(&0))
        || start.shell.as_deref().is_some_and(bytes)
        || start.env.iter().any(|entry| bytes(entry))
    {
        return Err(Refusal::invalid(
            "no argument or variable may hold a NUL byte",
        ));
    }
    if start
        .env
        .iter()
        .any(|entry| entry.find('=').is_none_or(|at| at == 0))
    {
        return Err(Refusal::invalid("a variable has the form NAME=value"));
    }
    if !start.cwd.is_empty() && !start.cwd.starts_with('/') {
        return Err(Refusal::invalid("the working directory must be absolute"));
    }
    if start.cwd.len() > PATH_MAX_BYTES || bytes(&start.cwd) {
        return Err(Refusal::invalid("no usable working directory"));
    }
    Ok(())
}

/// Whether the directory is there is found out before the command exists, so that a wrong one is a
/// refusal. Opening it as a path never blocks; whether the user may enter shows in the child.
fn working_directory(start: &Start) -> Outcome<CString> {
    let cwd = if start.cwd.is_empty() {
        "/"
    } else {
        &start.cwd
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(cwd, flags, Mode::empty()) {
        Err(Errno::NOENT) if start.make_cwd => {}
        Err(errno @ (Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG)) => {
            return Err(Refusal::kernel(cwd, errno));
        }
        _ => {}
    }
    c_string(cwd.to_owned())
}

fn prefixes(path: &str) -> Outcome<Vec<CString>> {
    let mut prefixes: Vec<_> = Path::new(path)
        .ancestors()
        .filter(|ancestor| ancestor.parent().is_some())
        .map(|ancestor| c_string(ancestor.to_string_lossy().into_owned()))
        .collect::<Outcome<_>>()?;
    prefixes.reverse();
    Ok(prefixes)
}

fn environment(start: &Start, user: &User, config: &Configure) -> Vec<String> {
    let path = if config.default_path.is_empty() {
        DEFAULT_PATH
    } else {
        &config.default_path
    };
    let mut defaults = vec![
        ("PATH", path),
        ("HOME", &user.home),
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("SHELL", &user.shell),
    ];
    if start.terminal.is_some() {
        defaults.push(("TERM", "xterm-256color"));
    }
    let mark = format!("{MARK}={}", start.command);
    let given = start.env.iter().filter(|entry| name_of(entry) != MARK);
    let mut env: Vec<String> = std::iter::once(&mark).chain(given).cloned().collect();
    for (name, value) in defaults {
        if !start.env.iter().any(|entry| name_of(entry) == name) {
            env.push(format!("{name}={value}"));
        }
    }
    env
}

fn name_of(entry: &str) -> &str {
    entry.split('=').next().unwrap_or(entry)
}

type Tries = (Vec<Candidate>, Vec<ExecStrings>, String);

fn program(start: &Start, env: &[String]) -> Outcome<Tries> {
    if let Some(line) = &start.shell {
        let argv = |shell: &str| -> Outcome<ExecStrings> {
            let words = [shell, "-c", line].map(|word| c_string(word.to_owned()));
            Ok(ExecStrings::new(words.into_iter().collect::<Outcome<_>>()?))
        };
        let candidates = vec![
            Candidate {
                path: c"/bin/bash".into(),
                argv: 0,
            },
            Candidate {
                path: c"/bin/sh".into(),
                argv: 1,
            },
        ];
        return Ok((
            candidates,
            vec![argv("bash")?, argv("sh")?],
            "/bin/sh".into(),
        ));
    }
    let name = &start.argv[0];
    let candidates = if name.contains(&b'/') {
        vec![Candidate {
            path: c_string(name.clone())?,
            argv: 0,
        }]
    } else {
        search_path(env)
            .split(':')
            .map(|directory| {
                // An empty entry is the working directory.
                let directory = if directory.is_empty() { "." } else { directory };
                let path = [directory.as_bytes(), b"/", name].concat();
                Ok(Candidate {
                    path: c_string(path)?,
                    argv: 0,
                })
            })
            .collect::<Outcome<_>>()?
    };
    let argv = start
        .argv
        .iter()
        .cloned()
        .map(c_string)
        .collect::<Outcome<_>>()?;
    let shown = String::from_utf8_lossy(name).into_owned();
    Ok((candidates, vec![ExecStrings::new(argv)], shown))
}

fn search_path(env: &[String]) -> &str {
    env.iter()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH)
}

/// Hands out the descriptors that came with the request; see [`Start`] for their order.
fn streams(
    start: &Start,
    fds: Vec<OwnedFd>,
    user: &User,
) -> Outcome<(Streams, Pipes, Option<Terminal>)> {
    let wrong = |_| Refusal::invalid("the wrong number of descriptors for this command");
    if let Some(window) = start.terminal {
        let [input, stdin, stdout, output] = <[_; 4]>::try_from(fds).map_err(wrong)?;
        let (terminal, slave) = terminal::open(window, user, input, output)?;
        let pipes = Pipes {
            stdin: Some(stdin),
            stdout,
            stderr: None,
        };
        return Ok((Streams::Terminal(slave), pipes, Some(terminal)));
    }
    if start.stdin {
        let [stdin, kept, stdout, out, stderr, err] = <[_; 6]>::try_from(fds).map_err(wrong)?;
        let streams = Streams::Pipes {
            stdin: Some(stdin),
            stdout: out,
            stderr: err,
        };
        return Ok((
            streams,
            Pipes {
                stdin: Some(kept),
                stdout,
                stderr: Some(stderr),
            },
            None,
        ));
    }
    let [stdout, out, stderr, err] = <[_; 4]>::try_from(fds).map_err(wrong)?;
    let streams = Streams::Pipes {
        stdin: None,
        stdout: out,
        stderr: err,
    };
    Ok((
        streams,
        Pipes {
            stdin: None,
            stdout,
            stderr: Some(stderr),
        },
        None,
    ))
}

fn c_string(bytes: impl Into<Vec<u8>>) -> Outcome<CString> {
    CString::new(bytes)
        .map_err(|_| Refusal::new(FailureKind::Invalid, "no text here may hold a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            uid: 5,
            gid: 5,
            groups: vec![],
            name: "bob".into(),
            home: "/home/bob".into(),
            shell: "/bin/sh".into(),
        }
    }

    #[test]
    fn an_environment_is_completed_and_never_overruled_but_for_the_mark() {
        let start = Start {
            command: "cmd_1".into(),
            env: vec!["HOME=/x".into(), format!("{MARK}=cmd_2")],
            ..Start::default()
        };
        let env = environment(&start, &user(), &Configure::default());
        assert_eq!(env[..2], [format!("{MARK}=cmd_1"), "HOME=/x".into()]);
        assert!(env.contains(&format!("PATH={DEFAULT_PATH}")));
        assert!(env.contains(&"USER=bob".to_owned()));
        assert!(!env.iter().any(|entry| entry.starts_with("TERM=")));
        assert_eq!(
            env.iter()
                .filter(|entry| entry.starts_with("HOME="))
                .count(),
            1
        );
    }

    #[test]
    fn programs_are_searched_in_the_commands_own_path() {
        let start = Start {
            argv: vec![b"ls".to_vec()],
            ..Start::default()
        };
        let env = ["PATH=/a::/b".to_owned()];
        let (candidates, ..) = program(&start, &env).expect("program");
        let paths: Vec<_> = candidates
            .iter()
            .map(|c| c.path.to_string_lossy())
            .collect();
        assert_eq!(paths, ["/a/ls", "./ls", "/b/ls"]);
        let start = Start {
            argv: vec![b"x/ls".to_vec()],
            ..Start::default()
        };
        assert_eq!(program(&start, &env).expect("program").0.len(), 1);
    }

    #[test]
    fn senseless_starts_are_refused() {
        let argv = vec![b"true".to_vec()];
        for start in [
            Start::default(),
            Start {
                argv: vec![vec![]],
                ..Start::default()
            },
            Start {
                argv: argv.clone(),
                shell: Some("x".into()),
                ..Start::default()
            },
            Start {
                argv: vec![b"a\0b".to_vec()],
                ..Start::default()
            },
            Start {
                argv: argv.clone(),
                env: vec!["=x".into()],
                ..Start::default()
            },
            Start {
                argv: argv.clone(),
                env: vec!["x".into()],
                ..Start::default()
            },
            Start {
                argv,
                cwd: "relative".into(),
                ..Start::default()
            },
        ] {
            assert_eq!(
                check(&start).expect_err("refused").kind,
                FailureKind::Invalid
            );
        }
    }

    #[test]
    fn directories_are_made_from_the_top() {
        let made = prefixes("/a/b/c").expect("prefixes");
        assert_eq!(made, [c"/a", c"/a/b", c"/a/b/c"].map(CString::from));
    }
}
