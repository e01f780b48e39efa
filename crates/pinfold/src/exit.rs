//! How this process ends: exit codes, and dying of the signal that a command died of.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | what was asked for failed |
//! | 2 | the command line is wrong (clap's own) |
//! | 124 | `run`, `exec`: the command's time ran out; `pipeline run`: the run's or a step's |
//! | 125 | `run`, `exec`, `pipeline run`: Pinfold itself failed |
//! | 126, 127 | `run`, `exec`: the program is not executable, not found |
//! | other | `run`, `exec`: the command's own; `pipeline run`: that of the step that stopped it |

use std::process::ExitCode;

use pinfold_model::ExitStatus;

/// What a command line came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    /// What was asked for did not happen; the reason has been told.
    Failed,
    /// A command ended by itself or by a signal, and so do we.
    Command(ExitStatus),
    TimedOut,
    /// `run`, `exec` or `pipeline run` failed before or beside its command; the reason has been
    /// told.
    Ourselves,
}

const FAILED: u8 = 1;
const TIMED_OUT: u8 = 124;
const OURSELVES: u8 = 125;

impl Ending {
    /// Ends this process as `self` says. Returns only where it cannot die of the signal.
    pub(crate) fn leave(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Failed => FAILED.into(),
            Self::TimedOut => TIMED_OUT.into(),
            Self::Ourselves => OURSELVES.into(),
            // Wider codes than eight bits cannot be told to a parent.
            Self::Command(ExitStatus::Code(code)) => ((code & 0xff) as u8).into(),
            Self::Command(ExitStatus::Signal(signal)) => {
                die_of(signal);
                ((128 + signal) as u8).into()
            }
        }
    }
}

/// As a shell's own child would have: whoever waits for us sees the signal itself.
fn die_of(signal: i32) {
    // The core would be ours, not the command's.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // Fails for signals whose default is not to end a process, and for real-time ones.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}
