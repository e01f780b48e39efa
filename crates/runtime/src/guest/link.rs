//! One link: requests out, answers and events in.
//!
//! Answers find their question by id; an answer nobody waits for any more is dropped with its
//! descriptors. Nothing here interprets an answer's body.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinfold_proto::{Reply, Request, TransferEnded, reply, request, transport};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, SetOnce, oneshot};

use super::error::GuestError;
use super::event::{ExitReport, GuestEvent};

/// Questions on the way at once; more wait here.
const IN_FLIGHT_MAX: usize = 256;
/// Events that wait to be taken. A guest keeps at most 4,096 commands, so more than this is a
/// flood (or an owner that takes none, whose sandbox is of no use either).
const EVENTS_MAX: usize = 16 << 10;

pub(super) type Answer = (reply::Body, Vec<OwnedFd>);

#[derive(Debug)]
pub(super) struct Link {
    /// A seqpacket socket in truth: of the stream's methods only those that wait for readiness are
    /// used.
    socket: UnixStream,
    state: Mutex<State>,
    /// Rung for every event and for the end of the link.
    news: Notify,
    /// Set with the end of the link. Apart from `news`, since every command waits for it, and an
    /// event is not to wake them all.
    gone: SetOnce<()>,
    next_id: AtomicU64,
    in_flight: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<u64, oneshot::Sender<Answer>>,
    transfers: HashMap<u64, oneshot::Sender<TransferEnded>>,
    events: VecDeque<GuestEvent>,
    /// Why the link closed.
    closed: Option<GuestError>,
}

thread_local! {
    /// One for each thread rather than for each of a thousand links.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; transport::BUFFER_BYTES]);
}

impl Link {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
            state: Mutex::default(),
            news: Notify::new(),
            gone: SetOnce::new(),
            next_id: AtomicU64::new(1),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
        })
    }

    /// A question not yet asked: its id is known first, so that a transfer's end cannot come
    /// before somebody listens for it.
    pub(super) fn call(self: &Arc<Self>) -> Call {
        Call {
            link: Arc::clone(self),
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }

    pub(super) async fn closed(&self) {
        self.gone.wait().await;
    }

    pub(super) async fn next_event(&self) -> Option<GuestEvent> {
        loop {
            let news = self.news.notified();
            {
                let mut state = self.state();
                if let Some(event) = state.events.pop_front() {
                    return Some(event);
                }
                if state.closed.is_some() {
                    return None;
                }
            }
            news.await;
        }
    }

    /// The first cause stands; later ones follow from it.
    pub(super) fn close(&self, cause: GuestError) {
        let waiting = {
            let mut state = self.state();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(cause);
            (
                std::mem::take(&mut state.answers),
                std::mem::take(&mut state.transfers),
            )
        };
        drop(waiting);
        // A peer that is gone already is fine.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        // Only the first to close comes here.
        let _ = self.gone.set(());
        self.news.notify_waiters();
    }

    /// The reader task: until the link breaks or is closed.
    pub(super) async fn read(self: Arc<Self>) {
        let cause = loop {
            match self.receive().await {
                Ok(Some((reply, fds))) => {
                    if let Err(cause) = self.dispatch(reply, fds) {
                        break cause;
                    }
                }
                Ok(None) => break GuestError::Lost,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    break GuestError::Protocol(error.to_string());
                }
                Err(error) => {
                    tracing::debug!(%error, "guest link broke");
                    break GuestError::Lost;
                }
            }
        };
        self.close(cause);
    }

    async fn receive(&self) -> io::Result<Option<(Reply, Vec<OwnedFd>)>> {
        self.socket
            .async_io(Interest::READABLE, || {
                BUFFER.with_borrow_mut(|buffer| transport::receive(&self.socket, buffer))
            })
            .await
    }

    fn dispatch(&self, reply: Reply, fds: Vec<OwnedFd>) -> Result<(), GuestError> {
        // A body of a newer minor version that we do not know.
        let Some(body) = reply.body else {
            return Ok(());
        };
        if reply.id != 0 {
            let waiting = self.state().answers.remove(&reply.id);
            if let Some(waiting) = waiting {
                // Nobody waits any more: the descriptors close here.
                let _ = waiting.send((body, fds));
            }
            return Ok(());
        }
        if !fds.is_empty() {
            return Err(GuestError::Protocol("an event with descriptors".into()));
        }
        match body {
            reply::Body::Exited(exited) => {
                let (id, report) = ExitReport::read(&exited)?;
                self.queue(GuestEvent::Exited { id, report })
            }
            reply::Body::TransferEnded(ended) => {
                let waiting = self.state().transfers.remove(&ended.transfer);
                if let Some(waiting) = waiting {
                    let _ = waiting.send(ended);
                }
                Ok(())
            }
            other => Err(GuestError::Protocol(format!("no event: {other:.100?}"))),
        }
    }

    fn queue(&self, event: GuestEvent) -> Result<(), GuestError> {
        {
            let mut state = self.state();
            if state.events.len() >= EVENTS_MAX {
                return Err(GuestError::Protocol("a flood of events".into()));
            }
            state.events.push_back(event);
        }
        self.news.notify_waiters();
        Ok(())
    }

    async fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), GuestError> {
        let sent = self
            .socket
            .async_io(Interest::WRITABLE, || {
                transport::send(&self.socket, request, fds)
            })
            .await;
        match sent {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.cause()),
            Err(error) => Err(error.into()),
        }
    }

    fn cause(&self) -> GuestError {
        self.state().closed.clone().unwrap_or(GuestError::Lost)
    }

    /// Nothing panics while it holds this lock; a poisoned state is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question with its id.
