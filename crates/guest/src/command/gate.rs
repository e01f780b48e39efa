//! The gate of a command: a pipe whose host decides, after the start, whether there is to be one.
//!
//! A byte in the pipe opens it, its end without a byte refuses. Whoever looks only looks and takes
//! nothing out, so that the waiting process and PID 1 see the same, and see it for good: without a
//! writer no byte can come any more.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its host lives and has not said.
    Undecided,
    Open,
    Refused,
}

/// What has been decided by now; without a gate there is nothing to decide.
pub(super) fn verdict(gate: Option<&OwnedFd>) -> Verdict {
    match gate {
        Some(gate) => look(gate, Some(&Timespec::default())),
        None => Verdict::Open,
    }
}

/// Waits for the decision; `true` lets through.
pub(super) fn wait(gate: impl AsFd) -> bool {
    loop {
        match look(&gate, None) {
            Verdict::Undecided => {}
            Verdict::Open => return true,
            Verdict::Refused => return false,
        }
    }
}

fn look(gate: impl AsFd, timeout: Option<&Timespec>) -> Verdict {
    let mut polled = [PollFd::new(&gate, PollFlags::IN)];
    match poll(&mut polled, timeout) {
        Ok(0) | Err(Errno::INTR | Errno::AGAIN | Errno::NOMEM) => Verdict::Undecided,
        Ok(_) if polled[0].revents().contains(PollFlags::IN) => Verdict::Open,
        Ok(_) | Err(_) => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_opens_for_good_and_an_end_without_one_refuses_for_good() {
        let (gate, writer) = rustix::pipe::pipe().expect("pipe");
        assert_eq!(verdict(Some(&gate)), Verdict::Undecided);
        rustix::io::write(&writer, b"1").expect("room");
        for _ in 0..2 {
            assert_eq!(verdict(Some(&gate)), Verdict::Open);
            assert!(wait(&gate));
        }
        drop(writer);
        assert_eq!(verdict(Some(&gate)), Verdict::Open);
        let (gate, writer) = rustix::pipe::pipe().expect("pipe");
        drop(writer);
        assert_eq!(verdict(Some(&gate)), Verdict::Refused);
        assert!(!wait(&gate));
        assert_eq!(verdict(None), Verdict::Open);
    }
}
