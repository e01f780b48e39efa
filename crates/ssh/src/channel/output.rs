//! What a channel sends to its client, in pieces of which few wait at once.
//!
//! The library takes what all channels of a connection send from one queue, and takes nothing while it
//! waits for room in the input of one of them. So each has its own places in that queue: what one sends
//! never keeps another from answering, on which its input may wait.

use std::sync::Arc;

use bytes::Bytes;
use russh::server::Msg;
use russh::{ChannelId, ChannelWriteHalf, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gateway::PACKET_BYTES;

/// RFC 4254, section 5.2.
const STDERR: u32 = 1;
/// Pieces of one channel that the library holds and has not sent.
const PIECES_MAX: usize = 5;
/// In packets, of which a client may have them half as large; with how it ended, the end of its output,
/// and its goodbye.
pub(crate) const PACKETS_MAX: usize = PIECES_MAX * 2 + 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The way from a channel to its client.
pub(crate) struct Output {
    writer: ChannelWriteHalf<Msg>,
    room: Arc<Semaphore>,
}

/// Bytes that hold their place until the library has dropped them.
struct Piece {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Output {
    pub(crate) fn new(writer: ChannelWriteHalf<Msg>) -> Self {
        Self {
            writer,
            room: Arc::new(Semaphore::new(PIECES_MAX)),
        }
    }

    pub(crate) fn id(&self) -> ChannelId {
        self.writer.id()
    }

    /// Waits until the client takes them.
    ///
    /// # Errors
    /// Where the client has gone.
    pub(crate) async fn write(&self, stream: Stream, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            let place = Arc::clone(&self.room).acquire_owned().await;
            let piece = Bytes::from_owner(Piece {
                bytes: bytes.split_to(bytes.len().min(PACKET_BYTES)),
                _place: place.expect("it is never closed"),
            });
            match stream {
                Stream::Stdout => self.writer.data_bytes(piece).await?,
                Stream::Stderr => self.writer.extended_data_bytes(STDERR, piece).await?,
            }
        }
        Ok(())
    }

    /// No more is written.
    pub(crate) async fn end(&self) {
        // Fails where the client has gone.
        let _ = self.writer.eof().await;
    }

    /// How what ran has ended.
    pub(crate) async fn exit(&self, status: u32) {
        let _ = self.writer.exit_status(status).await;
    }

    pub(crate) async fn close(&self) {
        let _ = self.writer.close().await;
    }
}
