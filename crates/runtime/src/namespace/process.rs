//! A guest's process and its socket, as this machine sees them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use pinfold_sys::datagram;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// A process by more than its number, which the kernel uses again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// Clock ticks after boot of the machine (proc_pid_stat(5), field 22).
    #[serde(alias = "started", rename = "since")]
    started: u64,
}

impl Process {
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        Ok(Self {
            pid,
            started: start_time(pid)?,
        })
    }

    /// A descriptor of exactly this process, or `None` when it has ended.
    pub(super) fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pidfd) = open_number(self.pid)? else {
            return Ok(None);
        };
        // Only now is the number pinned, so this comparison cannot be overtaken.
        match start_time(self.pid) {
            Ok(started) if started == self.started => Ok(Some(pidfd)),
            _ => Ok(None),
        }
    }
}

fn open_number(pid: i32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn start_time(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold spaces and parentheses itself.
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable stat"))
}

/// KILL to a guest ends its whole PID namespace.
pub(super) fn kill(pidfd: &OwnedFd) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns when the process has ended; for a guest, the kernel has ended all others before it.
pub(super) async fn ended(pidfd: &OwnedFd) -> io::Result<()> {
    let pidfd = pinfold_sys::watch::watch(pidfd.try_clone()?, tokio::io::Interest::READABLE)?;
    pidfd.readable().await.map(drop)
}

/// Whether a process that has let go of its socket is on its way out. The kernel closes what it
/// held well before it is gone: a guest takes its whole PID namespace along.
pub(super) async fn ends_soon(pidfd: &OwnedFd) -> bool {
    matches!(
        tokio::time::timeout(LAST_BREATH, ended(pidfd)).await,
        Ok(Ok(()))
    )
}

/// Ends a process that was found in a sandbox's own cgroup.
pub(super) async fn kill_by_number(pid: i32) -> io::Result<()> {
    let Some(pidfd) = open_number(pid)? else {
        return Ok(());
    };
    kill(&pidfd)?;
    ended(&pidfd).await
}

/// A bound socket for the guest to listen on. Addresses of unix sockets are short and data
/// directories may be long, so it is named through its directory's descriptor.
pub(super) fn listener(directory: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let (_open, address) = address(directory)?;
    match std::fs::remove_file(directory.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

pub(super) fn connect(directory: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let (open, address) = address(directory)?;
    rustix::net::connect(&socket, &address)?;
    match is_still(&open, directory)? {
        true => Ok(socket),
        false => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

/// Whether that path leads to what was opened by it.
fn is_still(open: &OwnedFd, directory: &Path) -> io::Result<bool> {
    let opened = rustix::fs::fstat(open)?;
    match rustix::fs::stat(directory) {
        Ok(found) => Ok((found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The process that listens on the socket of that directory, whether a record names it or not.
pub(super) fn listening(directory: &Path) -> io::Result<Option<OwnedFd>> {
    let link = socket()?;
    // One that is stuck with a full queue is not waited for.
    rustix::io::ioctl_fionbio(&link, true)?;
    let address = match address(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if rustix::net::connect(&link, &address.1).is_err() {
        return Ok(None);
    }
    // The directory of one that has just gone is another's by now.
    if !is_still(&address.0, directory)? {
        return Ok(None);
    }
    let peer = rustix::net::sockopt::socket_peercred(&link)?;
    let pidfd = open_number(peer.pid.as_raw_nonzero().get())?;
    // As long as the link stands its process is there, so the number was still its own.
    Ok(match datagram::is_abandoned(&link)? {
        true => None,
        false => pidfd,
    })
}

/// How long a process may take to end that has closed its socket.
const LAST_BREATH: Duration = Duration::from_secs(10);

const SOCKET: &str = "guest.sock";

fn socket() -> io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

fn address(directory: &Path) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::open(directory, flags, Mode::empty())?;
    let number = open.as_fd().as_raw_fd();
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{number}/{SOCKET}"))?;
    Ok((open, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let me = Process::of(std::process::id().cast_signed()).expect("me");
        assert!(me.open().expect("open").is_some());
        let impostor = Process {
            started: me.started + 1,
            ..me
        };
        assert!(impostor.open().expect("open").is_none());
    }

    #[test]
    fn whoever_listens_is_found_by_the_socket() {
        let temp = tempfile::tempdir().expect("directory");
        assert!(listening(temp.path()).expect("no socket").is_none());
        let listener = listener(temp.path()).expect("bind");
        assert!(listening(temp.path()).expect("bound only").is_none());
        rustix::net::listen(&listener, 1).expect("listen");
        let found = listening(temp.path()).expect("look").expect("this process");
        rustix::process::pidfd_send_signal(&found, Signal::CHILD).expect("alive");
        drop(listener);
        assert!(listening(temp.path()).expect("closed").is_none());
    }

    #[test]
    fn sockets_work_in_directories_with_long_names() {
        let temp = tempfile::tempdir().expect("directory");
        let long = temp.path().join("x".repeat(120));
        std::fs::create_dir(&long).expect("long");
        let listener = listener(&long).expect("bind");
        rustix::net::listen(&listener, 1).expect("listen");
        connect(&long).expect("connect");
    }
}
