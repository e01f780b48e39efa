//! A port inside the sandbox, for `ssh -L` and `ssh -W`.

use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelMsg, ChannelOpenFailure, ChannelWriteHalf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::sync::CancellationToken;

use super::Place;
use super::inbox::{Inbox, inbox};

/// RFC 4254, section 5.1.
const CONNECT_FAILED: u32 = 2;
const CHUNK_BYTES: usize = 32 << 10;

/// The port, where the client means the sandbox itself. Nobody gets on from a sandbox this way: what
/// it may reach outside is for its network policy to say.
pub(crate) fn inside(host: &str, port: u32) -> Option<u16> {
    let loopback = ["localhost", "127.0.0.1", "::1"].contains(&host);
    let port = u16::try_from(port).ok().filter(|port| *port != 0);
    port.filter(|_| loopback)
}

pub(crate) async fn run(place: Place, channel: Channel<Msg>, port: u16, reply: ChannelOpenHandle) {
    let limits = &place.shared.limits;
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
    let (inbox, stuck) = inbox(reader, limits.stall);
    let said_all = CancellationToken::new();
    let carried = async {
        outwards(from, &writer).await;
        said_all.cancelled().await;
    };
    tokio::select! {
        () = carried => {}
        () = inwards(inbox, to, &said_all) => {}
        () = stuck => {
            tracing::debug!(port, "a forwarded connection was given up: nobody inside reads it");
        }
    }
    // Fails where the client closed it first.
    let _ = writer.close().await;
}

/// Completes when the client closes the channel. It has said all when it says so, or when nobody
/// inside listens any more; what comes then is thrown away.
async fn inwards(mut inbox: Inbox, mut to: OwnedWriteHalf, said_all: &CancellationToken) {
    while let Some(message) = inbox.next().await {
        match message {
            ChannelMsg::Data { .. } if said_all.is_cancelled() => {}
            ChannelMsg::Data { data } => {
                let handed = to.write_all(&data).await;
                if handed.is_err() {
                    said_all.cancel();
                }
            }
            ChannelMsg::Eof => {
                // Fails where nobody inside listens any more.
                let _ = to.shutdown().await;
                said_all.cancel();
            }
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

/// Everything from inside, to its end.
async fn outwards(mut from: OwnedReadHalf, writer: &ChannelWriteHalf<Msg>) {
    let mut outside = Box::pin(writer.make_writer());
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            break;
        }
        let written = outside.write_all(&chunk[..read]).await;
        if written.is_err() {
            return;
        }
    }
    let _ = writer.eof().await;
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
