//! The loop: who gets which event, request and end of a child.

mod requests;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use pinfold_proto::{Configure, TransferEnded, reply};
use pinfold_sys::process::{Reaped, SignalNumber, SingleThreaded, kill_everybody, peer_pid, reap};
use pinfold_sys::spawn::Sharing;
use rustix::io::Errno;

use crate::boot::Boot;
use crate::command::Commands;
use crate::dial::{Dialed, Dials};
use crate::identity::Powers;
use crate::link::{Links, Received};
use crate::poller::{Interest, Poller, Registration, Token};
use crate::timers::{Due, Timers};
use crate::users::Users;
use crate::worker::{Obituary, Workers, failure};

/// Children reaped before the loop looks at anything else again.
const REAP_BATCH: u32 = 256;
/// Requests taken from one link before the others have their turn.
const REQUEST_BATCH: u32 = 16;
/// Links accepted at once.
const ACCEPT_BATCH: u32 = 4;
/// How long nobody is accepted after the kernel could not.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Timers served at once.
const DUE_BATCH: u32 = 64;

pub(crate) struct Agent {
    poller: Poller,
    timers: Timers,
    links: Links,
    commands: Commands,
    workers: Workers,
    dials: Dials,
    listen: OwnedFd,
    listen_registration: Registration,
    child_signals: OwnedFd,
    single: SingleThreaded,
    sharing: Sharing,
    powers: Powers,
    config: Configure,
    users: Users,
    boot_id: u64,
    booted: Instant,
    /// More children may wait to be reaped than one batch took.
    more_to_reap: bool,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// Ends when nobody is left, or is left alone no longer than the grace.
    WhenEmpty,
    Now,
}

impl Agent {
    pub(crate) fn new(boot: Boot) -> io::Result<Self> {
        let mut agent = Self {
            poller: Poller::new()?,
            timers: Timers::default(),
            links: Links::new(),
            commands: Commands::new(boot.files_max),
            workers: Workers::default(),
            dials: Dials::default(),
            listen: boot.listen,
            listen_registration: Registration::default(),
            child_signals: boot.child_signals,
            single: boot.single,
            sharing: boot.sharing,
            powers: Powers::find()?,
            config: Configure::default(),
            users: Users::default(),
            boot_id: boot.boot_id,
            booted: Instant::now(),
            more_to_reap: false,
            ending: Ending::No,
        };
        agent.listen_for(Interest::READ)?;
        // Registered for good.
        let mut registration = Registration::default();
        let (signals, token) = (&agent.child_signals, Token::ChildSignals);
        agent
            .poller
            .set(signals, token, &mut registration, Interest::READ)?;
        agent
            .links
            .add(boot.first_link, &agent.poller, &mut agent.timers)?;
        Ok(agent)
    }