#[derive(Debug)]
pub(super) struct Call {
    link: Arc<Link>,
    pub(super) id: u64,
}

impl Call {
    pub(super) async fn ask(
        &self,
        body: request::Body,
        fds: &[BorrowedFd<'_>],
        deadline: Duration,
    ) -> Result<Answer, GuestError> {
        let asked = async { self.begin(body, fds).await?.answer().await };
        tokio::time::timeout(deadline, asked)
            .await
            .map_err(|_| GuestError::Timeout)?
    }

    /// Asks, and leaves it to the caller when to wait for the answer.
    pub(super) async fn begin(
        &self,
        body: request::Body,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Asked<'_>, GuestError> {
        let permit = self
            .link
            .in_flight
            .acquire()
            .await
            .map_err(|_| GuestError::Lost)?;
        let answer = self.expect()?;
        let entry = Entry { call: self };
        let request = Request {
            id: self.id,
            body: Some(body),
        };
        self.link.send(&request, fds).await?;
        Ok(Asked {
            answer,
            entry,
            _permit: permit,
        })
    }

    /// Tells the guest something without waiting for its answer, from a destructor for instance.
    /// Best effort: a full link drops it.
    pub(super) fn tell(&self, body: request::Body) {
        let request = Request {
            id: self.id,
            body: Some(body),
        };
        let socket = &self.link.socket;
        let _ = socket.try_io(Interest::WRITABLE, || {
            transport::send(socket, &request, &[])
        });
    }

    /// The end of the transfer that this call begins.
    pub(super) fn transfer_end(&self) -> Result<TransferEnd, GuestError> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.link.state();
        if let Some(cause) = &state.closed {
            return Err(cause.clone());
        }
        state.transfers.insert(self.id, sender);
        Ok(TransferEnd {
            link: Arc::clone(&self.link),
            id: self.id,
            receiver,
        })
    }

    fn expect(&self) -> Result<oneshot::Receiver<Answer>, GuestError> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.link.state();
        if let Some(cause) = &state.closed {
            return Err(cause.clone());
        }
        state.answers.insert(self.id, sender);
        Ok(receiver)
    }
}

/// A question on its way.
pub(super) struct Asked<'a> {
    answer: oneshot::Receiver<Answer>,
    entry: Entry<'a>,
    _permit: SemaphorePermit<'a>,
}

impl Asked<'_> {
    pub(super) async fn answer(self) -> Result<Answer, GuestError> {
        let link = &self.entry.call.link;
        match self.answer.await.map_err(|_| link.cause())? {
            (reply::Body::Failure(failure), _) => Err(failure.into()),
            answer => Ok(answer),
        }
    }
}

/// Takes the call off the list when its asker stops waiting.
struct Entry<'a> {
    call: &'a Call,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.call.link.state().answers.remove(&self.call.id);
    }
}

/// A transfer that has not ended yet. Dropping it stops listening; cancelling is the owner's.
#[derive(Debug)]
pub(super) struct TransferEnd {
    link: Arc<Link>,
    id: u64,
    receiver: oneshot::Receiver<TransferEnded>,
}

impl TransferEnd {
    /// Bytes moved.
    pub(super) async fn wait(&mut self) -> Result<u64, GuestError> {
        let ended = (&mut self.receiver).await.map_err(|_| self.link.cause())?;
        match ended.failure {
            Some(failure) => Err(failure.into()),
            None => Ok(ended.bytes),
        }
    }
}

impl Drop for TransferEnd {
    fn drop(&mut self) {
        self.link.state().transfers.remove(&self.id);
    }
}
