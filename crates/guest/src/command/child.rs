//! From fork to exec: the child's part of starting a command.
//!
//! Everything is prepared before the fork. The forked process is a copy with one thread, so that it
//! may allocate for an error's text.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pinfold_sys::namespace::{exit_now, place_descriptor};
use pinfold_sys::process::{ExecStrings, close_all_but, exec, restore_signals_for_exec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use super::gate;
use crate::identity::Identity;

/// Where programs look for open files first: what everybody is used to.
const FILES_SOFT: u64 = 1024;
const FILES_HARD: u64 = 524_288;

/// A program to try and its arguments.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: CString,
    /// Index into the argument lists.
    pub(super) argv: usize,
}

#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) identity: Identity,
    pub(super) cwd: CString,
    /// Directories to make on the way to `cwd`, from the top; empty: none.
    pub(super) make: Vec<CString>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) argvs: Vec<ExecStrings>,
    pub(super) env: ExecStrings,
    /// As people know it, for an error.
    pub(super) name: String,
    pub(super) streams: Streams,
    /// Where to wait before the working directory is entered, made perhaps.
    pub(super) gate: Option<OwnedFd>,
    /// Gets the errno when there is no program to run.
    pub(super) failure: OwnedFd,
}

/// What becomes the command's 0, 1 and 2.
#[derive(Debug)]
pub(super) enum Streams {
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal(OwnedFd),
}

/// What went wrong before there was a program.
struct Stop {
    errno: Errno,
    subject: String,
}

impl Prepared {
    /// Runs in the child and becomes the program, or reports why not and ends.
    pub(super) fn run(&self) -> ! {
        let stop = match self.become_program() {
            Ok(never) => match never {},
            Err(stop) => stop,
        };
        let words = describe(&stop, &self.name);
        // Nobody is left to hear about a failure to tell.
        let _ = rustix::io::write(rustix::stdio::stderr(), words.as_bytes());
        let errno = stop.errno.raw_os_error();
        let _ = rustix::io::write(&self.failure, &errno.to_ne_bytes());
        exit_now(if stop.errno == Errno::NOENT { 127 } else { 126 })
    }

    fn become_program(&self) -> Result<std::convert::Infallible, Stop> {
        let at = |subject: &str| {
            let subject = subject.to_owned();
            move |errno| Stop { errno, subject }
        };
        rustix::process::setsid().map_err(at("setsid"))?;
        self.place_streams().map_err(at("standard streams"))?;
        // What follows may wait for something of the tenant's, and must not hold the pipes of other
        // commands open meanwhile.
        let kept = std::iter::once(&self.failure).chain(&self.gate);
        close_all_but(&kept.map(AsFd::as_fd).collect::<Vec<_>>())
            .map_err(|error| errno_of(&error))
            .map_err(at("descriptors"))?;
        self.place_null().map_err(at("/dev/null"))?;
        limit(Resource::Nofile, FILES_SOFT, FILES_HARD);
        limit(Resource::Core, 0, 0);
        rustix::process::umask(Mode::from_raw_mode(0o022));
        self.identity.assume().map_err(at("user"))?;
        if self.gate.as_ref().is_some_and(|gate| !gate::wait(gate)) {
            // Nobody is left who wants to hear of it.
            exit_now(126)
        }
        self.enter_cwd().map_err(at(&self.cwd.to_string_lossy()))?;
        restore_signals_for_exec();
        Err(Stop {
            errno: self.exec(),
            subject: self.name.clone(),
        })
    }

    fn place_streams(&self) -> rustix::io::Result<()> {
        match &self.streams {
            Streams::Pipes {
                stdin,
                stdout,
                stderr,
            } => {
                place(stdout.as_fd(), 1)?;
                place(stderr.as_fd(), 2)?;
                stdin
                    .as_ref()
                    .map_or(Ok(()), |stdin| place(stdin.as_fd(), 0))
            }
            Streams::Terminal(slave) => {
                rustix::process::ioctl_tiocsctty(slave)?;
                (0..3).try_for_each(|number| place(slave.as_fd(), number))
            }
        }
    }

    fn place_null(&self) -> rustix::io::Result<()> {
        match self.streams {
            Streams::Pipes { stdin: None, .. } => {
                let null = rustix::fs::open(c"/dev/null", OFlags::RDONLY, Mode::empty())?;
                place(null.as_fd(), 0)
            }
            _ => Ok(()),
        }
    }

    fn enter_cwd(&self) -> rustix::io::Result<()> {
        match rustix::process::chdir(&self.cwd) {
            Err(Errno::NOENT) if !self.make.is_empty() => {}
            other => return other,
        }
        for directory in &self.make {
            match rustix::fs::mkdir(directory, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        rustix::process::chdir(&self.cwd)
    }

    /// Tries each place like execvp(3): one that is denied is remembered, one that is not there is
    /// passed over, anything else is final.
    fn exec(&self) -> Errno {
        let mut result = Errno::NOENT;
        for candidate in &self.candidates {
            let errno = exec(&candidate.path, &self.argvs[candidate.argv], &self.env);
            match Errno::from_raw_os_error(errno) {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ACCESS => result = Errno::ACCESS,
                errno => return errno,
            }
        }
        result
    }
}

fn place(fd: BorrowedFd<'_>, number: i32) -> rustix::io::Result<()> {
    place_descriptor(fd, number).map_err(|error| errno_of(&error))
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn describe(stop: &Stop, program: &str) -> String {
    let words = crate::failure::Refusal::kernel(&stop.subject, stop.errno).message;
    let searched = stop.subject == program && !program.contains('/');
    if stop.errno == Errno::NOENT && searched {
        format!("pinfold: {program}: command not found\n")
    } else {
        format!("pinfold: {words}\n")
    }
}

/// Never above the limit that is there; best effort, since less is no danger.
fn limit(resource: Resource, soft: u64, hard: u64) {
    let now = rustix::process::getrlimit(resource);
    let hard = now.maximum.map_or(hard, |maximum| maximum.min(hard));
    let limit = Rlimit {
        current: Some(soft.min(hard)),
        maximum: Some(hard),
    };
    let _ = rustix::process::setrlimit(resource, limit);
}

/// The errno that a child left before it ended, 0 where its program ran.
pub(super) fn read_failure(pipe: &OwnedFd) -> i32 {
    let mut bytes = [0; 4];
    match rustix::io::read(pipe, &mut bytes) {
        Ok(4) => i32::from_ne_bytes(bytes),
        _ => 0,
    }
}
