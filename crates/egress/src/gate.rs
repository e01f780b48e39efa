//! The gate of one sandbox: its policy, and who takes what arrives.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pinfold_model::network::{HostName, Refusal};
use pinfold_model::{GatewayKind, NetworkPolicy};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::credentials::Credentials;
use crate::gateways::{Gateways, kind_of};
use crate::names::Names;
use crate::opening::{Addressee, Opening};
use crate::outside::Outside;
use crate::refusal::{self, NoWay, reset, settle};
use crate::secure::Authority;
use crate::tally::{Counts, Refused, Tally, add};
use crate::web::Secured;
use crate::{dns, tunnel, web};

/// Questions of one sandbox at once.
const QUESTIONS_MAX: usize = 64;
/// Of MCP, of one sandbox: they are in this process's memory, and in no sandbox's account.
pub(crate) const MESSAGES_MAX: usize = 8;
pub(crate) const STREAMS_MAX: usize = 64;
/// How long a program is expected to need to begin. One that is silent is connected, since it may be
/// the other side's turn.
const SILENCE: Duration = Duration::from_millis(300);
/// From the first byte of an opening to the last.
const OPENING: Duration = Duration::from_secs(30);
const DNS_PORT: u16 = 53;

/// Decides over and carries what one sandbox wants of the outside. Dropped, all of it ends.
#[derive(Debug)]
pub struct Egress {
    inner: Arc<Inner>,
    serving: Mutex<Option<Serving>>,
}

/// What takes in at one pair of sockets. Dropped, it ends behind that.
#[derive(Debug)]
struct Serving {
    ending: DropGuard,
    connections: TaskTracker,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) outside: Outside,
    pub(crate) added: Option<Added>,
    policy: watch::Sender<Arc<NetworkPolicy>>,
    names: Mutex<Names>,
    pub(crate) tally: Tally,
    connections: Arc<Semaphore>,
    pub(crate) questions: Arc<Semaphore>,
    /// Messages of MCP that are held in memory.
    pub(crate) messages: Arc<Semaphore>,
    /// Streams of MCP, of which one event each may be.
    pub(crate) streams: Arc<Semaphore>,
}

/// What is added to some requests, and who speaks TLS for that.
pub struct Added {
    pub authority: Arc<Authority>,
    pub credentials: Option<Box<dyn Credentials>>,
    pub gateways: Option<Box<dyn Gateways>>,
}

impl std::fmt::Debug for Added {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Added").finish_non_exhaustive()
    }
}

/// Where a connection wants to go, by its original destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Name(HostName),
    Address(IpAddr),
    /// An address that stands for a name that nobody has asked this server for.
    Forgotten(Ipv4Addr),
}

impl Egress {
    /// For a sandbox that believes to be in the network `address/prefix`.
    #[must_use]
    pub fn new(outside: Outside, network: (Ipv4Addr, u8), policy: NetworkPolicy) -> Self {
        Self::made(outside, network, policy, None)
    }

    /// The same, where some requests get credentials.
    #[must_use]
    pub fn adding(
        outside: Outside,
        network: (Ipv4Addr, u8),
        policy: NetworkPolicy,
        added: Added,
    ) -> Self {
        Self::made(outside, network, policy, Some(added))
    }

    fn made(
        outside: Outside,
        network: (Ipv4Addr, u8),
        policy: NetworkPolicy,
        added: Option<Added>,
    ) -> Self {
        let connections = Arc::new(Semaphore::new(outside.connections_of_each()));
        let inner = Inner {
            outside,
            added,
            policy: watch::Sender::new(Arc::new(policy)),
            names: Mutex::new(Names::new(network.0, network.1)),
            tally: Tally::default(),
            connections,
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            messages: Arc::new(Semaphore::new(MESSAGES_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        };
        Self {
            inner: Arc::new(inner),
            serving: Mutex::default(),
        }
    }

    /// Takes what arrives at these sockets, which do not block, in place of earlier ones.
    pub fn serve(&self, tcp: std::net::TcpListener, udp: std::net::UdpSocket) -> io::Result<()> {
        let (tcp, udp) = (TcpListener::from_std(tcp)?, UdpSocket::from_std(udp)?);
        let ending = CancellationToken::new();
        let names = ending
            .clone()
            .run_until_cancelled_owned(dns::serve(Arc::clone(&self.inner), udp));
        tokio::spawn(names);
        let connections = TaskTracker::new();
        let accepting = accept(
            Arc::clone(&self.inner),
            tcp,
            connections.clone(),
            ending.clone(),
        );
        connections.spawn(ending.clone().run_until_cancelled_owned(accepting));
        connections.close();
        *self.serving() = Some(Serving {
            ending: ending.drop_guard(),
            connections,
        });
        Ok(())
    }

    /// Takes no connection until the next [`Egress::serve`]. All have ended when it returns.
    pub async fn close(&self) {
        let serving = self.serving().take();
        if let Some(Serving {
            ending,
            connections,
        }) = serving
        {
            drop(ending);
            connections.wait().await;
        }
    }

    /// From now on; what stands and is not allowed any more is cut.
    pub fn set_policy(&self, policy: NetworkPolicy) {
        self.inner.policy.send_replace(Arc::new(policy));
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.tally.counts()
    }

    /// The last things that were refused, oldest first.
    #[must_use]
    pub fn last_refused(&self) -> Vec<Refused> {
        self.inner.tally.last_refused()
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.inner)
    }

    fn serving(&self) -> std::sync::MutexGuard<'_, Option<Serving>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(crate) fn policy(&self) -> Arc<NetworkPolicy> {
        Arc::clone(&self.policy.borrow())
    }

