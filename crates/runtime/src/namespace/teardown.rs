//! What happens behind a destroy: the slow rest of it, off the request path.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pinfold_model::SandboxId;
use pinfold_sys::schedule;
use tokio::sync::Notify;

use super::cgroup::Cgroups;

/// A group is busy for as long as the kernel still takes its last process apart.
const BUSY_TRIES: u32 = 500;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Removals at a time: most of one is waiting for the kernel.
const THREADS: usize = 4;

/// Sandboxes whose remains are being removed right now.
#[derive(Debug, Clone)]
pub(super) struct Teardown {
    going: Arc<Mutex<HashSet<SandboxId>>>,
    done: Arc<Notify>,
    /// The threads end with the last sender.
    work: Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Teardown {
    pub(super) fn start() -> io::Result<Self> {
        let (work, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..THREADS {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name("pinfold-remover".to_owned())
                .spawn(move || remove(&jobs))?;
        }
        Ok(Self {
            going: Arc::default(),
            done: Arc::default(),
            work,
        })
    }

    /// Runs `work` in the background; at most once at a time for one sandbox.
    pub(super) fn run(
        &self,
        id: &SandboxId,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) {
        if !self.lock().insert(id.clone()) {
            return;
        }
        let going = Going {
            teardown: self.clone(),
            id: id.clone(),
        };
        let job = move || {
            let id = &going.id;
            if let Err(error) = work() {
                tracing::warn!(sandbox = %id, %error, "remains of a sandbox could not be removed");
            }
        };
        // The threads take what comes as long as there is a sender.
        let _ = self.work.send(Box::new(job));
    }

    pub(super) fn going(&self) -> HashSet<SandboxId> {
        self.lock().clone()
    }

    /// Returns when no remains of anything are being removed.
    pub(super) async fn settle(&self) {
        self.until(HashSet::is_empty).await;
    }

    /// Returns when no remains of this sandbox are being removed.
    pub(super) async fn over(&self, id: &SandboxId) {
        self.until(|going| !going.contains(id)).await;
    }

    async fn until(&self, condition: impl Fn(&HashSet<SandboxId>) -> bool) {
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            // Counted from here on, so that no end falls between the look and the wait.
            done.as_mut().enable();
            if condition(&self.lock()) {
                return;
            }
            done.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<SandboxId>> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits for an answer goes first.
fn remove(jobs: &Mutex<Receiver<Job>>) {
    schedule::behind_others();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else {
            return;
        };
        // It has said so, and the next one is another sandbox's.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

/// One removal. Whoever waits for its end is told also where it ends by a fault.
#[derive(Debug)]
struct Going {
    teardown: Teardown,
    id: SandboxId,
}

impl Drop for Going {
    fn drop(&mut self) {
        self.teardown.lock().remove(&self.id);
        self.teardown.done.notify_waiters();
    }
}

/// Removes a sandbox's groups, waiting for the kernel to be done with its last process.
pub(super) fn remove_cgroups(cgroups: &Cgroups, sandbox: &str) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match cgroups.remove(sandbox) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < BUSY_TRIES => {
                tries += 1;
                thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_removal_that_panics_is_over_too() {
        let teardown = Teardown::start().expect("threads");
        let id = SandboxId::generate();
        teardown.run(&id, || panic!("on purpose"));
        tokio::time::timeout(Duration::from_secs(30), teardown.over(&id))
            .await
            .expect("over");
        teardown.run(&id, || Ok(()));
        teardown.settle().await;
    }
}
