//! The listener: takes connections within bounds, and ends all of them with the server.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::Engine;
use russh::keys::ssh_key::{Algorithm, EcdsaCurve};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, compression, kex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::channel::output::PACKETS_MAX;
use crate::connection;
use crate::host_key::HostKey;
use crate::limits::Limits;
use crate::seats::Seats;
use crate::strangers::Strangers;

/// Between two attempts to accept where descriptors have run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Packets of a channel that wait for its task.
pub(crate) const CHANNEL_PACKETS: usize = 8;
/// What a client may send on a channel before it hears that there is more room.
pub(crate) const WINDOW_BYTES: u32 = 1 << 20;
/// In one packet, and what one may hold beside the data of a channel.
pub(crate) const PACKET_BYTES: usize = 32 << 10;
/// Between a key that is refused and the answer: nobody tries many, or learns from the time.
const REJECTION: Duration = Duration::from_millis(300);

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    connections: TaskTracker,
    draining: CancellationToken,
}

/// What connections share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) config: Arc<Config>,
    pub(crate) limits: Limits,
    pub(crate) draining: CancellationToken,
    /// Tasks of channels.
    pub(crate) tasks: TaskTracker,
    pub(crate) seats: Seats,
    strangers: Strangers,
}

impl Gateway {
    /// Serves the listener until [`Gateway::end`].
    #[must_use]
    pub fn serve(listener: TcpListener, engine: Engine, key: &HostKey, limits: Limits) -> Self {
        let connections = TaskTracker::new();
        let draining = CancellationToken::new();
        let shared = Arc::new(Shared {
            engine,
            config: Arc::new(config(key, &limits)),
            limits,
            draining: draining.clone(),
            tasks: connections.clone(),
            seats: Seats::new(&limits),
            strangers: Strangers::new(limits.strangers),
        });
        connections.spawn(accept(listener, shared));
        Self {
            connections,
            draining,
        }
    }

    /// Takes no more connections, tells those there are that the server ends, and waits until they
    /// are gone. Commands that they wait for end with them.
    pub async fn end(self) {
        self.draining.cancel();
        self.connections.close();
        self.connections.wait().await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Strangers take none of the places of who has logged in. Those that had to go for others leave
    // in a moment, and there is room for as many more until they have.
    let limits = &shared.limits;
    let places = Arc::new(Semaphore::new(limits.connections + 2 * limits.strangers));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.draining.cancelled() => return,
        };
        match accepted {
            Ok((socket, peer)) => admit(&shared, &places, socket, peer.ip()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept SSH connections at the moment");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Beyond the bounds a connection is closed without a word: who floods is not answered.
fn admit(shared: &Arc<Shared>, places: &Arc<Semaphore>, socket: TcpStream, peer: IpAddr) {
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        metrics::counter!("pinfold_ssh_refused_total").increment(1);
        return;
    };
    let stranger = shared.strangers.enter();
    let open = metrics::gauge!("pinfold_ssh_connections_open");
    open.increment(1.0);
    let serving = connection::run(Arc::clone(shared), socket, peer, stranger);
    shared.tasks.spawn(async move {
        serving.await;
        drop(place);
        open.decrement(1.0);
    });
}

fn config(key: &HostKey, limits: &Limits) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-Pinfold_",
            env!("CARGO_PKG_VERSION")
        ))),
        methods: MethodSet::from([MethodKind::PublicKey].as_slice()),
        auth_rejection_time: REJECTION,
        // Every client asks without a key first, to learn what it may come with.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key.private()],
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES as u32,
        channel_buffer_size: CHANNEL_PACKETS,
        // As many as all channels may have on their way, so that none waits for another's.
        event_buffer_size: limits.channels * PACKETS_MAX,
        preferred: preferred(),
        max_auth_attempts: limits.attempts,
        // A client that lives answers the questions below; this ends what is left of one that has
        // said goodbye and never closes.
        inactivity_timeout: Some(
            limits
                .keepalive
                .saturating_mul(limits.keepalives as u32 + 2),
        ),
        keepalive_interval: Some(limits.keepalive),
        keepalive_max: limits.keepalives,
        nodelay: true,
        ..Config::default()
    }
}

/// No compression: it is a second parser before the login, and mixes secrets with what an attacker
/// chooses. No RSA: no such key opens a sandbox.
fn preferred() -> Preferred {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    Preferred {
        key: Cow::Owned(vec![
            Algorithm::Ed25519,
            ecdsa(EcdsaCurve::NistP256),
            ecdsa(EcdsaCurve::NistP384),
            ecdsa(EcdsaCurve::NistP521),
        ]),
        // Curves alone: an exchange over a large prime takes a core for a second, before any login.
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
            kex::EXTENSION_SUPPORT_AS_CLIENT,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        ]),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::DEFAULT
    }
}
