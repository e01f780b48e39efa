//! Writing behind: what need not be stored before the answer is gathered for a moment and stored
//! together. One transaction then serves many requests, and none of them waits for another's.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Items that may wait; beyond, whoever puts one waits.
const WAITING_MAX: usize = 4096;
/// Items written together at most.
const BATCH_MAX: usize = 256;
/// How long the first item of a batch waits for others: what a crash may lose of items that
/// nobody waits for.
const GATHER: Duration = Duration::from_millis(10);

/// The putting side. The writer ends when all of these are gone.
pub(crate) struct Behind<T>(mpsc::Sender<Entry<T>>);

impl<T> Clone for Behind<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Entry<T> {
    /// `None`: write what is there, now.
    item: Option<T>,
    /// Told when it and all before it are written.
    written: Option<oneshot::Sender<()>>,
}

impl<T: Send + 'static> Behind<T> {
    /// Starts the writer; `write` gets each batch in order and is responsible for its faults.
    pub(crate) fn start<F>(write: impl Fn(Vec<T>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (entries, queue) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(queue, write));
        Self(entries)
    }

    pub(crate) async fn put(&self, item: T) {
        self.send(Some(item), None).await;
    }

    /// Returns when the item is written.
    pub(crate) async fn write(&self, item: T) {
        let (written, wait) = oneshot::channel();
        self.send(Some(item), Some(written)).await;
        // An error means that the writer ended with its runtime, and this task with it.
        let _ = wait.await;
    }

    /// Returns when everything put so far is written, without waiting for more to gather.
    pub(crate) async fn flush(&self) {
        let (written, wait) = oneshot::channel();
        self.send(None, Some(written)).await;
        let _ = wait.await;
    }

    async fn send(&self, item: Option<T>, written: Option<oneshot::Sender<()>>) {
        if self.0.send(Entry { item, written }).await.is_err() {
            tracing::error!("a writer is gone");
        }
    }
}

async fn run<T, F>(mut queue: mpsc::Receiver<Entry<T>>, write: impl Fn(Vec<T>) -> F)
where
    F: Future<Output = ()>,
{
    while let Some(first) = queue.recv().await {
        let (items, waiting) = gather(first, &mut queue).await;
        if !items.is_empty() {
            write(items).await;
        }
        for written in waiting {
            // The one who asked may have gone.
            let _ = written.send(());
        }
    }
}

/// What comes within the time of a batch, or up to somebody who asks for it now.
async fn gather<T>(
    first: Entry<T>,
    queue: &mut mpsc::Receiver<Entry<T>>,
) -> (Vec<T>, Vec<oneshot::Sender<()>>) {
    let (mut items, mut waiting) = (Vec::new(), Vec::new());
    let until = Instant::now() + GATHER;
    let mut next = Some(first);
    while let Some(entry) = next {
        let now = entry.item.is_none();
        items.extend(entry.item);
        waiting.extend(entry.written);
        if now || items.len() >= BATCH_MAX {
            break;
        }
        next = timeout_at(until, queue.recv()).await.ok().flatten();
    }
    (items, waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test(start_paused = true)]
    async fn items_are_written_in_order_together_and_at_once_on_demand() {
        let batches: Arc<Mutex<Vec<Vec<u32>>>> = Arc::default();
        let seen = Arc::clone(&batches);
        let behind = Behind::start(move |batch| {
            seen.lock().expect("test").push(batch);
            std::future::ready(())
        });
        for item in 0..5 {
            behind.put(item).await;
        }
        behind.flush().await;
        assert_eq!(*batches.lock().expect("test"), [vec![0, 1, 2, 3, 4]]);
        behind.write(5).await;
        assert_eq!(batches.lock().expect("test").len(), 2);
        for item in 0..600 {
            behind.put(item).await;
        }
        behind.flush().await;
        let batches = batches.lock().expect("test");
        assert!(batches.iter().all(|batch| batch.len() <= BATCH_MAX));
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 606);
    }
}
