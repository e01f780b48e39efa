//! Signals that this process gets and a command should have had.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) const SIGINT: i32 = 2;
pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGPIPE: i32 = 13;
pub(crate) const SIGTERM: i32 = 15;
pub(crate) const SIGCONT: i32 = 18;
pub(crate) const SIGSTOP: i32 = 19;
pub(crate) const SIGTSTP: i32 = 20;
pub(crate) const SIGWINCH: i32 = 28;

/// HUP, INT, QUIT, USR1, USR2, TERM, CONT, TSTP, WINCH.
const HEARD: [i32; 9] = [1, SIGINT, 3, 10, 12, SIGTERM, SIGCONT, SIGTSTP, SIGWINCH];

/// Listens from when it is made; none of these ends this process by itself any more.
#[derive(Debug)]
pub(crate) struct Signals {
    heard: Vec<(i32, Signal)>,
}

impl Signals {
    /// What this process was told to ignore (`nohup`, background jobs of scripts) stays ignored.
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let heard = HEARD
            .into_iter()
            .filter(|number| ignored & (1 << (number - 1)) == 0);
        let heard = heard.map(|number| Ok((number, signal(SignalKind::from_raw(number))?)));
        Ok(Self {
            heard: heard.collect::<io::Result<_>>()?,
        })
    }

    /// The next signal. Several of one kind that come at once are one, as the kernel has it.
    pub(crate) async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            for (number, signal) in &mut self.heard {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The next signal whose meaning is that this process should end.
    pub(crate) async fn next_ending(&mut self) -> i32 {
        loop {
            let number = self.next().await;
            if !matches!(number, SIGCONT | SIGTSTP | SIGWINCH) {
                return number;
            }
        }
    }
}

/// Stops this process with all its threads until somebody continues it.
pub(crate) fn stop_ourselves() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

/// The set of ignored signals, bit n - 1 for signal n (proc_pid_status(5)).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ignored_set_is_read() {
        // Rust's runtime ignores SIGPIPE in every program.
        assert_ne!(ignored() & (1 << (SIGPIPE - 1)), 0);
    }

    #[tokio::test]
    async fn a_signal_is_heard() {
        let mut signals = Signals::listen().expect("listen");
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::USR2).expect("kill");
        assert_eq!(signals.next().await, 12);
    }
}
