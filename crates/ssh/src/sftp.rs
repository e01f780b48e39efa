//! The subsystem `sftp`, version 3, over the engine's files.
//!
//! Requests are done one after the other in the order in which they come; clients send many ahead.
//! A file that is written replaces its target when it is closed, whole, or not at all.

mod attributes;
mod failure;
mod handles;
mod paths;
mod reading;
mod requests;
mod writing;

use bytes::Bytes;
use russh::Channel;
use russh::server::{Handle, Msg};
use russh_sftp::protocol::{Packet, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::channel::Place;
use requests::Files;

/// One request or answer: what OpenSSH takes and asks for at most.
const PACKET_MAX_BYTES: u32 = 256 << 10;
/// Bytes of one read or write, beside what stands around them in their packet.
const DATA_MAX_BYTES: u32 = PACKET_MAX_BYTES - 1024;

pub(crate) async fn run(place: Place, channel: Channel<Msg>, handle: Handle) {
    let id = channel.id();
    let mut stream = channel.into_stream();
    let mut files = Files::new(place);
    // Ends with the client's end of input, or with what is no SFTP.
    while let Some(mut packet) = next(&mut stream).await {
        let answer = match Packet::try_from(&mut packet) {
            Ok(request) => files.answer(request).await,
            Err(_) => Packet::error(0, StatusCode::BadMessage),
        };
        let Ok(answer) = Bytes::try_from(answer) else {
            break;
        };
        if stream.write_all(&answer).await.is_err() {
            break;
        }
    }
    // Fails where the client has gone.
    let _ = handle.exit_status_request(id, 0).await;
    let _ = stream.shutdown().await;
}

/// The next packet without its length.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
    let length = stream.read_u32().await.ok()?;
    if !(1..=PACKET_MAX_BYTES).contains(&length) {
        tracing::debug!(length, "no packet of SFTP");
        return None;
    }
    let mut packet = vec![0; length as usize];
    stream.read_exact(&mut packet).await.ok()?;
    Some(packet.into())
}
