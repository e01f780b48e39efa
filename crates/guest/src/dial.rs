//! Connecting to ports inside without waiting for them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use pinfold_proto::{Dial, FailureKind};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::failure::{Outcome, Refusal};
use crate::poller::{Interest, Poller, Registration, Token};
use crate::timers::{Due, Key, Timers};

/// Connections on their way at once.
const DIALS_MAX: usize = 64;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who asked: link and request.
pub(crate) type Asker = (u32, u64);

#[derive(Debug)]
struct Attempt {
    asker: Asker,
    port: u16,
    socket: OwnedFd,
    registration: Registration,
    /// Addresses to try after this one.
    rest: Vec<SocketAddr>,
    timer: Key,
}

#[derive(Debug, Default)]
pub(crate) struct Dials {
    attempts: BTreeMap<u32, Attempt>,
    serial: u32,
}

/// A dial that is over.
pub(crate) type Dialed = (Asker, Outcome<OwnedFd>);

impl Dials {
    /// Begins; what is over at once is returned.
    pub(crate) fn begin(
        &mut self,
        dial: Dial,
        asker: Asker,
        poller: &Poller,
        timers: &mut Timers,
    ) -> Option<Dialed> {
        let port = match u16::try_from(dial.port) {
            Ok(port) if port != 0 => port,
            _ => return Some((asker, Err(Refusal::invalid("a port is from 1 to 65535")))),
        };
        if self.attempts.len() >= DIALS_MAX {
            let refusal = Refusal::new(FailureKind::TooMany, "too many connections on their way");
            return Some((asker, Err(refusal)));
        }
        let timeout = match dial.timeout_ms {
            0 => DEFAULT_TIMEOUT,
            ms => Duration::from_millis(ms.into()),
        };
        self.serial += 1;
        let timer = timers.add(timeout, Due::Dial(self.serial));
        // Taken from the end.
        let rest = vec![
            (Ipv6Addr::LOCALHOST, port).into(),
            (Ipv4Addr::LOCALHOST, port).into(),
        ];
        let over = self.attempt(self.serial, asker, port, rest, timer, poller);
        if over.is_some() {
            timers.remove(timer);
        }
        over
    }

    /// The socket of an attempt is ready: connected, or refused.
    pub(crate) fn ready(
        &mut self,
        serial: u32,
        poller: &Poller,
        timers: &mut Timers,
    ) -> Option<Dialed> {
        let attempt = self.attempts.remove(&serial)?;
        let Attempt {
            asker,
            port,
            socket,
            mut registration,
            rest,
            timer,
        } = attempt;
        // The host's copy keeps the socket open, and epoll would tell us of all its traffic.
        let _ = poller.set(
            &socket,
            Token::Dial(serial),
            &mut registration,
            Interest::default(),
        );
        let over = match sockopt::socket_error(&socket) {
            Ok(Ok(())) => Some((asker, Ok(socket))),
            Ok(Err(_)) | Err(_) if !rest.is_empty() => {
                drop(socket);
                self.attempt(serial, asker, port, rest, timer, poller)
            }
            Ok(Err(errno)) | Err(errno) => Some((asker, Err(refused(port, errno)))),
        };
        if over.is_some() {
            timers.remove(timer);
        }
        over
    }

    pub(crate) fn expired(&mut self, serial: u32) -> Option<Dialed> {
        let attempt = self.attempts.remove(&serial)?;
        Some((attempt.asker, Err(refused(attempt.port, Errno::TIMEDOUT))))
    }

    /// Tries addresses until one is on its way.
    fn attempt(
        &mut self,
        serial: u32,
        asker: Asker,
        port: u16,
        mut rest: Vec<SocketAddr>,
        timer: Key,
        poller: &Poller,
    ) -> Option<Dialed> {
        let mut last = Errno::CONNREFUSED;
        while let Some(address) = rest.pop() {
            match connect(&address) {
                Ok((socket, Progress::Connected)) => return Some((asker, Ok(socket))),
                Ok((socket, Progress::Waiting)) => {
                    let mut registration = Registration::default();
                    let token = Token::Dial(serial);
                    match poller.set(&socket, token, &mut registration, Interest::WRITE) {
                        Ok(()) => {
                            let attempt = Attempt {
                                asker,
                                port,
                                socket,
                                registration,
                                rest,
                                timer,
                            };
                            self.attempts.insert(serial, attempt);
                            return None;
                        }
                        Err(errno) => last = errno,
                    }
                }
                Err(errno) => last = errno,
            }
        }
        Some((asker, Err(refused(port, last))))
    }
}

enum Progress {
    Connected,
    Waiting,
}

fn connect(address: &SocketAddr) -> rustix::io::Result<(OwnedFd, Progress)> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, address) {
        Ok(()) => Ok((socket, Progress::Connected)),
        Err(Errno::INPROGRESS) => Ok((socket, Progress::Waiting)),
        Err(errno) => Err(errno),
    }
}

fn refused(port: u16, errno: Errno) -> Refusal {
    let refusal = Refusal::kernel(&format!("port {port}"), errno);
    match errno {
        // Without IPv6 the last word would be about IPv6; what counts is that nobody listens.
        Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::NETUNREACH => {
            Refusal::kernel(&format!("port {port}"), Errno::CONNREFUSED)
        }
        _ => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_handed_over_is_no_longer_watched() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = server.local_addr().expect("address").port();
        let mut poller = Poller::new().expect("epoll");
        let (mut dials, mut timers) = (Dials::default(), Timers::default());
        let dial = Dial {
            port: port.into(),
            timeout_ms: 0,
        };
        let mut over = dials.begin(dial, (1, 2), &poller, &mut timers);
        while over.is_none() {
            for token in poller.wait(None).expect("wait") {
                assert_eq!(token, Token::Dial(1));
                over = dials.ready(1, &poller, &mut timers);
            }
        }
        let (asker, socket) = over.expect("over");
        let _host = socket.expect("connected");
        assert_eq!(asker, (1, 2));
        let events = poller.wait(Some(Duration::ZERO)).expect("wait");
        assert!(events.is_empty(), "{events:?}");
        assert!(timers.next().is_none());
    }
}
