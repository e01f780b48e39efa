//! Workers: forked processes that do file work with a user's rights.
//!
//! A worker is a copy of PID 1 that gives up everything but the link, its data and its control
//! pipe, becomes the user, works, answers the host itself and ends with 0. One that ends otherwise
//! (a tenant may kill what runs as the same user) is answered for by PID 1; the host takes the
//! first answer. Its control pipe tells a transfer to stop (end of file) or to commit.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use pinfold_proto::{Failure, FailureKind, Reply, TransferEnded, reply, transport};
use pinfold_sys::identity::Identity;
use pinfold_sys::namespace::exit_now;
use pinfold_sys::process::{self, End, Forked, Reaped, SignalNumber, SingleThreaded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit};

use crate::failure::{Outcome, Refusal};
use crate::files::{self, FileJob};
use crate::timers::{Due, Key, Timers};
use crate::transfer::{self, TransferJob};

/// Transfers at once, watches included.
const TRANSFERS_MAX: usize = 64;
/// Short file work at once.
const FILE_JOBS_MAX: usize = 64;
/// How long a worker may take to hear that it is cancelled.
const CANCEL_TIME: Duration = Duration::from_secs(2);
/// Longest that short file work may take: whole trees are removed and copied.
const FILE_JOB_TIME: Duration = Duration::from_secs(600);
/// What a worker may take, whatever an archive's headers or a directory's size ask for.
const MEMORY_MAX_BYTES: u64 = 256 << 20;
/// How long a host may take to make room for an answer.
const ANSWER_TIME: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

#[derive(Debug)]
pub(crate) enum Job {
    File(FileJob),
    Transfer(TransferJob, OwnedFd),
}

#[derive(Debug)]
struct Worker {
    serial: u32,
    link: u32,
    request: u64,
    /// The writing end; only transfers have one, until they are cancelled.
    control: Option<OwnedFd>,
    transfer: bool,
    /// When it is killed if it is not done.
    timer: Option<Key>,
}

#[derive(Debug, Default)]
pub(crate) struct Workers {
    by_pid: BTreeMap<u32, Worker>,
    serial: u32,
}

/// What to tell a host about a worker that could not: request, answer, and for a transfer its end.
#[derive(Debug)]
pub(crate) struct Obituary {
    pub(crate) link: u32,
    pub(crate) request: u64,
    pub(crate) failure: Failure,
    pub(crate) transfer: bool,
}

impl Workers {
    pub(crate) fn start(
        &mut self,
        single: SingleThreaded,
        identity: &Identity,
        link: (u32, BorrowedFd<'_>),
        request: u64,
        job: Job,
        timers: &mut Timers,
    ) -> Outcome<()> {
        let is_transfer = matches!(job, Job::Transfer(..));
        self.check_room(is_transfer)?;
        let (control_reader, control) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|errno| Refusal::kernel("pipe", errno))?;
        let forked = process::fork(single).map_err(|error| Refusal::io("fork", &error))?;
        let pid = match forked {
            Forked::Parent { pid } => pid.unsigned_abs(),
            Forked::Child => {
                drop(control);
                let report = Report {
                    link: link.1,
                    request,
                };
                report.run(identity, job, &control_reader)
            }
        };
        self.serial += 1;
        let serial = self.serial;
        let timer = (!is_transfer).then(|| timers.add(FILE_JOB_TIME, Due::Worker { pid, serial }));
        let control = is_transfer.then_some(control);
        let worker = Worker {
            serial,
            link: link.0,
            request,
            control,
            transfer: is_transfer,
            timer,
        };
        self.by_pid.insert(pid, worker);
        Ok(())
    }

    fn check_room(&self, transfer: bool) -> Outcome<()> {
        let max = if transfer {
            TRANSFERS_MAX
        } else {
            FILE_JOBS_MAX
        };
        if self
            .by_pid
            .values()
            .filter(|worker| worker.transfer == transfer)
            .count()
            < max
        {
            return Ok(());
        }
        Err(Refusal::new(
            FailureKind::TooMany,
            "too much file work at once in this sandbox",
        ))
    }

    /// A child ended; `None` when it is no worker or has said all itself.
    pub(crate) fn reaped(&mut self, reaped: &Reaped, timers: &mut Timers) -> Option<Obituary> {
        let worker = self.by_pid.remove(&reaped.pid())?;
        if let Some(timer) = worker.timer {
            timers.remove(timer);
        }
        if reaped.end == End::Code(0) {
            return None;
        }
        let kind = match reaped.end {
            End::Signal(_) => FailureKind::Cancelled,
            End::Code(_) => FailureKind::Other,
        };
        let failure = Refusal::new(kind, "the work on this file was cut short").into();
        let Worker {
            link,
            request,
            transfer,
            ..
        } = worker;
        Some(Obituary {
            link,
            request,
            failure,
            transfer,
        })
    }

