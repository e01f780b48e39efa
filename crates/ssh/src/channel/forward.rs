//! A port inside the sandbox, for `ssh -L` and `ssh -W`.

use bytes::BytesMut;
use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, copy_buf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::Place;
use super::input::{End, input};
use super::output::{Output, Stream};

/// RFC 4254, section 5.1.
const CONNECT_FAILED: u32 = 2;
/// Bytes that nobody inside has read yet.
const ROOM_BYTES: usize = 1 << 20;
const CHUNK_BYTES: usize = 32 << 10;

/// The port, where the client means the sandbox itself. Nobody gets on from a sandbox this way: what
/// it may reach outside is for its network policy to say.
pub(crate) fn inside(host: &str, port: u32) -> Option<u16> {
    let loopback = ["localhost", "127.0.0.1", "::1"].contains(&host);
    let port = u16::try_from(port).ok().filter(|port| *port != 0);
    port.filter(|_| loopback)
}

pub(crate) async fn run(place: Place, channel: Channel<Msg>, port: u16, reply: ChannelOpenHandle) {
    let limits = &place.connection.shared.limits;
    let stream = match place.login.dial(port, limits.dial).await {
        Ok(stream) => stream,
        Err(error) => {
            reply
                .reject(ChannelOpenFailure::Other {
                    code: CONNECT_FAILED,
                    reason: error.message().to_owned(),
                })
                .await;
            return;
        }
    };
    reply.accept().await;
    // It works without it too.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = channel.split();
    let (from, to) = stream.into_split();
    let output = Output::new(writer);
    let (bytes, arriving) = input(&place, reader, ROOM_BYTES, |_| {});
    // It may be over when it is looked at for the last time.
    let mut inwards = std::pin::pin!(futures::future::maybe_done(inwards(bytes, to)));
    let carried = async { tokio::join!(outwards(from, &output), &mut inwards) };
    let end = tokio::select! {
        ((), ()) = carried => None,
        end = arriving => Some(end),
    };
    match end {
        None => {}
        // What was sent before the goodbye gets there.
        Some(End::Closed) => drop(timeout(limits.farewell, inwards).await),
        Some(End::Stuck) => {
            tracing::debug!(
                port,
                "a forwarded connection was given up: nobody inside reads it"
            );
        }
    }
    // Fails where the client closed it first.
    output.close().await;
}

/// Everything from the client, to its end or until nobody inside listens any more.
async fn inwards(bytes: DuplexStream, mut to: OwnedWriteHalf) {
    let mut bytes = BufReader::with_capacity(CHUNK_BYTES, bytes);
    // What fails here is for the other way to find.
    let _ = copy_buf(&mut bytes, &mut to).await;
    let _ = to.shutdown().await;
}

/// Everything from inside, to its end.
async fn outwards(mut from: OwnedReadHalf, output: &Output) {
    let mut chunk = BytesMut::new();
    loop {
        chunk.reserve(CHUNK_BYTES);
        let read = from.read_buf(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            break;
        }
        let written = output.write(Stream::Stdout, chunk.split().freeze()).await;
        if written.is_err() {
            return;
        }
    }
    output.end().await;
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn only_ports_of_the_sandbox_itself_are_forwarded() {
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(inside(host, 8000), Some(8000));
        }
        for (host, port) in [
            ("10.0.0.1", 80),
            ("169.254.169.254", 80),
            ("example.org", 443),
            ("localhost.example.org", 80),
            ("", 80),
            ("localhost", 0),
            ("localhost", 65536),
        ] {
            assert_eq!(inside(host, port), None, "{host}:{port}");
        }
    }
}