    pub(crate) fn serve(mut self) -> io::Result<()> {
        while self.ending != Ending::Now {
            let timeout = self.timeout();
            for token in self.poller.wait(timeout)? {
                self.event(token);
            }
            // First, so that what has ended in time is not taken for late.
            if self.more_to_reap {
                self.reap();
            }
            for _ in 0..DUE_BATCH {
                match self.timers.take_due() {
                    Some(due) => self.due(due),
                    None => break,
                }
            }
            self.tell_ends();
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if self.more_to_reap {
            Some(Duration::ZERO)
        } else {
            self.timers.next()
        }
    }

    fn event(&mut self, token: Token) {
        match token {
            Token::ChildSignals => {
                // One read takes all signals that wait; the reaping tells what they were.
                let _ = rustix::io::read(&self.child_signals, &mut [0_u8; 512]);
                self.more_to_reap = true;
            }
            Token::Listen => self.accept(),
            Token::Link(serial) => self.link_ready(serial),
            Token::Master(serial) | Token::Input(serial) | Token::Output(serial) => {
                self.commands.pump(serial, &self.poller, &mut self.timers);
            }
            Token::Dial(serial) => {
                let dialed = self.dials.ready(serial, &self.poller, &mut self.timers);
                self.answer_dial(dialed);
            }
        }
    }

    fn due(&mut self, due: Due) {
        match due {
            Due::CommandTimeout(serial) => self.commands.timed_out(serial, &mut self.timers),
            Due::Sweep { command, left } => self.commands.sweep(command, left, &mut self.timers),
            Due::Gate(serial) => {
                self.commands
                    .decided(serial, &self.poller, &mut self.timers);
            }
            Due::Terminal(serial) => self.commands.pump(serial, &self.poller, &mut self.timers),
            Due::Dial(serial) => {
                let dialed = self.dials.expired(serial);
                self.answer_dial(dialed);
            }
            Due::Hello(serial) => {
                if !self.links.is_greeted(serial) {
                    self.close_link(serial);
                }
            }
            Due::Accept => {
                if self.listen_for(Interest::READ).is_err() {
                    self.timers.add(ACCEPT_PAUSE, Due::Accept);
                }
            }
            Due::Worker { pid, serial } => self.workers.overdue(pid, serial),
            Due::ShutdownKill => {
                // Nobody to kill is fine.
                let _ = kill_everybody(SignalNumber::KILL);
                self.ending = Ending::Now;
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_BATCH {
            let flags = rustix::net::SocketFlags::CLOEXEC;
            let socket = match rustix::net::accept_with(&self.listen, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return,
                Err(_) => return self.pause_accepting(),
            };
            // A host sits outside of this PID namespace and so has no number here. Anybody who has
            // one is a tenant's process that got at the socket.
            if peer_pid(&socket).is_ok_and(|pid| pid == 0) {
                // Too many links or no memory: the host sees the socket close.
                let _ = self.links.add(socket, &self.poller, &mut self.timers);
            }
        }
    }

    /// Without memory or descriptors the host that waits would wake us again and again.
    fn pause_accepting(&mut self) {
        let none = Interest::default();
        if self.listen_for(none).is_ok() {
            self.timers.add(ACCEPT_PAUSE, Due::Accept);
        }
    }

    fn listen_for(&mut self, interest: Interest) -> rustix::io::Result<()> {
        let registration = &mut self.listen_registration;
        self.poller
            .set(&self.listen, Token::Listen, registration, interest)
    }

    fn link_ready(&mut self, serial: u32) {
        self.links.flush(&self.poller, serial);
        for _ in 0..REQUEST_BATCH {
            match self.links.receive(serial) {
                Received::Request(request, fds) => self.request(serial, *request, fds),
                Received::Nothing => return,
                Received::Gone => {
                    self.close_link(serial);
                    return;
                }
            }
        }
    }

    fn close_link(&mut self, serial: u32) {
        if self.config.die_with_host && self.links.is_greeted(serial) {
            self.ending = Ending::Now;
        }
        self.links.close(&self.poller, serial);
        self.workers.orphaned(serial, &mut self.timers);
    }

    fn reap(&mut self) {
        for _ in 0..REAP_BATCH {
            match reap() {
                Ok(Some(reaped)) => self.reaped(&reaped),
                Ok(None) => {
                    self.more_to_reap = false;
                    return;
                }
                Err(error) => {
                    self.more_to_reap = false;
                    let alone = Errno::from_io_error(&error) == Some(Errno::CHILD);
                    if alone && self.ending == Ending::WhenEmpty {
                        self.ending = Ending::Now;
                    }
                    return;
                }
            }
        }
    }

    fn reaped(&mut self, reaped: &Reaped) {
        if self.commands.reaped(reaped, &self.poller, &mut self.timers) {
            return;
        }
        if let Some(obituary) = self.workers.reaped(reaped, &mut self.timers) {
            self.publish(obituary);
        }
    }

    fn publish(&mut self, obituary: Obituary) {
        let Obituary {
            link,
            request,
            failure,
            transfer,
        } = obituary;
        let answer = reply::Body::Failure(failure.clone());
        self.links
            .send(&self.poller, link, request, answer, Vec::new());
        if transfer {
            let ended = TransferEnded {
                transfer: request,
                bytes: 0,
                failure: Some(failure),
            };
            let ended = reply::Body::TransferEnded(ended);
            self.links.send(&self.poller, link, 0, ended, Vec::new());
        }
    }

    fn answer_dial(&mut self, dialed: Option<Dialed>) {
        let Some(((link, request), result)) = dialed else {
            return;
        };
        let (body, fds) = match result {
            Ok(socket) => (reply::Body::Dialed(pinfold_proto::Dialed {}), vec![socket]),
            Err(refusal) => (failure(refusal), Vec::new()),
        };
        self.links.send(&self.poller, link, request, body, fds);
    }

    /// Tells the current host which commands ended, as far as its socket takes it.
    fn tell_ends(&mut self) {
        let Some(link) = self.links.current() else {
            return;
        };
        while self.commands.has_untold() && self.links.is_clear(link) {
            if let Some(exited) = self.commands.take_untold() {
                let body = reply::Body::Exited(exited);
                self.links.send(&self.poller, link, 0, body, Vec::new());
            }
        }
    }
}
