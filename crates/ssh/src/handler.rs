//! What a client asks for on a connection: who may come in, and which channels open.
//!
//! Requests on a session channel are answered here, in the order in which they come; what they ask
//! for is done by the channel's task, which gets the same ones. Both decide by the same [`Setup`].

use std::collections::HashMap;
use std::sync::Arc;

use pinfold_engine::SshLogin;
use pinfold_model::SshKey;
use russh::keys::{HashAlg, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Handler as SshHandler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, Error, Pty, Sig};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::channel::{Place, Setup, forward, session};
use crate::connection::Connection;
use crate::fault;
use crate::gateway::PACKET_BYTES;
use crate::seats::Seat;

/// RFC 4254, section 5.1.
const ADMINISTRATIVELY_PROHIBITED: u32 = 1;
/// A line that is longer cannot be run: execve(2), MAX_ARG_STRLEN.
const COMMAND_MAX_BYTES: usize = 128 << 10;

pub(crate) struct Handler {
    connection: Arc<Connection>,
    /// Whose proof has been seen.
    key: Option<SshKey>,
    seat: Option<Seat>,
    channels_left: usize,
    /// Of session channels, with the tasks that end before them.
    setups: HashMap<ChannelId, (Setup, JoinHandle<()>)>,
}

impl Handler {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        let limits = connection.shared.limits;
        Self {
            channels_left: limits.channels_ever,
            connection,
            key: None,
            seat: None,
            setups: HashMap::new(),
        }
    }

    /// The key, where it opens what `user` names. An error is told to no stranger.
    async fn known(&self, user: &str, key: &PublicKey) -> Option<SshKey> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let engine = &self.connection.shared.engine;
        match engine.find_ssh_key(user, &fingerprint).await {
            Ok(known) => known,
            Err(error) => {
                fault::log(&error, "cannot look for a key of an SSH client");
                None
            }
        }
    }

    /// Lets the holder of the key in, or says why not.
    async fn enter(&mut self) -> Result<(), String> {
        let key = self.key.as_ref().ok_or("no key")?;
        let shared = &self.connection.shared;
        let seat = shared.seats.sit(key);
        let seat =
            seat.map_err(|full| format!("{full} has too many SSH connections; close one of them"))?;
        let login = shared.engine.enter_over_ssh(key, self.connection.peer);
        let login = login.await.map_err(|error| {
            fault::log(&error, "an SSH client was not let in");
            error.message().to_owned()
        })?;
        self.seat = Some(seat);
        // It is set once: a connection has one login.
        let _ = self.connection.login.set(Arc::new(login));
        metrics::counter!("pinfold_ssh_logins_total").increment(1);
        Ok(())
    }

    /// What a new channel works with, where the connection may have one more.
    fn place(&mut self) -> Option<(Place, OwnedSemaphorePermit)> {
        let login: &Arc<SshLogin> = self.connection.login.get()?;
        self.channels_left = self.channels_left.checked_sub(1)?;
        let channels = Arc::clone(&self.connection.channels);
        let permit = channels.try_acquire_owned().ok()?;
        let place = Place {
            connection: Arc::clone(&self.connection),
            login: Arc::clone(login),
        };
        Some((place, permit))
    }

    fn setup(&mut self, channel: ChannelId) -> Option<&mut Setup> {
        self.setups.get_mut(&channel).map(|(setup, _)| setup)
    }

    /// The library takes packets eight times as large as we say that we do. One that is too large has
    /// been handed to its channel, so the connection ends before there are more.
    fn bounded(bytes: usize) -> Result<(), Error> {
        match bytes <= PACKET_BYTES {
            true => Ok(()),
            false => Err(Error::PacketSize(bytes)),
        }
    }

    fn answer(channel: ChannelId, good: bool, session: &mut Session) -> Result<(), Error> {
        match good {
            true => session.channel_success(channel),
            false => session.channel_failure(channel),
        }
    }
}

impl SshHandler for Handler {
    type Error = Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        Ok(match self.known(user, offer.public_key).await {
            Some(_) => Auth::Accept,
            None => {
                metrics::counter!("pinfold_ssh_rejected_total").increment(1);
                Auth::reject()
            }
        })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Error> {
        self.key = self.known(user, key.public_key).await;
        Ok(match self.key {
            Some(_) => Auth::Accept,
            None => Auth::reject(),
        })
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Error> {
        match self.enter().await {
            Ok(()) => Ok(()),
            Err(why) => session.disconnect(Disconnect::ByApplication, &why, ""),
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        connection: &mut Session,
    ) -> Result<(), Error> {
        let Some((place, permit)) = self.place() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        reply.accept().await;
        let (id, handle) = (channel.id(), connection.handle());
        let task = place.spawn(permit, |place| session::run(place, channel, handle));
        // A channel that we close first is not told to have closed.
        self.setups.retain(|_, (_, task)| !task.is_finished());
        self.setups.insert(id, (Setup::default(), task));
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        let Some(port) = forward::inside(host, port) else {
            let reason = "only ports of the sandbox itself are forwarded, as localhost:PORT";
            reply
                .reject(ChannelOpenFailure::Other {
                    code: ADMINISTRATIVELY_PROHIBITED,
                    reason: reason.to_owned(),
                })
                .await;
            return Ok(());
        };
        let Some((place, permit)) = self.place() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        place.spawn(permit, move |place| {
            forward::run(place, channel, port, reply)
        });
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        Self::bounded(term.len())?;
        let good = self
            .setup(channel)
            .is_some_and(|setup| setup.terminal(term, columns, rows));
        Self::answer(channel, good, session)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        Self::bounded(name.len() + value.len())?;
        let good = self
            .setup(channel)
            .is_some_and(|setup| setup.variable(name, value));
        Self::answer(channel, good, session)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Error> {
        let good = self.setup(channel).is_some_and(Setup::start);
        Self::answer(channel, good, session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        let good = self.setup(channel).is_some_and(Setup::start);
        // A long one is taken once, by what starts it.
        if !good || line.len() > COMMAND_MAX_BYTES {
            Self::bounded(line.len())?;
        }
        Self::answer(channel, good, session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        Self::bounded(name.len())?;
        let good = self
            .setup(channel)
            .is_some_and(|setup| session::is_subsystem(name) && setup.start());
        Self::answer(channel, good, session)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_success(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        protocol: &str,
        cookie: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        Self::bounded(protocol.len() + cookie.len())?;
        session.channel_failure(channel)
    }

    async fn data(&mut self, _: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Error> {
        Self::bounded(data.len())
    }

    async fn extended_data(
        &mut self,
        _: ChannelId,
        _: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Error> {
        Self::bounded(data.len())
    }

    async fn signal(&mut self, _: ChannelId, signal: Sig, _: &mut Session) -> Result<(), Error> {
        match signal {
            Sig::Custom(name) => Self::bounded(name.len()),
            _ => Ok(()),
        }
    }
}
