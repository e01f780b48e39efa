//! One connection, and everything that ends it.
//!
//! ```text
//! stranger --handshake in time--> inside --client leaves--------------------------> gone
//!    |                              |---key or sandbox ended, server ends: told--->  |
//!    +--too slow: cut               +---client vanished: cut------------------------>+
//! ```
//! The library reads and writes in one task, which waits where what a client sends is not taken. So
//! what must end a connection stands outside of it: the channels' tasks are ended first, which lets
//! go of it, and at last the socket is cut.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::SshLogin;
use russh::Disconnect;
use russh::server::{RunningSession, run_stream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SetOnce};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::gateway::Shared;
use crate::handler::Handler;
use crate::strangers::Stranger;

/// How often a client is looked for whose packets are not read at the moment.
const LOOK: Duration = Duration::from_secs(5);

/// What the handler and the channels of one connection share.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: IpAddr,
    /// Set once somebody has logged in.
    pub(crate) login: SetOnce<Arc<SshLogin>>,
    /// Ends the tasks of its channels.
    pub(crate) over: CancellationToken,
    /// Room for more channels.
    pub(crate) channels: Arc<Semaphore>,
    /// And for more sessions of SFTP among them.
    pub(crate) sftp: Arc<Semaphore>,
    /// And for more files that they have open.
    pub(crate) files: Arc<Semaphore>,
}

impl Connection {
    fn new(shared: Arc<Shared>, peer: IpAddr) -> Self {
        let limits = shared.limits;
        Self {
            shared,
            peer,
            login: SetOnce::new(),
            over: CancellationToken::new(),
            channels: Arc::new(Semaphore::new(limits.channels)),
            sftp: Arc::new(Semaphore::new(limits.sftp)),
            files: Arc::new(Semaphore::new(limits.files)),
        }
    }

    pub(crate) fn channels_open(&self) -> usize {
        self.shared.limits.channels - self.channels.available_permits()
    }
}

/// Why a connection has to end.
enum End {
    /// The client is told, if it listens.
    Told(String),
    Cut,
}

pub(crate) async fn run(shared: Arc<Shared>, socket: TcpStream, peer: IpAddr, stranger: Stranger) {
    let deadline = Instant::now() + shared.limits.handshake;
    // It works without them too.
    let _ = socket.set_nodelay(true);
    if let Err(error) = keep_alive(&socket) {
        tracing::debug!(%error, "cannot set TCP keep-alive");
    }
    let Ok(cutter) = socket.as_fd().try_clone_to_owned() else {
        return;
    };
    let connection = Arc::new(Connection::new(Arc::clone(&shared), peer));
    let _ends_channels = connection.over.clone().drop_guard();
    let handler = Handler::new(Arc::clone(&connection));
    let begun = timeout_at(
        deadline,
        run_stream(Arc::clone(&shared.config), socket, handler),
    );
    let begun = tokio::select! {
        begun = begun => begun,
        () = stranger.must_go() => return,
        () = shared.draining.cancelled() => return,
    };
    match begun {
        Ok(Ok(session)) => accompany(&connection, session, &cutter, deadline, stranger).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no SSH client"),
        Err(_) => tracing::debug!(%peer, "an SSH client said nothing in time"),
    }
}

async fn accompany(
    connection: &Connection,
    mut session: RunningSession<Handler>,
    cutter: &OwnedFd,
    deadline: Instant,
    stranger: Stranger,
) {
    let handle = session.handle();
    let end = tokio::select! {
        ended = &mut session => {
            if let Err(error) = ended {
                tracing::debug!(peer = %connection.peer, %error, "an SSH connection broke off");
            }
            return;
        }
        end = must_end(connection, cutter, deadline, stranger) => end,
    };
    connection.over.cancel();
    let patience = connection.shared.limits.farewell;
    if let End::Told(text) = end {
        let told = async {
            // Fails where it has ended by itself.
            let _ = handle
                .disconnect(Disconnect::ByApplication, text, String::new())
                .await;
            let _ = (&mut session).await;
        };
        if timeout(patience, told).await.is_ok() {
            return;
        }
    }
    // It reads the end then, whatever the client does.
    let _ = shutdown(cutter, Shutdown::Both);
    if timeout(patience, session).await.is_err() {
        tracing::warn!(peer = %connection.peer, "an SSH connection does not end");
    }
}

async fn must_end(
    connection: &Connection,
    cutter: &OwnedFd,
    deadline: Instant,
    stranger: Stranger,
) -> End {
    let shared = &connection.shared;
    let draining = async {
        shared.draining.cancelled().await;
        End::Told("the server is shutting down".to_owned())
    };
    let ended = async {
        let login = tokio::select! {
            login = timeout_at(deadline, connection.login.wait()) => login,
            () = stranger.must_go() => return End::Cut,
        };
        let Ok(login) = login else {
            return End::Cut;
        };
        drop(stranger);
        End::Told(login.ended().await.message().to_owned())
    };
    tokio::select! {
        end = ended => end,
        end = draining => end,
        () = vanished(cutter) => End::Cut,
    }
}

/// Finds clients that vanished without a word within two minutes: the questions of SSH are neither asked
/// nor answered while a connection waits for what one of its channels takes.
fn keep_alive(socket: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(socket, 4)
}

/// Completes when the client has closed its side and nobody has read that for a while.
async fn vanished(socket: &OwnedFd) {
    let mut gone = 0;
    while gone < 2 {
        sleep(LOOK).await;
        let mut look = [PollFd::new(socket, PollFlags::RDHUP)];
        let now = rustix::time::Timespec::default();
        let hung_up = poll(&mut look, Some(&now)).is_ok_and(|ready| ready > 0);
        gone = if hung_up { gone + 1 } else { 0 };
    }
}
