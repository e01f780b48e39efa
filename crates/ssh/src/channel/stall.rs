//! Channels that stand still for good.
//!
//! The library reads no packet of a connection while one of its channels cannot take what came for
//! it. Where that channel's output waits for the client as well, the client's word that it has room
//! again is never read: both ends wait for each other. Such a channel is given up after a while.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Looks at both ways of a channel.
#[derive(Debug, Default)]
pub(super) struct Stall {
    waiting: [AtomicBool; 2],
    moved: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    In = 0,
    Out = 1,
}

impl Stall {
    /// Hands something on; until that is done this way counts as waiting.
    pub(super) async fn handing<T>(&self, way: Way, on: impl Future<Output = T>) -> T {
        let waiting = &self.waiting[way as usize];
        waiting.store(true, Ordering::Relaxed);
        let done = on.await;
        waiting.store(false, Ordering::Relaxed);
        self.moved.fetch_add(1, Ordering::Relaxed);
        done
    }

    /// Completes when both ways have waited for `patience` and nothing was handed on.
    pub(super) async fn for_good(&self, patience: Duration) {
        let mut still = None;
        loop {
            sleep(patience / 8).await;
            let moved = self.moved.load(Ordering::Relaxed);
            let both = self.waiting.iter().all(|way| way.load(Ordering::Relaxed));
            match still {
                Some((at, since)) if both && at == moved => {
                    let since: Instant = since;
                    if since.elapsed() >= patience {
                        return;
                    }
                }
                _ if both => still = Some((moved, Instant::now())),
                _ => still = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(100);

    #[tokio::test(start_paused = true)]
    async fn only_a_channel_that_waits_both_ways_stands_still() {
        let stall = Arc::new(Stall::default());
        let other = Arc::clone(&stall);
        let _one = tokio::spawn(async move { other.handing(Way::In, pending::<()>()).await });
        assert!(
            timeout(PATIENCE * 9, stall.for_good(PATIENCE))
                .await
                .is_err()
        );
        let other = Arc::clone(&stall);
        let slow = tokio::spawn(async move {
            for _ in 0..5 {
                other.handing(Way::Out, sleep(PATIENCE / 2)).await;
            }
            other.handing(Way::Out, pending::<()>()).await;
        });
        assert!(
            timeout(PATIENCE * 2, stall.for_good(PATIENCE))
                .await
                .is_err()
        );
        assert!(
            timeout(PATIENCE * 9, stall.for_good(PATIENCE))
                .await
                .is_ok()
        );
        slow.abort();
    }
}
