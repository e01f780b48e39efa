//! Commands: starting, signalling, taking over.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

#[cfg(doc)]
use pinfold_model::limits;
use pinfold_model::{CommandId, Program, WindowSize};
use pinfold_proto::{self as proto, FailureKind, reply, request};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

pub use pinfold_proto::KillScope;

use super::{DEADLINE, ExitReport, Guest, GuestError, require};

/// What to start, complete: nothing is looked up in the sandbox's settings any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartSpec {
    pub id: CommandId,
    /// Names the payload: the same id with another fingerprint is a conflict.
    pub fingerprint: Vec<u8>,
    pub program: Program,
    /// Absolute.
    pub cwd: String,
    /// Make `cwd` (as the user) where it does not exist.
    pub make_cwd: bool,
    pub env: BTreeMap<String, String>,
    /// A name or `uid[:gid]`; empty: root of the sandbox.
    pub user: String,
    /// A pipe instead of `/dev/null`. A terminal always has its input.
    pub stdin: bool,
    /// Lies in the pipe before the command starts; at most
    /// [`limits::STDIN_DATA_MAX_BYTES`]. Needs `stdin` or a terminal.
    pub input: Arc<[u8]>,
    pub terminal: Option<WindowSize>,
    pub timeout: Option<Duration>,
}

/// The host's ends of a command's pipes: non-blocking, close-on-exec. For a terminal `stdin` is its
/// input and `stdout` its output.
#[derive(Debug)]
pub struct Pipes {
    /// The guest keeps a duplicate: the command reads the end only after [`Guest::close_stdin`] and
    /// with this one closed too.
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: Option<OwnedFd>,
}

#[derive(Debug)]
pub struct StartedCommand {
    /// As the sandbox numbers it; 0 where the command has ended already.
    pub pid: u32,
    pub pipes: Pipes,
}

/// A command that the guest has not been told to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCommand {
    pub id: CommandId,
    pub pid: u32,
    pub exited: Option<ExitReport>,
}

impl Guest {
    /// Starts a command once: with an id that was started before and the same fingerprint it
    /// returns that command's pipes, with another fingerprint it is refused as `Conflict`.
    ///
    /// A program that cannot be started is no error here: the command ends with 126 or 127.
    pub async fn start(&self, spec: StartSpec) -> Result<StartedCommand, GuestError> {
        self.start_at(spec, None).await
    }

    pub(super) async fn start_at(
        &self,
        spec: StartSpec,
        gate: Option<OwnedFd>,
    ) -> Result<StartedCommand, GuestError> {
        let id = spec.id.clone();
        let ends = Ends::make(spec.stdin, spec.terminal.is_some(), &spec.input)?;
        let body = request::Body::Start(proto::Start {
            gate: gate.is_some(),
            ..start_message(spec)
        });
        let fds: Vec<_> = ends.theirs.iter().chain(&gate).collect();
        let started = match self.ask(body, &fds, DEADLINE).await? {
            (reply::Body::Started(started), fds) if fds.is_empty() => started,
            (other, _) => return Err(self.unexpected("Started", &other)),
        };
        let pipes = if started.existing {
            self.adopt(&id).await?
        } else {
            ends.ours
        };
        Ok(StartedCommand {
            pid: started.pid,
            pipes,
        })
    }

    /// The pipes of a command that another host started, at the place where that host stopped
    /// reading.
    pub async fn adopt(&self, id: &CommandId) -> Result<Pipes, GuestError> {
        let body = request::Body::Adopt(reference(id));
        match self.ask(body, &[], DEADLINE).await? {
            (reply::Body::Adopted(adopted), fds) => self.checked(adopted_pipes(adopted, fds)),
            (other, _) => Err(self.unexpected("Adopted", &other)),
        }
    }

    /// Every command that is not forgotten yet.
    pub async fn commands(&self) -> Result<Vec<GuestCommand>, GuestError> {
        let body = request::Body::ListCommands(proto::ListCommands {});
        match self.ask_plain(body, DEADLINE).await? {
            reply::Body::Commands(list) => {
                self.checked(list.commands.into_iter().map(guest_command).collect())
            }
            other => Err(self.unexpected("Commands", &other)),
        }
    }

    /// Sends `signal` (1 to 64). A command whose processes are all gone is fine.
    pub async fn kill(
        &self,
        id: &CommandId,
        signal: i32,
        scope: KillScope,
    ) -> Result<(), GuestError> {
        let kill = proto::Kill {
            command: id.to_string(),
            signal,
            scope: scope.into(),
        };
        self.done(request::Body::Kill(kill)).await
    }

    /// Closes the guest's end of stdin; the caller closes its own. For a terminal it is the end of
    /// file character once everything before it was taken.
    pub async fn close_stdin(&self, id: &CommandId) -> Result<(), GuestError> {
        self.done(request::Body::CloseStdin(reference(id))).await
    }

    pub async fn resize(&self, id: &CommandId, size: WindowSize) -> Result<(), GuestError> {
        let resize = proto::Resize {
            command: id.to_string(),
            window: Some(window(size)),
        };
        self.done(request::Body::Resize(resize)).await
    }

