//! What a client asks of a running program beside its input.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use pinfold_model::WindowSize;
use tokio::sync::Notify;

use super::input::Request;

/// What was asked and is not done yet. As in the kernel, a signal that is pending is not pending twice;
/// of sizes the last one counts. So however much is asked, little waits.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pending: Mutex<Pending>,
    news: Notify,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) size: Option<WindowSize>,
    pub(super) signals: BTreeSet<i32>,
}

impl Requests {
    pub(super) fn put(&self, request: Request) {
        let mut pending = self.pending();
        match request {
            Request::Signal(number) => {
                pending.signals.insert(number);
            }
            Request::Size(size) => pending.size = Some(size),
        }
        drop(pending);
        self.news.notify_one();
    }

    /// What has been asked since the last time, once there is something.
    pub(super) async fn next(&self) -> Pending {
        loop {
            let pending = std::mem::take(&mut *self.pending());
            if pending != Pending::default() {
                return pending;
            }
            self.news.notified().await;
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("no panic under this lock")
    }
}

/// A client without a size of its own says 0.
pub(super) fn window(columns: u32, rows: u32) -> WindowSize {
    let side = |given: u32, usual: u16| match u16::try_from(given) {
        Ok(0) => usual,
        Ok(side) => side,
        Err(_) => u16::MAX,
    };
    let usual = WindowSize::default();
    WindowSize {
        rows: side(rows, usual.rows),
        cols: side(columns, usual.cols),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_of_requests_is_the_last_size_and_each_signal_once() {
        let requests = Requests::default();
        for n in 1..10_000 {
            requests.put(Request::Size(window(n, n)));
            requests.put(Request::Signal(n as i32 % 3));
        }
        let pending = requests.next().await;
        assert_eq!(pending.size, Some(window(9_999, 9_999)));
        assert_eq!(pending.signals, BTreeSet::from([0, 1, 2]));
        let mut next = std::pin::pin!(requests.next());
        assert!(futures::poll!(&mut next).is_pending(), "each is told once");
        requests.put(Request::Signal(9));
        assert_eq!(next.await.signals, BTreeSet::from([9]));
    }
}
