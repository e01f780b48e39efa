//! Starting a program in a child that shares this process's memory until it executes it.
//!
//! ```text
//! parent: prepare --clone(CLONE_VM)--> goes on ........................ frees what the child used
//! child:                 \--> session, descriptors, user, gate, directory --execve--/
//! ```
//! A forked child has its parent's memory copied, page by page as either writes, and gives the copy back
//! a moment later: that is 0.1 ms where the whole parent has a few dozen pages. Nothing is copied here,
//! as with vfork(2), but the parent does not wait: the child may have to, at its gate or because
//! somebody stopped it.
//!
//! So from the clone to the exec the child is like a thread of its parent that nobody told the C library
//! of. It allocates nothing, takes no lock, and makes no call that fails through `errno`, which is the
//! parent's. All of its code is in this module, [`crate::gate`] and [`Identity::assume`].
//!
//! Where sharing is not wanted (see [`Sharing`]) the same child runs in a copy.

mod stack;
mod words;

use std::ffi::{CString, c_int, c_void};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use syscalls::{Sysno, raw_syscall};

use crate::gate;
use crate::identity::Identity;
use crate::process::{ExecStrings, Reaped};
use stack::Stack;
use words::words;

/// Where programs look for open files first: what everybody is used to.
const FILES_SOFT: u64 = 1024;
const FILES_HARD: u64 = 524_288;
/// Says that a child runs in this memory.
const USED: u32 = 1;
/// Longest arguments and environment of a child that shares: the kernel counts them as its memory's while
/// it executes, and who has most goes first when there is none left, with all who share it.
const SHARED_TEXT_MAX_BYTES: usize = 32 << 10;

/// What to start, and as whom.
#[derive(Debug)]
pub struct Program {
    /// Tried in this order like execvp(3) does.
    pub candidates: Vec<Candidate>,
    pub argvs: Vec<ExecStrings>,
    pub env: ExecStrings,
    /// As people know it, for an error.
    pub name: String,
    pub cwd: CString,
    /// Directories to make on the way to `cwd`, from the top; empty: none.
    pub make: Vec<CString>,
    pub identity: Identity,
}

impl Program {
    fn text_bytes(&self) -> usize {
        let argv = self.argvs.iter().map(ExecStrings::bytes).max();
        argv.unwrap_or_default() + self.env.bytes()
    }
}

/// A file to try and its arguments.
#[derive(Debug)]
pub struct Candidate {
    pub path: CString,
    /// Index into the argument lists.
    pub argv: usize,
}

/// What becomes the program's 0, 1 and 2.
#[derive(Debug)]
pub enum Streams {
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal(OwnedFd),
}

/// Whether children may share this process's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing(bool);

impl Sharing {
    /// Not where `fs.suid_dumpable` is 1: a process that becomes another user opens its memory to all
    /// processes of that user then, and this is ours.
    #[must_use]
    pub fn found() -> Self {
        let setting = std::fs::read("/proc/sys/fs/suid_dumpable");
        Self(setting.is_ok_and(|setting| matches!(setting.trim_ascii(), b"0" | b"2")))
    }

    /// Nobody shares anything.
    pub const NEVER: Self = Self(false);
}

/// Starts the program. Its process waits at `gate`, where there is one, before it enters its working
/// directory.
pub fn spawn(
    program: Program,
    streams: &Streams,
    gate: Option<&OwnedFd>,
    sharing: Sharing,
) -> io::Result<Child> {
    let shares = sharing.0 && program.text_bytes() <= SHARED_TEXT_MAX_BYTES;
    let work = Box::new(Work {
        program,
        streams: Numbers::of(streams),
        gate: gate.map(AsRawFd::as_raw_fd),
        stack: Stack::take()?,
        user: AtomicU32::new(USED),
    });
    work.stack.errno().store(0, Ordering::Relaxed);
    let top = work.stack.top();
    let flags = libc::SIGCHLD | if shares { libc::CLONE_VM } else { 0 };
    let work = NonNull::from(Box::leak(work));
    let mut child = Child { pid: 0, work };
    // SAFETY: `run` gets a `Work` and a stack that both live until the child uses this memory no more
    // (see `Child`), and that nobody writes meanwhile but through atomics. What it does is what the
    // module promises. The child has copies of all descriptors, so that it finds its numbers whatever
    // becomes of ours.
    let pid = unsafe { libc::clone(run, top, flags, work.as_ptr().cast()) };
    if pid < 0 {
        let error = io::Error::last_os_error();
        child.work().user.store(0, Ordering::Relaxed);
        return Err(error);
    }
    child.pid = pid.unsigned_abs();
    Ok(child)
}

/// A process that was started, and what it uses of this one's memory. Dropped before the process executes
/// or ends, it leaves that memory taken for good.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    /// A box's, which [`Drop`] gives back.
    work: NonNull<Work>,
}

