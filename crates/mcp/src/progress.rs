//! Progress of a call, where its caller wants it: what is written, as it is written.

use pinfold_sdk::StreamName;
use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};

use crate::output::{boundary, index};

/// One message of progress.
const MESSAGE_MAX_BYTES: usize = 8 << 10;
/// All messages of one call: what comes after is in the answer and in the command's output.
const TOLD_MAX_BYTES: usize = 1 << 20;

/// Tells the caller of one call.
#[derive(Debug)]
pub(crate) struct Progress {
    to: Option<(ProgressToken, Peer<RoleServer>)>,
    /// Bytes that were written until now: the number that progress is told as.
    written: u64,
    told: usize,
    /// The beginning of a character whose rest has not come yet: of stdout, of stderr.
    pending: [Vec<u8>; 2],
}

impl Progress {
    pub(crate) fn of(context: &RequestContext<RoleServer>) -> Self {
        let token = context.meta.get_progress_token();
        Self {
            to: token.map(|token| (token, context.peer.clone())),
            written: 0,
            told: 0,
            pending: [Vec::new(), Vec::new()],
        }
    }

    /// Some words of ours.
    pub(crate) async fn say(&mut self, words: &str) {
        self.send(words.to_owned()).await;
    }

    /// Tells what a command wrote to one of its streams.
    pub(crate) async fn wrote(&mut self, stream: StreamName, bytes: &[u8]) {
        if self.to.is_none() || self.told >= TOLD_MAX_BYTES {
            return;
        }
        let pending = &mut self.pending[index(stream)];
        pending.extend_from_slice(bytes);
        let whole = boundary(pending, pending.len());
        let whole: Vec<u8> = pending.drain(..whole).collect();
        let mut rest = &whole[..];
        while !rest.is_empty() && self.told < TOLD_MAX_BYTES {
            // The last piece as it is: where it is no text, no place in it may be a boundary.
            let at = match rest.len() {
                last @ ..=MESSAGE_MAX_BYTES => last,
                _ => boundary(rest, MESSAGE_MAX_BYTES),
            };
            let (piece, behind) = rest.split_at(at);
            self.written += piece.len() as u64;
            self.told += piece.len();
            self.send(String::from_utf8_lossy(piece).into_owned()).await;
            rest = behind;
        }
        if self.told >= TOLD_MAX_BYTES {
            self.written += 1;
            self.say("[what is written from here on is not told as progress]")
                .await;
        }
    }

    async fn send(&self, message: String) {
        let Some((token, peer)) = &self.to else {
            return;
        };
        let told = ProgressNotificationParam::new(token.clone(), self.written as f64);
        // Who does not listen any more is told the end all the same.
        if let Err(error) = peer.notify_progress(told.with_message(message)).await {
            tracing::debug!(%error, "progress was not told");
        }
    }
}
