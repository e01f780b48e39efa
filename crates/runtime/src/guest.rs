//! The host's end of a guest's link.
//!
//! [`Guest`] asks and waits for answers by id; one reader task takes apart what the guest sends.
//! It knows nothing of journals, stores or tenants.
//!
//! A guest belongs to whoever runs code in its sandbox as far as this side is concerned: everything
//! received is bounded and checked, and a guest that breaks the protocol loses its link.

mod command;
mod error;
mod event;
mod file;
mod gate;
mod link;
mod transfer;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pinfold_proto::{self as proto, reply, request};
use rustix::process::Pid;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub use command::{GuestCommand, KillScope, Pipes, StartSpec, StartedCommand};
pub use error::GuestError;
pub use event::{Events, ExitReport, GuestEvent};
pub use file::{FileKind, FilePath, FileStat, Follow, Listing};
pub use gate::GatedStart;
pub use pinfold_proto::{Configure, FailureKind};
pub use transfer::{
    ArchiveTransfer, ExtractTransfer, FileEvent, FileEventKind, Transfer, Watch, WriteOptions,
    WriteTransfer,
};

use link::Link;

/// How long a guest may take for what is a matter of microseconds when the machine is healthy.
const DEADLINE: Duration = Duration::from_secs(30);
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// Added to a time the guest counts by itself.
const GRACE: Duration = Duration::from_secs(5);

/// A handle to a running guest; cheap to clone. The link closes with the last handle.
#[derive(Debug, Clone)]
pub struct Guest {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Arc<Link>,
    reader: JoinHandle<()>,
    boot_id: u64,
    /// The minor version that the guest speaks.
    minor: u32,
    pid: Option<Pid>,
}

impl Inner {
    /// Before anything is known of who is at the other end.
    fn new(link: OwnedFd) -> Result<Self, GuestError> {
        let link = Arc::new(Link::new(link)?);
        let reader = tokio::spawn(Arc::clone(&link).read());
        Ok(Self {
            link,
            reader,
            boot_id: 0,
            minor: 0,
            pid: None,
        })
    }

    fn met(&mut self, theirs: proto::Hello) {
        (self.boot_id, self.minor) = (theirs.boot, theirs.minor);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.link.close(GuestError::Lost);
        self.reader.abort();
    }
}

/// What a sandbox uses, as the guest sees it from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestUsage {
    /// Without the guest itself.
    pub processes: u64,
    pub disk_used_bytes: u64,
    pub disk_total_bytes: u64,
    pub uptime: Duration,
}

impl Guest {
    /// Greets the guest behind `link` (a connected seqpacket socket) and sets it up. `pid` is the
    /// guest's process on this machine, where the driver knows it.
    pub async fn connect(
        link: OwnedFd,
        config: Configure,
        pid: Option<Pid>,
    ) -> Result<Self, GuestError> {
        let mut inner = Inner::new(link)?;
        inner.pid = pid;
        let theirs = tokio::time::timeout(HELLO_DEADLINE, hello(&inner.link));
        inner.met(theirs.await.map_err(|_| GuestError::Timeout)??);
        let guest = Self {
            inner: Arc::new(inner),
        };
        guest.done(request::Body::Configure(config)).await?;
        Ok(guest)
    }

    /// The same for a guest that `made` is only about to make, and which is of this program: `config` need
    /// not wait for its version, so both questions wait in its socket. `made` ends with its process.
    pub async fn connect_to_new<E: From<GuestError>>(
        link: OwnedFd,
        config: Configure,
        made: impl Future<Output = Result<Option<Pid>, E>>,
    ) -> Result<Self, E> {
        let mut inner = Inner::new(link)?;
        let link = Arc::clone(&inner.link);
        let mut greeting = pin!(greet(&link, config));
        let mut greeted = None;
        let mut made = pin!(made);
        inner.pid = loop {
            tokio::select! {
                biased;
                made = &mut made => break made?,
                // Why it was not made says more than that its socket closed.
                result = &mut greeting, if greeted.is_none() => greeted = Some(result),
            }
        };
        let theirs = match greeted {
            Some(theirs) => theirs?,
            None => tokio::time::timeout(HELLO_DEADLINE + DEADLINE, greeting)
                .await
                .map_err(|_| GuestError::Timeout)??,
        };
        inner.met(theirs);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What the guest tells without being asked. Every event goes to one of the handles, so there
    /// should be one. Ends of commands are told again to each new link until they are forgotten.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.inner.link))
    }

