//! Children that share memory, and the same in a copy: real programs of this machine.

use super::*;
use rustix::process::{Pid, WaitOptions, waitpid};
use std::io::Read;

fn program(words: &[&str]) -> Program {
    let strings = |words: &[&str]| {
        let strings = words.iter().map(|word| CString::new(*word).expect("text"));
        ExecStrings::new(strings.collect())
    };
    let capabilities = rustix::thread::capabilities(None).expect("capabilities");
    Program {
        candidates: vec![Candidate {
            path: CString::new(words[0]).expect("text"),
            argv: 0,
        }],
        argvs: vec![strings(words)],
        env: strings(&["A=b"]),
        name: words[0].to_owned(),
        cwd: c"/".into(),
        make: Vec::new(),
        identity: Identity {
            uid: None,
            gid: None,
            groups: None,
            surplus: rustix::thread::CapabilitySet::empty(),
            kept: capabilities.permitted,
        },
    }
}

fn wait(child: &Child) -> rustix::process::WaitStatus {
    let pid = Pid::from_raw(child.pid().cast_signed());
    let waited = waitpid(pid, WaitOptions::empty()).expect("wait");
    waited.expect("ended").1
}

/// [`crate::process::reap`] would take children of other tests too.
fn reaped(child: &Child) -> Reaped {
    Reaped {
        pid: child.pid(),
        end: crate::process::End::Code(0),
        cpu: std::time::Duration::ZERO,
    }
}

struct Begun {
    child: Child,
    output: std::fs::File,
}

const BOTH: [Sharing; 2] = [Sharing(true), Sharing::NEVER];

/// Both streams into one pipe.
fn begin(program: Program, gate: Option<&OwnedFd>, sharing: Sharing) -> Begun {
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (output, writer) = rustix::pipe::pipe_with(flags).expect("pipe");
    let streams = Streams::Pipes {
        stdin: None,
        stdout: writer.try_clone().expect("clone"),
        stderr: writer,
    };
    Begun {
        child: spawn(program, &streams, gate, sharing).expect("spawn"),
        output: output.into(),
    }
}

impl Begun {
    /// Its output, its exit code and its errno.
    fn end(mut self) -> (String, i32, i32) {
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("text");
        let status = wait(&self.child);
        let code = status.exit_status().expect("it left by itself");
        let reaped = reaped(&self.child);
        (text, code, self.child.ended(&reaped))
    }
}

#[test]
fn a_program_has_its_streams_its_environment_and_nothing_else_of_ours() {
    let line = "echo $A; echo err >&2; cat; ls /proc/self/fd | wc -l; exit 7";
    for sharing in BOTH {
        let begun = begin(program(&["/bin/sh", "-c", line]), None, sharing);
        // 0, 1, 2 and the one that ls reads.
        assert_eq!(begun.end(), ("b\nerr\n4\n".to_owned(), 7, 0));
    }
}

#[test]
fn why_there_is_no_program_is_told_on_its_stderr_and_here() {
    let temp = tempfile::tempdir().expect("directory");
    let file = temp.path().join("text");
    std::fs::write(&file, "text").expect("file");
    let file = file.to_str().expect("UTF-8");
    for sharing in BOTH {
        for (name, words, code, errno) in [
            ("/nowhere", "No such file or directory", 127, Errno::NOENT),
            ("nowhere", "command not found", 127, Errno::NOENT),
            (file, "Permission denied", 126, Errno::ACCESS),
        ] {
            let (text, ended, told) = begin(program(&[name]), None, sharing).end();
            assert_eq!(text, format!("pinfold: {name}: {words}\n"));
            assert_eq!((ended, told), (code, errno.raw_os_error()));
        }
        let mut lost = program(&["/bin/true"]);
        lost.cwd = c"/nowhere".into();
        let (text, ..) = begin(lost, None, sharing).end();
        assert_eq!(text, "pinfold: /nowhere: No such file or directory\n");
    }
}

#[test]
fn a_file_that_is_not_there_is_looked_for_elsewhere() {
    let mut program = program(&["/bin/echo", "here"]);
    let missing = Candidate {
        path: c"/nowhere/echo".into(),
        argv: 0,
    };
    program.candidates.insert(0, missing);
    let begun = begin(program, None, Sharing(true));
    assert_eq!(begun.end(), ("here\n".to_owned(), 0, 0));
}

#[test]
fn what_a_child_uses_stays_until_it_has_its_program() {
    for sharing in BOTH {
        let (gate, opener) = rustix::pipe::pipe().expect("pipe");
        let line = "echo up; read x </dev/zero";
        let held = begin(program(&["/bin/sh", "-c", line]), Some(&gate), sharing);
        assert!(!held.child.is_settled(), "it waits at its gate");
        rustix::io::write(&opener, b"1").expect("room");
        let mut up = [0; 3];
        (&held.output).read_exact(&mut up).expect("it runs");
        assert_eq!(held.child.is_settled(), sharing.0);
        let pid = Pid::from_raw(held.child.pid().cast_signed()).expect("pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
        wait(&held.child);
        let reaped = reaped(&held.child);
        assert_eq!(held.child.ended(&reaped), 0);

        let (gate, opener) = rustix::pipe::pipe().expect("pipe");
        let refused = begin(program(&["/bin/echo", "never"]), Some(&gate), sharing);
        drop(opener);
        assert_eq!(refused.end(), (String::new(), 126, 0));
    }
}

#[test]
fn many_at_once_have_a_stack_each() {
    let (gate, opener) = rustix::pipe::pipe().expect("pipe");
    let all: Vec<_> = (0..50)
        .map(|number| {
            let line = format!("echo {number}");
            begin(
                program(&["/bin/sh", "-c", &line]),
                Some(&gate),
                BOTH[number % 2],
            )
        })
        .collect();
    rustix::io::write(&opener, b"1").expect("room");
    for (number, begun) in all.into_iter().enumerate() {
        assert_eq!(begun.end(), (format!("{number}\n"), 0, 0));
    }
}

#[test]
#[should_panic(expected = "another process")]
fn the_end_of_another_process_is_none_of_this_one() {
    let begun = begin(program(&["/bin/true"]), None, Sharing(true));
    wait(&begun.child);
    let mut other = reaped(&begun.child);
    other.pid += 1;
    let _ = begun.child.ended(&other);
}