    /// Drops everything the guest keeps of a command that has ended. Refused as `Conflict` while
    /// it runs.
    pub async fn forget(&self, id: &CommandId) -> Result<(), GuestError> {
        self.done(request::Body::Forget(reference(id))).await
    }
}

struct Ends {
    ours: Pipes,
    theirs: Vec<OwnedFd>,
}

impl Ends {
    fn make(stdin: bool, terminal: bool, input: &[u8]) -> Result<Self, GuestError> {
        let mut theirs = Vec::with_capacity(6);
        let stdin = if stdin || terminal {
            let writer = writer_kept(&mut theirs)?;
            fill(&writer, input)?;
            Some(writer)
        } else {
            None
        };
        let stdout = reader_kept(&mut theirs)?;
        let stderr = if terminal {
            None
        } else {
            Some(reader_kept(&mut theirs)?)
        };
        Ok(Self {
            ours: Pipes {
                stdin,
                stdout,
                stderr,
            },
            theirs,
        })
    }
}

/// Both ends go to the guest in the order `[r, w]`; a duplicate of one stays.
fn reader_kept(theirs: &mut Vec<OwnedFd>) -> Result<OwnedFd, GuestError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let ours = ours(&reader)?;
    theirs.extend([reader, writer]);
    Ok(ours)
}

fn writer_kept(theirs: &mut Vec<OwnedFd>) -> Result<OwnedFd, GuestError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let ours = ours(&writer)?;
    theirs.extend([reader, writer]);
    Ok(ours)
}

/// Puts all of `input` into the pipe, which is made as large as that takes.
fn fill(writer: &OwnedFd, input: &[u8]) -> Result<(), GuestError> {
    if input.is_empty() {
        return Ok(());
    }
    if input.len() > rustix::pipe::fcntl_getpipe_size(writer)? {
        rustix::pipe::fcntl_setpipe_size(writer, input.len()).map_err(|errno| match errno {
            // Trying again would not help: an ordinary user has its share of pipes only.
            Errno::PERM => GuestError::Refused {
                kind: FailureKind::TooMany,
                message: format!(
                    "this server may not hold {} bytes of input ready; send them as stdin instead",
                    input.len()
                ),
                errno: errno.raw_os_error(),
            },
            _ => errno.into(),
        })?;
    }
    match rustix::io::write(writer, input)? {
        written if written == input.len() => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::WriteZero).into()),
    }
}

/// Only this end is non-blocking: the flag belongs to the end, and the command has the other one.
fn ours(end: &OwnedFd) -> Result<OwnedFd, GuestError> {
    set_nonblocking(end)?;
    Ok(end.try_clone()?)
}

fn set_nonblocking(fd: &OwnedFd) -> Result<(), GuestError> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

fn start_message(spec: StartSpec) -> proto::Start {
    let (argv, shell) = match spec.program {
        Program::Argv(argv) => (argv.into_iter().map(String::into_bytes).collect(), None),
        Program::Shell(line) => (Vec::new(), Some(line)),
    };
    proto::Start {
        command: spec.id.to_string(),
        fingerprint: spec.fingerprint,
        argv,
        shell,
        cwd: spec.cwd,
        env: spec
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        user: spec.user,
        stdin: spec.stdin,
        terminal: spec.terminal.map(window),
        timeout_ms: spec.timeout.map_or(0, milliseconds),
        make_cwd: spec.make_cwd,
        gate: false,
    }
}

/// At least 1, for 0 means none.
fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

fn window(size: WindowSize) -> proto::Window {
    proto::Window {
        rows: size.rows.into(),
        cols: size.cols.into(),
    }
}

fn reference(id: &CommandId) -> proto::CommandRef {
    proto::CommandRef {
        command: id.to_string(),
    }
}

fn adopted_pipes(adopted: proto::Adopted, fds: Vec<OwnedFd>) -> Result<Pipes, GuestError> {
    for fd in &fds {
        require(fd, FileType::Fifo)?;
        set_nonblocking(fd)?;
    }
    let mut fds = fds.into_iter();
    let missing = || GuestError::Protocol("a pipe is missing".into());
    let stdin = if adopted.stdin {
        Some(fds.next().ok_or_else(missing)?)
    } else {
        None
    };
    let stdout = fds.next().ok_or_else(missing)?;
    let stderr = if adopted.stderr {
        Some(fds.next().ok_or_else(missing)?)
    } else {
        None
    };
    if fds.next().is_some() {
        return Err(GuestError::Protocol("a pipe too many".into()));
    }
    Ok(Pipes {
        stdin,
        stdout,
        stderr,
    })
}

fn guest_command(entry: proto::CommandEntry) -> Result<GuestCommand, GuestError> {
    let id = entry
        .command
        .parse()
        .map_err(|_| GuestError::Protocol("a command has no usable id".into()))?;
    let exited = match &entry.exited {
        Some(exited) => Some(ExitReport::read(exited)?.1),
        None => None,
    };
    Ok(GuestCommand {
        id,
        pid: entry.pid,
        exited,
    })
}
