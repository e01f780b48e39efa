//! epoll with typed tokens.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// What an event is about. Serials are never reused, so an event of something gone is not taken for
/// one of its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    ChildSignals,
    Listen,
    Link(u32),
    /// A terminal's master, by the command's serial.
    Master(u32),
    Input(u32),
    Output(u32),
    Dial(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Interest {
    pub(crate) const READ: Self = Self {
        read: true,
        write: false,
    };
    pub(crate) const WRITE: Self = Self {
        read: false,
        write: true,
    };

    const fn is_none(self) -> bool {
        !self.read && !self.write
    }

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, self.read);
        flags.set(epoll::EventFlags::OUT, self.write);
        flags
    }
}

/// What a descriptor is registered for now. With no interest it is not registered at all, since
/// epoll reports hang-ups whether asked to or not, which would spin the loop.
#[derive(Debug, Default)]
pub(crate) struct Registration(Interest);

/// Events taken at once. More stay in the kernel.
const BATCH: usize = 32;

pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(BATCH),
        })
    }

    pub(crate) fn set(
        &self,
        fd: impl AsFd,
        token: Token,
        now: &mut Registration,
        wanted: Interest,
    ) -> rustix::io::Result<()> {
        if now.0 == wanted {
            return Ok(());
        }
        let data = epoll::EventData::new_u64(encode(token));
        if wanted.is_none() {
            epoll::delete(&self.epoll, fd)?;
        } else if now.0.is_none() {
            epoll::add(&self.epoll, fd, data, wanted.flags())?;
        } else {
            epoll::modify(&self.epoll, fd, data, wanted.flags())?;
        }
        now.0 = wanted;
        Ok(())
    }

    /// Waits for events, at most this long.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> rustix::io::Result<Vec<Token>> {
        let timeout = timeout.map(|timeout| {
            Timespec::try_from(timeout).unwrap_or(Timespec {
                tv_sec: 3600,
                tv_nsec: 0,
            })
        });
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(self
            .events
            .iter()
            .filter_map(|event| decode(event.data.u64()))
            .collect())
    }
}

fn encode(token: Token) -> u64 {
    let (kind, serial) = match token {
        Token::ChildSignals => (0, 0),
        Token::Listen => (1, 0),
        Token::Link(serial) => (2, serial),
        Token::Master(serial) => (3, serial),
        Token::Input(serial) => (4, serial),
        Token::Output(serial) => (5, serial),
        Token::Dial(serial) => (6, serial),
    };
    kind << 32 | u64::from(serial)
}

fn decode(data: u64) -> Option<Token> {
    let serial = (data & u64::from(u32::MAX)) as u32;
    Some(match data >> 32 {
        0 => Token::ChildSignals,
        1 => Token::Listen,
        2 => Token::Link(serial),
        3 => Token::Master(serial),
        4 => Token::Input(serial),
        5 => Token::Output(serial),
        6 => Token::Dial(serial),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [
            Token::ChildSignals,
            Token::Listen,
            Token::Link(1),
            Token::Master(u32::MAX),
            Token::Input(7),
            Token::Output(0),
            Token::Dial(9),
        ] {
            assert_eq!(decode(encode(token)), Some(token));
        }
    }

    #[test]
    fn a_descriptor_without_interest_is_silent_even_when_it_hangs_up() {
        let mut poller = Poller::new().expect("epoll");
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        let mut registration = Registration::default();
        let token = Token::Input(1);
        poller
            .set(&reader, token, &mut registration, Interest::READ)
            .expect("add");
        drop(writer);
        assert_eq!(poller.wait(Some(Duration::ZERO)).expect("wait"), [token]);
        poller
            .set(&reader, token, &mut registration, Interest::default())
            .expect("delete");
        assert!(poller.wait(Some(Duration::ZERO)).expect("wait").is_empty());
    }
}