impl Child {
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether nothing is to be learned or waited for any more: it executes its program or has ended
    /// before, and reported no errno. Never known of one that runs in a copy.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.work().is_used() && self.errno() == 0
    }

    /// The errno of a start that failed, 0 where none was reported.
    ///
    /// # Panics
    /// Where `reaped` is another process.
    #[must_use]
    pub fn ended(self, reaped: &Reaped) -> i32 {
        assert_eq!(self.pid, reaped.pid, "another process");
        // It may have been killed before it said how to tell. Whoever is reaped uses nothing.
        self.work().user.store(0, Ordering::Relaxed);
        self.errno()
    }

    fn errno(&self) -> i32 {
        self.work().stack.errno().load(Ordering::Acquire)
    }

    fn work(&self) -> &Work {
        // SAFETY: it is there until this value is dropped.
        unsafe { self.work.as_ref() }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.work().is_used() {
            // SAFETY: it came from a box, nobody else has it any more, and this happens once.
            drop(unsafe { Box::from_raw(self.work.as_ptr()) });
        }
    }
}

#[derive(Debug)]
struct Work {
    program: Program,
    streams: Numbers,
    gate: Option<RawFd>,
    stack: Stack,
    /// [`USED`] while the child may run in this memory, then 0: the child asks the kernel to clear it when it
    /// executes or ends (set_tid_address(2)), so that nothing it does later can say it too early.
    user: AtomicU32,
}

impl Work {
    fn is_used(&self) -> bool {
        self.user.load(Ordering::Acquire) != 0
    }
}

/// The child's own numbers for what it was given.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    Pipes {
        stdin: Option<RawFd>,
        stdout: RawFd,
        stderr: RawFd,
    },
    Terminal(RawFd),
}

impl Numbers {
    fn of(streams: &Streams) -> Self {
        match streams {
            Streams::Pipes {
                stdin,
                stdout,
                stderr,
            } => Self::Pipes {
                stdin: stdin.as_ref().map(AsRawFd::as_raw_fd),
                stdout: stdout.as_raw_fd(),
                stderr: stderr.as_raw_fd(),
            },
            Streams::Terminal(slave) => Self::Terminal(slave.as_raw_fd()),
        }
    }
}

/// What went wrong before there was a program.
struct Stop<'a> {
    errno: Errno,
    subject: &'a [u8],
}

extern "C" fn run(work: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a `Work` that lives until this process is done with it.
    let work = unsafe { &*work.cast::<Work>() };
    // SAFETY: the kernel writes this word alone, and it lives as long as this memory is used. In a copy
    // nobody looks at it.
    unsafe { raw_syscall!(Sysno::set_tid_address, work.user.as_ptr()) };
    let stop = match work.become_program() {
        Ok(never) => match never {},
        Err(stop) => stop,
    };
    work.complain(&stop);
    let errno = stop.errno.raw_os_error();
    work.stack.errno().store(errno, Ordering::Release);
    leave(if stop.errno == Errno::NOENT { 127 } else { 126 })
}

fn leave(code: c_int) -> ! {
    // SAFETY: _exit takes any status, does not return and runs nothing of this program's clean-up.
    unsafe { libc::_exit(code) }
}

