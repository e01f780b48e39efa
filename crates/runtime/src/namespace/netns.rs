//! Network namespaces, made ahead.
//!
//! They belong to this machine's own user namespace: a sandbox's root has no power over its network
//! (no firewall rules, no raw sockets, no new links), which keeps the kernel's network
//! configuration out of reach. What a sandbox would need that power for is set here instead: any
//! port may be bound and ping works.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pinfold_sys::{loopback, namespace};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces};

/// Namespaces kept ready. Each costs the kernel some 100 KiB.
const READY: usize = 8;
/// While more than these stand ready, the pool waits this long before it makes more: the kernel takes half
/// a millisecond for one, which the boot that has just taken one needs itself.
const ENOUGH: usize = READY / 2;
const PAUSE: Duration = Duration::from_millis(20);

/// Settings of each, below /proc/sys/net.
const SETTINGS: [(&str, &str); 2] = [
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv4/ping_group_range", "0 2147483647"),
];

/// The pool; its thread ends with it.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<OwnedFd>,
    /// When the last one was.
    taken: Option<Instant>,
    closed: bool,
}

impl Pool {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let filler = Arc::clone(&shared);
        thread::Builder::new()
            .name("pinfold-netns".to_owned())
            .spawn(move || fill(&filler))?;
        Ok(Self { shared })
    }

    /// A namespace with its loopback up: from the pool, or made now (about a millisecond).
    pub(super) fn take(&self) -> io::Result<OwnedFd> {
        let ready = {
            let mut state = self.shared.lock();
            state.taken = Some(Instant::now());
            state.ready.pop_front()
        };
        self.shared.wanted.notify_one();
        match ready {
            Some(net) => Ok(net),
            None => on_own_thread(make),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wanted.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long to leave the machine to whoever took one.
    fn pause(&self) -> Option<Duration> {
        if self.ready.len() <= ENOUGH {
            return None;
        }
        let pause = PAUSE.checked_sub(self.taken?.elapsed())?;
        (!pause.is_zero()).then_some(pause)
    }
}

fn fill(shared: &Shared) {
    let mut state = shared.lock();
    while !state.closed {
        if state.ready.len() >= READY {
            state = shared
                .wanted
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        if let Some(pause) = state.pause() {
            let waited = shared.wanted.wait_timeout(state, pause);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        drop(state);
        let made = make();
        state = shared.lock();
        match made {
            Ok(net) => state.ready.push_back(net),
            Err(error) => {
                tracing::warn!(%error, "cannot make a network namespace ahead");
                state = shared
                    .wanted
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Runs on a thread that ends afterwards: it is left in another network namespace.
pub(super) fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(io::Error::other("the network thread panicked")))
}

/// Makes a namespace and leaves the calling thread in it; the descriptor keeps it alive.
fn make() -> io::Result<OwnedFd> {
    namespace::unshare_thread(UnshareFlags::NEWNET)?;
    loopback::up()?;
    for (name, value) in SETTINGS {
        std::fs::write(format!("/proc/sys/net/{name}"), value)?;
    }
    current()
}

/// Takes the calling thread into the network namespace of a process.
pub(super) fn enter(process: &OwnedFd) -> io::Result<()> {
    let kind = ThreadNameSpaceType::NETWORK;
    Ok(move_into_thread_name_spaces(process.as_fd(), kind)?)
}

/// The calling thread's network namespace.
pub(super) fn current() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(
        "/proc/thread-self/ns/net",
        flags,
        Mode::empty(),
    )?)
}
