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

use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use russh::server::Msg;
use russh::{Channel, ChannelMsg};
use russh_sftp::protocol::{Packet, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::io::StreamReader;

use crate::channel::Place;
use crate::channel::inbox::{Inbox, inbox};
use requests::Files;

/// One request or answer: what OpenSSH takes and asks for at most.
const PACKET_MAX_BYTES: u32 = 256 << 10;
/// Bytes of one read or write, beside what stands around them in their packet.
const DATA_MAX_BYTES: u32 = PACKET_MAX_BYTES - 1024;

pub(crate) async fn run(place: Place, channel: Channel<Msg>) {
    let (reader, writer) = channel.split();
    let (inbox, stuck) = inbox(reader, place.shared.limits.stall);
    let requests = StreamReader::new(Box::pin(content(inbox)));
    let answers = Box::pin(writer.make_writer());
    tokio::select! {
        () = serve(Files::new(place), requests, answers) => {}
        () = stuck => tracing::debug!("a session of SFTP was given up: its files take nothing"),
    }
    // Fails where the client has gone.
    let _ = writer.exit_status(0).await;
    let _ = writer.eof().await;
    let _ = writer.close().await;
}

/// Ends with the client's end of input, or with what is no SFTP.
async fn serve(
    mut files: Files,
    mut requests: impl AsyncRead + Unpin,
    mut answers: impl AsyncWrite + Unpin,
) {
    while let Some(mut packet) = next(&mut requests).await {
        let answer = match Packet::try_from(&mut packet) {
            Ok(request) => files.answer(request).await,
            Err(_) => Packet::error(0, StatusCode::BadMessage),
        };
        let Ok(answer) = Bytes::try_from(answer) else {
            return;
        };
        if answers.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// What a client sends on its channel, up to its end.
fn content(inbox: Inbox) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(inbox, |mut inbox| async move {
        loop {
            match inbox.next().await? {
                ChannelMsg::Data { data } => return Some((Ok(data), inbox)),
                ChannelMsg::Eof | ChannelMsg::Close => return None,
                _ => {}
            }
        }
    })
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
