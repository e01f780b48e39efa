//! Processes: fork, signals by number, reaping. For single-threaded programs.

use std::ffi::{CString, c_char, c_int};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Where programs are looked for unless an image or a request says otherwise: what Debian gives root. A
/// macro, since scripts are put together with it by the compiler.
#[macro_export]
macro_rules! default_path {
    () => {
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    };
}

/// [`default_path`] as a text.
pub const DEFAULT_PATH: &str = default_path!();

/// Proof that this process had one thread when it was asked. A program that takes it never starts a
/// thread afterwards; what it forks begins with one.
#[derive(Debug, Clone, Copy)]
pub struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// Fails where this process has more than one thread, or where `/proc` is not there to tell.
    pub fn claim() -> io::Result<Self> {
        match std::fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(PhantomData)),
            _ => Err(io::Error::other("this process has more than one thread")),
        }
    }
}

/// Which side of a [`fork`] returned.
#[derive(Debug)]
pub enum Forked {
    Child,
    Parent { pid: i32 },
}

/// fork(2). The child has a copy of everything and may do anything, for no other thread can have
/// held a lock.
pub fn fork(_: SingleThreaded) -> io::Result<Forked> {
    // SAFETY: fork has no requirement of its own; the danger of locks held by other threads does
    // not exist in a process of one thread, which the argument proves.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent { pid }),
    }
}

/// Strings in the form that exec wants, made before the process that executes.
#[derive(Debug)]
pub struct ExecStrings {
    /// Owns what `pointers` point at; a CString's bytes do not move with it.
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl ExecStrings {
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let ends = std::iter::once(std::ptr::null());
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain(ends)
            .collect();
        Self { strings, pointers }
    }

    pub(crate) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.strings.iter().map(|one| one.as_bytes().len()).sum()
    }
}

/// A signal by number: 1 to 64, real-time signals included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalNumber(c_int);

impl SignalNumber {
    pub const HUP: Self = Self(libc::SIGHUP);
    pub const TERM: Self = Self(libc::SIGTERM);
    pub const KILL: Self = Self(libc::SIGKILL);
    pub const CONT: Self = Self(libc::SIGCONT);

    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

/// Signals one process. `pid` is greater than 0: 0 and negative numbers mean groups to kill(2).
pub fn kill(pid: u32, signal: SignalNumber) -> io::Result<()> {
    let pid = positive(pid)?;
    // SAFETY: kill takes any numbers and touches no memory.
    check(unsafe { libc::kill(pid, signal.0) })
}

/// Signals a process group.
pub fn kill_group(group: u32, signal: SignalNumber) -> io::Result<()> {
    let group = positive(group)?;
    if group == 1 {
        // kill(-1) would be everybody.
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // SAFETY: kill takes any numbers and touches no memory.
    check(unsafe { libc::kill(-group, signal.0) })
}

/// Signals every process of this PID namespace but its init. Only init may do this: from any other
/// process it would reach whatever the user's rights allow.
pub fn kill_everybody(signal: SignalNumber) -> io::Result<()> {
    if std::process::id() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // SAFETY: kill takes any numbers and touches no memory.
    check(unsafe { libc::kill(-1, signal.0) })
}

/// Signals the process behind a pidfd, which cannot have become another one.
pub fn kill_pidfd(pidfd: impl AsFd, signal: SignalNumber) -> io::Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for the length of the call; a null siginfo is allowed and
    // stands for what kill(2) would send; no memory is touched.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal.0, no_info, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn positive(pid: u32) -> io::Result<c_int> {
    c_int::try_from(pid)
        .ok()
        .filter(|pid| *pid > 0)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// A child that ended and is reaped: [`reap`] alone makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Reaped {
    pub(crate) pid: u32,
    pub end: End,
    /// User and system time of it and the children it waited for.
    pub cpu: Duration,
}

impl Reaped {
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
}

/// Reaps one child if one has ended. There must be one place in a program that calls this.
pub fn reap() -> io::Result<Option<Reaped>> {
    let mut status = 0;
    let mut usage = empty_usage();
    // SAFETY: `status` and `usage` are live and of the types that wait4 writes.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => {
            let end = if libc::WIFSIGNALED(status) {
                End::Signal(libc::WTERMSIG(status))
            } else {
                End::Code(libc::WEXITSTATUS(status))
            };
            let cpu = duration(usage.ru_utime) + duration(usage.ru_stime);
            Ok(Some(Reaped {
                pid: pid.unsigned_abs(),
                end,
                cpu,
            }))
        }
    }
}

