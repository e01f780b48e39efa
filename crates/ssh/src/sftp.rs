//! The subsystem `sftp`, version 3, over the engine's files.
//!
//! Requests are done one after the other in the order in which they come; clients send many ahead,
//! some all of a file's. They wait as bytes beside the answers, so that a client that is not read is
//! never the reason why it does not read.
//! A file that is written replaces its target when it is closed, whole, or not at all.

mod attributes;
mod failure;
mod handles;
mod paths;
mod reading;
mod requests;
mod writing;

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use russh::Channel;
use russh::server::Msg;
use russh_sftp::protocol::{Packet, StatusCode};
use tokio::io::DuplexStream;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use crate::channel::Place;
use crate::channel::input::{End, input};
use crate::channel::output::{Output, Stream};
use requests::Files;

/// One request or answer: what OpenSSH takes and asks for at most.
const PACKET_MAX_BYTES: u32 = 256 << 10;
/// Bytes of one read or write, beside what stands around them in their packet.
const DATA_MAX_BYTES: u32 = PACKET_MAX_BYTES - 1024;
/// Requests that wait: 80,000 reads. A client that asks for all of a large file before it takes any of
/// it gets that far.
const ROOM_BYTES: usize = 2 << 20;
/// What a session says that did not end well.
const BROKEN: u32 = 1;

pub(crate) async fn run(place: Place, channel: Channel<Msg>) {
    let (reader, writer) = channel.split();
    let output = Output::new(writer);
    let seats = Arc::clone(&place.connection.sftp);
    let Ok(_seat) = seats.try_acquire_owned() else {
        tracing::debug!("a connection wants more sessions of SFTP than it may have");
        output.exit(BROKEN).await;
        return output.close().await;
    };
    let (requests, arriving) = input(&place, reader, ROOM_BYTES, |_| {});
    let status = tokio::select! {
        status = serve(Files::new(place), requests, &output) => status,
        end = arriving => {
            if end == End::Stuck {
                tracing::debug!("a session of SFTP was given up: its client takes no answers");
            }
            BROKEN
        }
    };
    output.exit(status).await;
    output.end().await;
    output.close().await;
}

/// Answers up to the client's end of input, or up to what is no SFTP. All is well where that end comes
/// between two requests and no file is left half written.
async fn serve(mut files: Files, requests: DuplexStream, output: &Output) -> u32 {
    let mut packets = LengthDelimitedCodec::builder();
    packets.max_frame_length(PACKET_MAX_BYTES as usize);
    let mut requests = FramedRead::new(requests, packets.new_codec());
    while let Some(packet) = requests.next().await {
        let mut packet = match packet {
            Ok(packet) => packet.freeze(),
            Err(error) => {
                tracing::debug!(%error, "no packet of SFTP");
                return BROKEN;
            }
        };
        let answer = match Packet::try_from(&mut packet) {
            Ok(request) => files.answer(request).await,
            Err(_) => Packet::error(0, StatusCode::BadMessage),
        };
        let Ok(answer) = Bytes::try_from(answer) else {
            tracing::error!("an answer of SFTP cannot be written");
            return BROKEN;
        };
        if output.write(Stream::Stdout, answer).await.is_err() {
            return BROKEN;
        }
    }
    if files.are_whole() { 0 } else { BROKEN }
}