    pub(crate) fn address_of(&self, name: &HostName) -> Option<Ipv4Addr> {
        self.names().address_of(name)
    }

    fn target(&self, address: Ipv4Addr) -> Target {
        let names = self.names();
        match names.name_of(address) {
            Some(name) => Target::Name(name.clone()),
            None if names.stands_for_names(address) => Target::Forgotten(address),
            None => Target::Address(address.into()),
        }
    }

    /// Returns when the policy is one that `allowed` refuses.
    pub(crate) async fn forbidden(
        &self,
        allowed: impl Fn(&NetworkPolicy) -> Result<(), Refusal>,
    ) -> Refusal {
        let mut policy = self.policy.subscribe();
        loop {
            if let Err(why) = allowed(&policy.borrow_and_update()) {
                return why;
            }
            if policy.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What requests to that host get, if anything, and who speaks TLS for it.
    pub(crate) fn credentials_for(
        &self,
        host: &HostName,
        port: u16,
    ) -> Option<(&dyn Credentials, &Arc<Authority>)> {
        let added = self.added.as_ref()?;
        let credentials = added.credentials.as_deref()?;
        let wanted = credentials.are_for(host, port);
        wanted.then_some((credentials, &added.authority))
    }

    /// Who calls gateways in the sandbox's stead, where that is a name of theirs.
    pub(crate) fn gateways_at(
        &self,
        host: &HostName,
    ) -> Option<(GatewayKind, &dyn Gateways, &Arc<Authority>)> {
        let added = self.added.as_ref()?;
        let gateways = added.gateways.as_deref()?;
        Some((kind_of(host)?, gateways, &added.authority))
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    /// Whether the policy lets a connection there, and to whom its opening names.
    pub(crate) fn check(
        &self,
        named: Option<&Addressee>,
        port: u16,
        policy: &NetworkPolicy,
    ) -> Result<(), Refusal> {
        match self {
            Self::Name(name) => policy.check_name(name, port)?,
            Self::Address(address) => policy.check_address(*address, port)?,
            // Its name has to be in the opening.
            Self::Forgotten(_) if !matches!(named, Some(Addressee::Name(_))) => {
                return Err(Refusal::NotAllowed);
            }
            Self::Forgotten(_) => {}
        }
        match (named, self) {
            // One address may serve many names; who may reach it as an address may reach all of
            // them that are not denied.
            (Some(Addressee::Name(name)), Self::Address(_)) => {
                match policy.check_name(name, port) {
                    Err(Refusal::Denied) => Err(Refusal::Denied),
                    _ => Ok(()),
                }
            }
            (Some(Addressee::Name(name)), _) => policy.check_name(name, port),
            (Some(Addressee::Strange(_)), Self::Name(_) | Self::Forgotten(_)) => {
                Err(Refusal::NotAllowed)
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn dial(
        &self,
        named: Option<&Addressee>,
        port: u16,
        inner: &Inner,
    ) -> Result<TcpStream, NoWay> {
        let policy = inner.policy();
        match (self, named) {
            // Nobody outside is asked for it.
            (Self::Name(name), _) | (_, Some(Addressee::Name(name))) if kind_of(name).is_some() => {
                Err(NoWay::refused(name, Refusal::NotAllowed))
            }
            (Self::Name(name), _) | (Self::Forgotten(_), Some(Addressee::Name(name))) => {
                inner.outside.dial_name(name, port, &policy).await
            }
            (Self::Address(address), _) => {
                inner.outside.dial_address(*address, port, &policy).await
            }
            (Self::Forgotten(address), _) => Err(NoWay::refused(address, Refusal::NotAllowed)),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Forgotten(address) => address.fmt(f),
        }
    }
}

async fn accept(
    inner: Arc<Inner>,
    listener: TcpListener,
    connections: TaskTracker,
    ending: CancellationToken,
) {
    loop {
        let Ok(turn) = Arc::clone(&inner.connections).acquire_owned().await else {
            return;
        };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                // Such as no descriptors left: they come back when connections end.
                tracing::warn!(%error, "a sandbox's connection cannot be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Until it has ended well.
        reset(&client);
        let Some(shared_turn) = inner.outside.admit() else {
            continue;
        };
        let inner = Arc::clone(&inner);
        let carried = async move {
            carry(&inner, client).await;
            drop((turn, shared_turn));
        };
        connections.spawn(ending.clone().run_until_cancelled_owned(carried));
    }
}

async fn carry(inner: &Arc<Inner>, mut client: TcpStream) {
    let Ok(destination) = rustix::net::sockopt::ip_original_dst(&client) else {
        return;
    };
    let port = destination.port();
    if port == DNS_PORT {
        // Its answers say how long they are.
        settle(&client);
        return dns::serve_stream(inner, client).await;
    }
    let _ = client.set_nodelay(true);
    let target = inner.target(*destination.ip());
    if !matches!(target, Target::Forgotten(_))
        && let Err(why) = target.check(None, port, &inner.policy())
    {
        return turn_away(inner, client, None, &NoWay::refused(&target, why), port).await;
    }
    let (opening, first, early) = match begin(inner, &mut client, &target, port).await {
        Ok(begun) => begun,
        Err(no_way) => return turn_away(inner, client, None, &no_way, port).await,
    };
    let named = opening.as_ref().and_then(Opening::addressee).cloned();
    if let Err(why) = target.check(named.as_ref(), port, &inner.policy()) {
        let host = match &named {
            Some(Addressee::Name(name)) => name.to_string(),
            Some(Addressee::Strange(text)) => text.clone(),
            _ => target.to_string(),
        };
        return turn_away(inner, client, opening, &NoWay::refused(host, why), port).await;
    }
    if let (Some(Opening::Http(_)), Target::Name(_) | Target::Forgotten(_)) = (&opening, &target) {
        return web::carry(inner, client, first, target, port).await;
    }
    if let (Some(Opening::Tls(Addressee::Name(name))), Target::Name(_) | Target::Forgotten(_)) =
        (&opening, &target)
        && let Some((_, authority)) = inner.credentials_for(name, port)
    {
        let authority = Arc::clone(authority);
        let secured = Secured {
            name: name.clone(),
            authority,
        };
        return web::carry_secured(inner, client, first, target, port, secured).await;
    }
    let dialed = match early {
        Some(stream) => Ok(stream),
        None => target.dial(named.as_ref(), port, inner).await,
    };
    match dialed {
        Ok(outside) => {
            add(&inner.tally.connections, 1);
            let begun = opening.map(|opening| (opening, first));
            tunnel::carry(inner, client, outside, target, port, begun).await;
        }
        Err(no_way) => turn_away(inner, client, opening, &no_way, port).await,
    }
}

/// What the connection begins with. Where the sandbox is silent and the other side speaks first,
/// there is no opening yet, and the way out is open already.
async fn begin(
    inner: &Inner,
    client: &mut TcpStream,
    target: &Target,
    port: u16,
) -> Result<(Option<Opening>, Vec<u8>, Option<TcpStream>), NoWay> {
    let mut early = None;
    let speaks = tokio::time::timeout(SILENCE, client.peek(&mut [0])).await;
    let leads_out = match target {
        Target::Name(name) => kind_of(name).is_none(),
        Target::Address(_) => true,
        Target::Forgotten(_) => false,
    };
    if speaks.is_err() && leads_out {
        let outside = target.dial(None, port, inner).await?;
        let (mut one, mut other) = ([0], [0]);
        let silent = tokio::select! {
            biased;
            _ = client.peek(&mut one) => false,
            _ = outside.peek(&mut other) => true,
        };
        early = Some(outside);
        if silent {
            return Ok((None, Vec::new(), early));
        }
    }
    let read = tokio::time::timeout(OPENING, Opening::read(client)).await;
    let (opening, first) = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok((Some(opening), first, early))
}

async fn turn_away(
    inner: &Inner,
    client: TcpStream,
    opening: Option<Opening>,
    no_way: &NoWay,
    port: u16,
) {
    if let NoWay::Refused { host, why } = no_way {
        inner.tally.refuse(host, Some(port), *why);
        metrics::counter!("pinfold_egress_refused_total").increment(1);
    }
    refusal::tell(client, opening, no_way, port).await;
}