    /// Whether there was such a transfer.
    pub(crate) fn cancel(&mut self, link: u32, request: u64, timers: &mut Timers) -> bool {
        let found = self.transfer(link, request);
        let Some((pid, worker)) = found else {
            return false;
        };
        worker.control = None;
        let serial = worker.serial;
        if worker.timer.is_none() {
            worker.timer = Some(timers.add(CANCEL_TIME, Due::Worker { pid, serial }));
        }
        true
    }

    /// Hands the commit on; whether there was such a transfer.
    pub(crate) fn commit(&mut self, link: u32, request: u64, bytes: u64) -> bool {
        let Some((
            _,
            Worker {
                control: Some(control),
                ..
            },
        )) = self.transfer(link, request)
        else {
            return false;
        };
        // Eight bytes fit into the empty pipe. A worker that has ended reads nothing any more, and
        // says so itself.
        let _ = rustix::io::write(&*control, &bytes.to_ne_bytes());
        true
    }

    /// A link is gone and with it everybody who waits for its transfers.
    pub(crate) fn orphaned(&mut self, link: u32, timers: &mut Timers) {
        let transfers: Vec<_> = self
            .by_pid
            .values()
            .filter(|worker| worker.link == link && worker.transfer)
            .map(|worker| worker.request)
            .collect();
        for request in transfers {
            self.cancel(link, request, timers);
        }
    }

    /// A cancel was not heard in time, or short work takes long.
    pub(crate) fn overdue(&self, pid: u32, serial: u32) {
        if self
            .by_pid
            .get(&pid)
            .is_some_and(|worker| worker.serial == serial)
        {
            // Not reaped yet, so the number is still its own.
            let _ = process::kill(pid, SignalNumber::KILL);
        }
    }

    fn transfer(&mut self, link: u32, request: u64) -> Option<(u32, &mut Worker)> {
        self.by_pid
            .iter_mut()
            .find(|(_, worker)| worker.transfer && worker.link == link && worker.request == request)
            .map(|(pid, worker)| (*pid, worker))
    }
}

/// The worker's way to the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report<'a> {
    link: BorrowedFd<'a>,
    request: u64,
}

impl Report<'_> {
    fn run(self, identity: &Identity, job: Job, control: &OwnedFd) -> ! {
        let mut keep = vec![self.link, control.as_fd()];
        if let Job::Transfer(_, data) = &job {
            keep.push(data.as_fd());
        }
        let code = match process::close_all_but(&keep) {
            Ok(()) => self.work(identity, job, control),
            Err(_) => 1,
        };
        exit_now(code)
    }

    fn work(self, identity: &Identity, job: Job, control: &OwnedFd) -> i32 {
        rustix::process::umask(Mode::empty());
        let memory = Rlimit {
            current: Some(MEMORY_MAX_BYTES),
            maximum: Some(MEMORY_MAX_BYTES),
        };
        // Lowering a limit is always allowed.
        let _ = rustix::process::setrlimit(Resource::As, memory);
        let assumed = identity
            .assume()
            .map_err(|errno| Refusal::kernel("user", errno));
        let told = match (assumed, job) {
            (Err(refusal), _) => self.answer(failure(refusal)),
            (Ok(()), Job::File(job)) => self.answer(files::run(job).unwrap_or_else(failure)),
            (Ok(()), Job::Transfer(job, data)) => transfer::run(job, data, control, self),
        };
        i32::from(told.is_err())
    }

    /// Answers the request. Fails when the host is gone, and then there is nobody to tell.
    pub(crate) fn answer(self, body: reply::Body) -> std::io::Result<()> {
        self.send(&Reply {
            id: self.request,
            body: Some(body),
        })
    }

    pub(crate) fn ended(self, result: Outcome<u64>) -> std::io::Result<()> {
        let (bytes, failure) = match result {
            Ok(bytes) => (bytes, None),
            Err(refusal) => (0, Some(refusal.into())),
        };
        let ended = TransferEnded {
            transfer: self.request,
            bytes,
            failure,
        };
        self.send(&Reply {
            id: 0,
            body: Some(reply::Body::TransferEnded(ended)),
        })
    }

    fn send(self, reply: &Reply) -> std::io::Result<()> {
        loop {
            match transport::send(self.link, reply, &[]) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            let mut link = [PollFd::from_borrowed_fd(self.link, PollFlags::OUT)];
            if poll(&mut link, Some(&ANSWER_TIME))? == 0 {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
        }
    }
}

pub(crate) fn failure(refusal: Refusal) -> reply::Body {
    reply::Body::Failure(refusal.into())
}