    /// Random for each life of a guest: another one means that all processes are gone.
    #[must_use]
    pub fn boot_id(&self) -> u64 {
        self.inner.boot_id
    }

    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.inner.pid
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.link.is_closed()
    }

    /// Returns when the link is gone: the guest ended, broke the protocol, or greets a newer host.
    pub async fn closed(&self) {
        self.inner.link.closed().await;
    }

    /// Closes the link for all handles. The guest and its commands live on, unless it was told to
    /// die with its host.
    pub fn close(&self) {
        self.inner.link.close(GuestError::Lost);
    }

    /// Connects to a port inside: on 127.0.0.1, then on ::1.
    pub async fn dial(&self, port: u16, timeout: Duration) -> Result<TcpStream, GuestError> {
        let timeout_ms = u32::try_from(timeout.as_millis())
            .unwrap_or(u32::MAX)
            .max(1);
        let body = request::Body::Dial(proto::Dial {
            port: port.into(),
            timeout_ms,
        });
        let deadline = timeout.saturating_add(GRACE);
        match self.ask(body, &[], deadline).await? {
            (reply::Body::Dialed(_), fds) => self.checked(tcp_stream(fds)),
            other => Err(self.unexpected("Dial", &other.0)),
        }
    }

    pub async fn usage(&self) -> Result<GuestUsage, GuestError> {
        let body = request::Body::Usage(proto::UsageQuery {});
        match self.ask_plain(body, DEADLINE).await? {
            reply::Body::Usage(usage) => Ok(GuestUsage {
                processes: usage.processes,
                disk_used_bytes: usage.disk_used_bytes,
                disk_total_bytes: usage.disk_total_bytes,
                uptime: Duration::from_millis(usage.uptime_ms),
            }),
            other => Err(self.unexpected("Usage", &other)),
        }
    }

    /// Begins the guest's end: TERM to everything inside, KILL after `grace`. Returns when the guest
    /// has agreed; [`Guest::closed`] tells when it is over.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), GuestError> {
        let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        self.done(request::Body::Shutdown(proto::Shutdown { grace_ms }))
            .await
    }

    async fn done(&self, body: request::Body) -> Result<(), GuestError> {
        self.done_within(body, DEADLINE).await
    }

    async fn done_within(&self, body: request::Body, deadline: Duration) -> Result<(), GuestError> {
        match self.ask_plain(body, deadline).await? {
            reply::Body::Done(_) => Ok(()),
            other => Err(self.unexpected("Done", &other)),
        }
    }

    /// Asks something whose answer brings no descriptors.
    async fn ask_plain(
        &self,
        body: request::Body,
        deadline: Duration,
    ) -> Result<reply::Body, GuestError> {
        let (body, fds) = self.ask(body, &[], deadline).await?;
        if fds.is_empty() {
            Ok(body)
        } else {
            Err(self.unexpected("no descriptor", &body))
        }
    }

    async fn ask(
        &self,
        body: request::Body,
        fds: &[&OwnedFd],
        deadline: Duration,
    ) -> Result<(reply::Body, Vec<OwnedFd>), GuestError> {
        let call = self.inner.link.call();
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        call.ask(body, &fds, deadline).await
    }

    fn unexpected(&self, wanted: &str, got: &reply::Body) -> GuestError {
        let error = GuestError::Protocol(format!("wanted {wanted}, got {got:.100?}"));
        self.inner.link.close(error.clone());
        error
    }

    /// Closes the link when what came with an answer is not what it has to be.
    fn checked<T>(&self, result: Result<T, GuestError>) -> Result<T, GuestError> {
        result.inspect_err(|error| {
            if matches!(error, GuestError::Protocol(_)) {
                self.inner.link.close(error.clone());
            }
        })
    }
}

async fn hello(link: &Arc<Link>) -> Result<proto::Hello, GuestError> {
    let call = link.call();
    let asked = call.begin(our_hello(), &[]).await?;
    their_hello(asked.answer().await?)
}

/// Both questions at once; a guest takes them in their order.
async fn greet(link: &Arc<Link>, config: Configure) -> Result<proto::Hello, GuestError> {
    let (hello, configure) = (link.call(), link.call());
    let hello = hello.begin(our_hello(), &[]).await?;
    let configure = configure
        .begin(request::Body::Configure(config), &[])
        .await?;
    let theirs = their_hello(hello.answer().await?)?;
    match configure.answer().await? {
        (reply::Body::Done(_), fds) if fds.is_empty() => Ok(theirs),
        (other, _) => Err(GuestError::Protocol(format!(
            "wanted Done, got {other:.100?}"
        ))),
    }
}

fn our_hello() -> request::Body {
    request::Body::Hello(proto::Hello {
        major: proto::PROTOCOL_MAJOR,
        minor: proto::PROTOCOL_MINOR,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        boot: 0,
    })
}

fn their_hello(answer: link::Answer) -> Result<proto::Hello, GuestError> {
    let (reply::Body::Hello(theirs), _) = answer else {
        return Err(GuestError::Protocol("the first answer is no Hello".into()));
    };
    proto::check_version(&theirs)?;
    Ok(theirs)
}

fn tcp_stream(fds: Vec<OwnedFd>) -> Result<TcpStream, GuestError> {
    let [socket] = <[OwnedFd; 1]>::try_from(fds)
        .map_err(|_| GuestError::Protocol("a dialed port is one descriptor".into()))?;
    require(&socket, rustix::fs::FileType::Socket)?;
    let family = rustix::net::getsockname(&socket)
        .map_err(io::Error::from)?
        .address_family();
    if !matches!(
        family,
        rustix::net::AddressFamily::INET | rustix::net::AddressFamily::INET6
    ) {
        return Err(GuestError::Protocol(
            "a dialed port is no TCP socket".into(),
        ));
    }
    let stream = std::net::TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream)?)
}

/// A hostile guest may hand over any descriptor; one of the wrong type could block or mislead us.
fn require(fd: &OwnedFd, wanted: rustix::fs::FileType) -> Result<(), GuestError> {
    let stat = rustix::fs::fstat(fd).map_err(io::Error::from)?;
    let found = rustix::fs::FileType::from_raw_mode(stat.st_mode);
    if found == wanted {
        return Ok(());
    }
    Err(GuestError::Protocol(format!(
        "descriptor of type {found:?} instead of {wanted:?}"
    )))
}