fn empty_usage() -> libc::rusage {
    // SAFETY: rusage is plain numbers, for which all zeroes is a valid value.
    unsafe { std::mem::zeroed() }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
        + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// Gives every signal its default, but SIGPIPE, which stays ignored: a broken pipe is an error code.
///
/// By the system call itself: what was ignored by whoever started us is inherited, and a C library
/// refuses to touch the signals that it uses itself.
pub fn reset_signals() {
    // A kernel sigaction of zeroes (SIG_DFL, no flags, empty mask) on every architecture.
    let default = [0_u64; 4];
    for number in 1..=64 {
        let none = std::ptr::null_mut::<u64>();
        // SAFETY: `default` is live and no smaller than the kernel's sigaction (at most 32 bytes);
        // a null old action is allowed; 8 is the size of its signal set. KILL and STOP are refused.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                none,
                8_usize,
            )
        };
    }
    set_disposition(libc::SIGPIPE, libc::SIG_IGN);
}

fn set_disposition(number: c_int, handler: libc::sighandler_t) {
    // SAFETY: signal takes any number; the handler is SIG_DFL or SIG_IGN, so no function of ours is
    // ever called from a signal.
    unsafe { libc::signal(number, handler) };
}

fn signal_set(numbers: &[c_int]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for number in numbers {
        // SAFETY: the set was initialised above.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *number) };
    }
    // SAFETY: sigemptyset initialised it.
    unsafe { set.assume_init() }
}

/// Blocks SIGCHLD and gives a non-blocking descriptor that is readable when a child has ended.
pub fn child_signals() -> io::Result<OwnedFd> {
    let set = signal_set(&[libc::SIGCHLD]);
    // SAFETY: `set` is initialised; a null old set is allowed.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })?;
    // SAFETY: -1 asks for a new descriptor; `set` is initialised.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: signalfd returned a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The process behind a unix socket as this PID namespace numbers it; 0: one of another namespace.
pub fn peer_pid(socket: impl AsFd) -> io::Result<i32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` is live and `len` holds its size, so the kernel writes no more than it holds.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    })?;
    Ok(peer.pid)
}

/// Closes every descriptor of this process from 3 on but those in `keep`. For a forked child that
/// never returns to its parent's code: every other owner of a descriptor in its memory is left
/// without one.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep
        .iter()
        .map(|fd| fd.as_raw_fd().unsigned_abs())
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().filter(|fd| *fd >= 3) {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: close_range takes any range and touches no memory; that the owners of these
    // descriptors never use them again is the documented duty of the caller of `close_all_but`.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_1_to_64() {
        assert_eq!(SignalNumber::new(0), None);
        assert_eq!(SignalNumber::new(65), None);
        assert_eq!(SignalNumber::new(-9), None);
        assert_eq!(SignalNumber::new(9), Some(SignalNumber::KILL));
        assert_eq!(SignalNumber::new(64).map(SignalNumber::get), Some(64));
    }

    #[test]
    fn nobody_but_init_can_signal_everybody_and_no_number_means_a_group_by_accident() {
        assert!(kill_everybody(SignalNumber::CONT).is_err());
        assert!(kill(0, SignalNumber::CONT).is_err());
        assert!(kill(u32::MAX, SignalNumber::CONT).is_err());
        assert!(kill_group(0, SignalNumber::CONT).is_err());
        assert!(kill_group(1, SignalNumber::CONT).is_err());
    }

    #[test]
    fn a_peer_is_known_by_its_number() {
        let (a, _b) = crate::datagram::pair().expect("pair");
        assert_eq!(peer_pid(&a).expect("peer"), std::process::id() as i32);
    }

    #[test]
    fn a_test_process_is_never_single_threaded() {
        assert!(SingleThreaded::claim().is_err());
    }
}
