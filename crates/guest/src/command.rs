//! Commands: the table of everything started and not yet forgotten.
//!
//! ```text
//! running --reaped--> draining (a terminal's last output) --> ended --Forget--> gone
//!    |  \--reaped, its gate undecided--> undecided --opened--> as if reaped then
//!    +--its gate refused--> gone, as if it had never been asked for
//! ```
//! The guest keeps the host's ends of the pipes until `Forget`, so that neither a dead host nor the
//! end of the command loses a byte.

mod start;
mod table;

use std::os::fd::OwnedFd;

use pinfold_proto::Exited;
use pinfold_sys::gate::{self, Verdict};
use pinfold_sys::process::{End, Reaped};

use crate::terminal::Terminal;
use crate::timers::Key;

pub(crate) use start::Ground;
pub(crate) use table::Commands;

/// The host's ends, as `Adopt` hands them out.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: Option<OwnedFd>,
}

#[derive(Debug)]
pub(crate) enum State {
    Running,
    /// The process is reaped before its gate was decided: it may never have been started.
    Undecided(Exited),
    /// The process is reaped, its terminal still holds output.
    Draining(Exited),
    Ended(Exited),
}

#[derive(Debug)]
pub(crate) struct Command {
    id: String,
    fingerprint: Vec<u8>,
    pid: u32,
    /// `pid` may name its session; not so when a later command got the same number.
    owns_number: bool,
    state: State,
    pipes: Pipes,
    terminal: Option<Terminal>,
    /// Decides whether this is a command at all; `None` where that is decided.
    gate: Option<OwnedFd>,
    timer: Option<Key>,
    timed_out: bool,
    killed: bool,
}

impl Command {
    fn verdict(&self) -> Verdict {
        gate::verdict(self.gate.as_ref())
    }

    /// `start_errno`: of a program that could not be executed, else 0.
    fn exited(&self, reaped: &Reaped, start_errno: i32) -> Exited {
        let (code, signal) = match reaped.end {
            End::Code(code) => (Some(code), None),
            End::Signal(signal) => (None, Some(signal)),
        };
        Exited {
            command: self.id.clone(),
            code,
            signal,
            timed_out: self.timed_out,
            killed: self.killed,
            start_errno,
            cpu_us: u64::try_from(reaped.cpu.as_micros()).unwrap_or(u64::MAX),
        }
    }

    const fn is_running(&self) -> bool {
        matches!(self.state, State::Running)
    }
}
