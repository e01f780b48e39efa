//! What has come for a channel, ahead of what takes it inside.
//!
//! The library reads nothing of a connection while one of its channels cannot take what came for it:
//! neither what is for the others, nor the client's goodbye. So a channel whose other end takes nothing
//! at all for a long time is given up.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use russh::{ChannelMsg, ChannelReadHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// Messages that wait. Requests of SFTP come one in each, and a client has many under way: one that
/// waits for their answers must not keep the connection from carrying these.
const WAITING_MAX: usize = 4096;
/// And bytes in them: what a client may send before it is told that it may send more.
const WAITING_MAX_BYTES: usize = 1 << 20;

/// What has come.
pub(crate) struct Inbox<M = ChannelMsg>(mpsc::Receiver<(M, Option<OwnedSemaphorePermit>)>);

impl<M> Inbox<M> {
    /// The next message; `None` once the channel is gone.
    pub(crate) async fn next(&mut self) -> Option<M> {
        self.0.recv().await.map(|(message, _)| message)
    }
}

/// What comes, and what fetches it: that completes only when there has been no room for `patience`.
pub(crate) fn inbox(
    reader: ChannelReadHalf,
    patience: Duration,
) -> (Inbox, impl Future<Output = ()> + Send) {
    connected(reader, patience)
}

fn connected<S: Source>(
    source: S,
    patience: Duration,
) -> (Inbox<S::Message>, impl Future<Output = ()> + Send) {
    let (into, inbox) = mpsc::channel(WAITING_MAX);
    (Inbox(inbox), relay(source, into, patience))
}

/// Where messages come from; the library's cannot be made for a test.
trait Source: Send {
    type Message: Send;
    fn next(&mut self) -> impl Future<Output = Option<Self::Message>> + Send;
    fn bytes(message: &Self::Message) -> usize;
}

impl Source for ChannelReadHalf {
    type Message = ChannelMsg;

    fn next(&mut self) -> impl Future<Output = Option<ChannelMsg>> + Send {
        self.wait()
    }

    fn bytes(message: &ChannelMsg) -> usize {
        match message {
            ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => data.len(),
            _ => 0,
        }
    }
}

async fn relay<S: Source>(
    mut source: S,
    into: mpsc::Sender<(S::Message, Option<OwnedSemaphorePermit>)>,
    patience: Duration,
) {
    let room = Arc::new(Semaphore::new(WAITING_MAX_BYTES));
    while let Some(message) = source.next().await {
        let bytes = S::bytes(&message).min(WAITING_MAX_BYTES);
        let handed = async {
            let bytes = u32::try_from(bytes).expect("at most the bound");
            let permit = Arc::clone(&room).acquire_many_owned(bytes).await;
            into.send((message, permit.ok())).await.is_ok()
        };
        match timeout(patience, handed).await {
            Ok(true) => {}
            // Nobody takes it any more, and it was not for want of room.
            Ok(false) => break,
            Err(_) => return,
        }
    }
    drop(into);
    pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(600);

    /// Sizes of messages.
    struct Words(Box<dyn Iterator<Item = usize> + Send>);

    impl Source for Words {
        type Message = usize;

        async fn next(&mut self) -> Option<usize> {
            self.0.next()
        }

        fn bytes(message: &usize) -> usize {
            *message
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_takes_nothing_for_long_is_given_up() {
        for size in [0, 1, 1000, WAITING_MAX_BYTES, WAITING_MAX_BYTES * 2] {
            let words = Words(Box::new(std::iter::repeat(size)));
            let (mut inbox, stuck) = connected(words, PATIENCE);
            tokio::pin!(stuck);
            for _ in 0..5 {
                let slow = timeout(PATIENCE / 2, &mut stuck).await;
                assert!(slow.is_err(), "it waits");
                assert_eq!(inbox.next().await, Some(size));
            }
            assert!(timeout(PATIENCE * 2, &mut stuck).await.is_ok(), "{size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_little_may_wait_for_ever() {
        let (mut inbox, stuck) = connected(Words(Box::new([1, 2].into_iter())), PATIENCE);
        assert!(timeout(PATIENCE * 9, stuck).await.is_err());
        assert_eq!(inbox.next().await, Some(1));
        assert_eq!(inbox.next().await, Some(2));
        assert_eq!(inbox.next().await, None);
    }
}