impl Work {
    fn become_program(&self) -> Result<std::convert::Infallible, Stop<'_>> {
        let at = |subject: &'static str| {
            move |errno| Stop {
                errno,
                subject: subject.as_bytes(),
            }
        };
        rustix::process::setsid().map_err(at("setsid"))?;
        self.place_streams().map_err(at("standard streams"))?;
        // What follows may wait for something of the tenant's, and must not hold the pipes of other
        // programs open meanwhile.
        close_all_but(self.gate).map_err(at("descriptors"))?;
        self.place_null().map_err(at("/dev/null"))?;
        limit(Resource::Nofile, FILES_SOFT, FILES_HARD);
        limit(Resource::Core, 0, 0);
        rustix::process::umask(Mode::from_raw_mode(0o022));
        self.program.identity.assume().map_err(at("user"))?;
        if self.gate.is_some_and(|gate| !gate::wait(borrowed(gate))) {
            // Nobody is left who wants to hear of it.
            leave(126)
        }
        self.enter_cwd().map_err(|errno| Stop {
            errno,
            subject: self.program.cwd.as_bytes(),
        })?;
        restore_signals().map_err(at("signals"))?;
        Err(Stop {
            errno: self.exec(),
            subject: self.program.name.as_bytes(),
        })
    }

    fn place_streams(&self) -> rustix::io::Result<()> {
        match self.streams {
            Numbers::Pipes {
                stdin,
                stdout,
                stderr,
            } => {
                rustix::stdio::dup2_stdout(borrowed(stdout))?;
                rustix::stdio::dup2_stderr(borrowed(stderr))?;
                stdin.map_or(Ok(()), |stdin| rustix::stdio::dup2_stdin(borrowed(stdin)))
            }
            Numbers::Terminal(slave) => {
                let slave = borrowed(slave);
                rustix::process::ioctl_tiocsctty(slave)?;
                rustix::stdio::dup2_stdin(slave)?;
                rustix::stdio::dup2_stdout(slave)?;
                rustix::stdio::dup2_stderr(slave)
            }
        }
    }

    fn place_null(&self) -> rustix::io::Result<()> {
        match self.streams {
            Numbers::Pipes { stdin: None, .. } => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let null = rustix::fs::open(c"/dev/null", flags, Mode::empty())?;
                // The exec closes it: doing so here would go through the C library.
                rustix::stdio::dup2_stdin(borrowed(null.into_raw_fd()))
            }
            _ => Ok(()),
        }
    }

    fn enter_cwd(&self) -> rustix::io::Result<()> {
        let program = &self.program;
        match rustix::process::chdir(&*program.cwd) {
            Err(Errno::NOENT) if !program.make.is_empty() => {}
            other => return other,
        }
        for directory in &program.make {
            match rustix::fs::mkdir(&**directory, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        rustix::process::chdir(&*program.cwd)
    }

    /// Tries each place like execvp(3): one that is denied is remembered, one that is not there is
    /// passed over, anything else is final.
    fn exec(&self) -> Errno {
        let program = &self.program;
        let mut result = Errno::NOENT;
        for candidate in &program.candidates {
            let Some(argv) = program.argvs.get(candidate.argv) else {
                return Errno::INVAL;
            };
            // SAFETY: the path is NUL-terminated; both arrays end with NULL and hold pointers to
            // NUL-terminated strings that their ExecStrings own.
            let code = unsafe {
                raw_syscall!(
                    Sysno::execve,
                    candidate.path.as_ptr(),
                    argv.as_ptr(),
                    program.env.as_ptr()
                )
            };
            match errno_of(code) {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ACCESS => result = Errno::ACCESS,
                errno => return errno,
            }
        }
        result
    }

    /// Tells the command's own stderr. Nobody is left to hear about a failure to tell.
    fn complain(&self, stop: &Stop<'_>) {
        let name = self.program.name.as_bytes();
        let searched = stop.subject == name && !name.contains(&b'/');
        let words = if stop.errno == Errno::NOENT && searched {
            "command not found"
        } else {
            words(stop.errno)
        };
        let pieces: [&[u8]; 5] = [b"pinfold: ", stop.subject, b": ", words.as_bytes(), b"\n"];
        let _ = rustix::io::writev(rustix::stdio::stderr(), &pieces.map(IoSlice::new));
    }
}

/// A descriptor that this process has for as long as it is not a program.
fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: it was open when this process was made, with a copy of all descriptors, and closes only
    // with all others, behind its last use.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Closes everything from 3 on but one.
fn close_all_but(kept: Option<RawFd>) -> rustix::io::Result<()> {
    let mut first = 3;
    if let Some(kept) = kept.map(RawFd::unsigned_abs).filter(|kept| *kept >= first) {
        if kept > first {
            close_range(first, kept - 1)?;
        }
        first = kept + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> rustix::io::Result<()> {
    // SAFETY: it takes any range and touches no memory; nobody in this process owns these descriptors.
    done(unsafe { raw_syscall!(Sysno::close_range, first, last, 0) })
}

/// What a program expects to be born with: nothing blocked, SIGPIPE deadly.
fn restore_signals() -> rustix::io::Result<()> {
    /// Of the kernel's signal set.
    const SET_BYTES: usize = 8;
    // A kernel sigaction of zeroes (SIG_DFL, no flags, empty mask) on every architecture.
    let default = [0_u64; 4];
    let none = ptr::null_mut::<u64>();
    let empty = 0_u64;
    // SAFETY: `default` is live and no smaller than what the kernel reads (at most 32 bytes); nobody
    // has to ask for the old one.
    let set = unsafe {
        raw_syscall!(
            Sysno::rt_sigaction,
            libc::SIGPIPE,
            default.as_ptr(),
            none,
            SET_BYTES
        )
    };
    done(set)?;
    // SAFETY: `empty` is live and as large as the kernel is told; nobody has to ask for the old one.
    let unblocked = unsafe {
        raw_syscall!(
            Sysno::rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const empty,
            none,
            SET_BYTES
        )
    };
    done(unblocked)
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

fn done(code: usize) -> rustix::io::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(errno_of(code)),
    }
}

/// The kernel returns an error as its negative number.
fn errno_of(code: usize) -> Errno {
    let number = i32::try_from(code.wrapping_neg()).unwrap_or(libc::EIO);
    Errno::from_raw_os_error(number)
}

#[cfg(test)]
mod tests;
