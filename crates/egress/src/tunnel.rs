//! Bytes in both directions, counted, for as long as the policy lets them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pinfold_model::NetworkPolicy;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::gate::{Inner, Target};
use crate::opening::{Addressee, Opening};
use crate::refusal::{reset, settle};
use crate::tally::add;

/// The connection to the outside; what goes through it counts for the sandbox.
#[derive(Debug)]
pub(crate) struct Counted {
    stream: TcpStream,
    inner: Arc<Inner>,
}

impl Counted {
    pub(crate) fn new(stream: TcpStream, inner: &Arc<Inner>) -> Self {
        Self {
            stream,
            inner: Arc::clone(inner),
        }
    }
}

/// Passes bytes until both sides have said all, or one of them breaks, or the policy changes its
/// mind. `begun` is what the sandbox has said so far, if it was its turn.
pub(crate) async fn carry(
    inner: &Arc<Inner>,
    mut client: TcpStream,
    outside: TcpStream,
    target: Target,
    port: u16,
    begun: Option<(Opening, Vec<u8>)>,
) {
    reset(&outside);
    let mut outside = Counted::new(outside, inner);
    let said_first = begun.is_some();
    let (opening, first) = begun.unwrap_or((Opening::Other, Vec::new()));
    let named = opening.addressee().cloned();
    let peer = outside.stream.peer_addr().map(|address| address.ip());
    let allowed = |policy: &NetworkPolicy| {
        target.check(named.as_ref(), port, policy)?;
        // What it is connected to is judged like what the name leads to now.
        match (&target, &peer) {
            (Target::Address(_), _) | (_, Err(_)) => Ok(()),
            (_, Ok(peer)) => policy.check_answer(*peer, port),
        }
    };
    let passed = async {
        if said_first {
            outside.write_all(&first).await?;
            tokio::io::copy_bidirectional(&mut client, &mut outside).await?;
            return Ok(());
        }
        pass_inspecting(inner, &mut client, &mut outside, &target, port).await
    };
    let result = tokio::select! {
        result = passed => result,
        why = inner.forbidden(allowed) => {
            inner.tally.refuse(&target, Some(port), why);
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    };
    if result.is_ok() {
        settle(&client);
        settle(&outside.stream);
    }
}

/// The other side speaks first, so what the sandbox says first may still name somebody.
async fn pass_inspecting(
    inner: &Inner,
    client: &mut TcpStream,
    outside: &mut Counted,
    target: &Target,
    port: u16,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_outside, mut to_outside) = tokio::io::split(outside);
    let up = async {
        let (opening, first) = Opening::read(&mut from_client).await?;
        let named: Option<&Addressee> = opening.addressee();
        // Nobody answers a request before it is made.
        let is_web = matches!(opening, Opening::Http(_));
        if let Err(why) = target.check(named, port, &inner.policy()) {
            inner.tally.refuse(target, Some(port), why);
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if is_web && !matches!(target, Target::Address(_)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        to_outside.write_all(&first).await?;
        tokio::io::copy(&mut from_client, &mut to_outside).await?;
        to_outside.shutdown().await
    };
    let down = async {
        tokio::io::copy(&mut from_outside, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(up, down).map(|_| ())
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        add(&self.inner.tally.bytes_in, read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        add(&self.inner.tally.bytes_out, written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
