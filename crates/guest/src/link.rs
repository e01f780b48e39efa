//! Links to hosts: greeting, receiving, and sending without ever waiting.
//!
//! ```text
//! connected --Hello--> greeted (the newest greeted link is the current one; older ones close)
//! ```
//! Replies that do not fit into the socket wait in the link's outbox. Its bound follows from the
//! requests: each has at most one reply here, and no request is taken while the outbox is long.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use pinfold_proto::{Reply, Request, reply, transport};

use crate::boot::nonblocking;
use crate::poller::{Interest, Poller, Registration, Token};
use crate::timers::{Due, Timers};

/// Links that have not said Hello yet, and the current one.
const LINKS_MAX: usize = 8;
const HELLO_TIME: Duration = Duration::from_secs(10);
/// No further request is taken from a link that has this many replies waiting.
const OUTBOX_LONG: usize = 64;
/// Large enough to come from its own mapping, of which only touched pages cost memory: datagrams
/// are nearly always smaller than a page.
const BUFFER_BYTES: usize = 256 << 10;
const _: () = assert!(BUFFER_BYTES >= transport::BUFFER_BYTES);

#[derive(Debug)]
struct Link {
    serial: u32,
    socket: OwnedFd,
    registration: Registration,
    greeted: bool,
    outbox: VecDeque<(Reply, Vec<OwnedFd>)>,
}

#[derive(Debug)]
pub(crate) struct Links {
    list: Vec<Link>,
    serial: u32,
    buffer: Vec<u8>,
}

/// What came in on a link.
#[derive(Debug)]
pub(crate) enum Received {
    Request(Box<Request>, Vec<OwnedFd>),
    /// Nothing more for now.
    Nothing,
    /// The peer has gone or speaks no protocol.
    Gone,
}

impl Links {
    pub(crate) fn new() -> Self {
        Self {
            list: Vec::new(),
            serial: 0,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Takes a connected socket in; it has a little time to say Hello.
    pub(crate) fn add(
        &mut self,
        socket: OwnedFd,
        poller: &Poller,
        timers: &mut Timers,
    ) -> io::Result<()> {
        nonblocking(&socket)?;
        if self.list.len() >= LINKS_MAX {
            return Err(io::Error::other("too many links"));
        }
        self.serial += 1;
        let mut registration = Registration::default();
        poller.set(
            &socket,
            Token::Link(self.serial),
            &mut registration,
            Interest::READ,
        )?;
        timers.add(HELLO_TIME, Due::Hello(self.serial));
        let (serial, outbox) = (self.serial, VecDeque::new());
        self.list.push(Link {
            serial,
            socket,
            registration,
            greeted: false,
            outbox,
        });
        Ok(())
    }

    pub(crate) fn receive(&mut self, serial: u32) -> Received {
        let Some(link) = self.list.iter().find(|link| link.serial == serial) else {
            return Received::Nothing;
        };
        if link.outbox.len() >= OUTBOX_LONG {
            return Received::Nothing;
        }
        match transport::receive(&link.socket, &mut self.buffer) {
            Ok(Some((request, fds))) => Received::Request(Box::new(request), fds),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Ok(None) | Err(_) => Received::Gone,
        }
    }

    pub(crate) fn is_greeted(&self, serial: u32) -> bool {
        self.list
            .iter()
            .any(|link| link.serial == serial && link.greeted)
    }

    /// Makes a link the current one and closes all others that were.
    pub(crate) fn greet(&mut self, poller: &Poller, serial: u32) {
        let older: Vec<_> = self
            .list
            .iter()
            .filter(|link| link.greeted && link.serial != serial)
            .map(|link| link.serial)
            .collect();
        for serial in older {
            self.close(poller, serial);
        }
        if let Some(link) = self.list.iter_mut().find(|link| link.serial == serial) {
            link.greeted = true;
        }
    }

    /// The link that is told what happens.
    pub(crate) fn current(&self) -> Option<u32> {
        self.list
            .iter()
            .find(|link| link.greeted)
            .map(|link| link.serial)
    }

    pub(crate) fn socket(&self, serial: u32) -> Option<BorrowedFd<'_>> {
        self.list
            .iter()
            .find(|link| link.serial == serial)
            .map(|link| link.socket.as_fd())
    }

    /// Closes a link; workers that still hold its socket find it shut.
    pub(crate) fn close(&mut self, poller: &Poller, serial: u32) {
        if let Some(at) = self.list.iter().position(|link| link.serial == serial) {
            let mut link = self.list.swap_remove(at);
            // A worker's copy keeps the socket open, and epoll would go on about it.
            let token = Token::Link(serial);
            let none = Interest::default();
            let _ = poller.set(&link.socket, token, &mut link.registration, none);
            // The peer may have gone first.
            let _ = rustix::net::shutdown(&link.socket, rustix::net::Shutdown::Both);
        }
    }

    /// Whether a link has nothing waiting, so that an event may be tried.
    pub(crate) fn is_clear(&self, serial: u32) -> bool {
        self.list
            .iter()
            .any(|link| link.serial == serial && link.outbox.is_empty())
    }

    /// Sends a reply now or when the socket has room; a link that is gone drops it.
    pub(crate) fn send(
        &mut self,
        poller: &Poller,
        serial: u32,
        id: u64,
        body: reply::Body,
        fds: Vec<OwnedFd>,
    ) {
        if let Some(link) = self.list.iter_mut().find(|link| link.serial == serial) {
            link.outbox.push_back((
                Reply {
                    id,
                    body: Some(body),
                },
                fds,
            ));
            self.flush(poller, serial);
        }
    }

    /// Sends what waits, as far as it goes.
    pub(crate) fn flush(&mut self, poller: &Poller, serial: u32) {
        let Some(link) = self.list.iter_mut().find(|link| link.serial == serial) else {
            return;
        };
        if link.flush().is_err() {
            // Found closed by the next read, which does all that a link's end asks for.
            link.outbox.clear();
            let _ = rustix::net::shutdown(&link.socket, rustix::net::Shutdown::Both);
        }
        if link.register(poller).is_err() {
            self.close(poller, serial);
        }
    }
}

impl Link {
    fn flush(&mut self) -> io::Result<()> {
        while let Some((reply, fds)) = self.outbox.front() {
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match transport::send(&self.socket, reply, &borrowed) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn register(&mut self, poller: &Poller) -> io::Result<()> {
        let wanted = Interest {
            read: self.outbox.len() < OUTBOX_LONG,
            write: !self.outbox.is_empty(),
        };
        let token = Token::Link(self.serial);
        Ok(poller.set(&self.socket, token, &mut self.registration, wanted)?)
    }
}
