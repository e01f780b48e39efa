//! Network namespaces, made ahead, and with each the groups of the sandbox that takes it.
//!
//! The namespaces belong to this machine's own user namespace: a sandbox's root has no power over its network
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

use super::cgroup::{Ahead, Cgroups};

/// Namespaces kept ready. Each costs the kernel some 100 KiB.
const READY: usize = 8;
/// The pool waits this long before it makes more, while more than these stand ready or while some do: the
/// kernel takes half a millisecond for one, which the boot that has just taken one needs itself.
const ENOUGH: usize = READY / 2;
const PAUSE: Duration = Duration::from_millis(20);
const SHORT_PAUSE: Duration = Duration::from_millis(4);

/// Settings of each, below /proc.
const SETTINGS: [(&str, &str); 2] = [
    ("sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("sys/net/ipv4/ping_group_range", "0 2147483647"),
];

/// Namespaces set through one mount of proc before it is replaced.
const SET_BY_ONE: usize = 16;

/// The pool; its thread ends before it.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    filler: Option<thread::JoinHandle<()>>,
}

/// What a boot finds ready.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) net: OwnedFd,
    pub(super) groups: Option<Ahead>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wanted: Condvar,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Ready>,
    /// When the last one was.
    taken: Option<Instant>,
    /// One is being made.
    filling: bool,
    closed: bool,
}

impl Pool {
    pub(super) fn start(cgroups: &Cgroups) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (of_filler, cgroups) = (Arc::clone(&shared), cgroups.clone());
        let filler = thread::Builder::new()
            .name("pinfold-netns".to_owned())
            .spawn(move || fill(&of_filler, &cgroups))?;
        Ok(Self {
            shared,
            filler: Some(filler),
        })
    }

    /// A namespace with its loopback up: from the pool, or made now (about a millisecond).
    pub(super) fn take(&self) -> io::Result<Ready> {
        let ready = {
            let mut state = self.shared.lock();
            state.taken = Some(Instant::now());
            state.ready.pop_front()
        };
        self.shared.wanted.notify_one();
        match ready {
            Some(ready) => Ok(ready),
            None => Ok(Ready {
                net: on_own_thread(|| make(&mut Settings::of_machine()?))?,
                groups: None,
            }),
        }
    }

    /// Lets go of what stands ready, and makes no more: nothing of it is left when this returns.
    pub(super) fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.wanted.notify_one();
        // A thread that was ended by a fault is not waited for.
        let is_there = || self.filler.as_ref().is_some_and(|it| !it.is_finished());
        while state.filling && is_there() {
            let waited = self.shared.filled.wait_timeout(state, PAUSE);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.ready.clear();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
        if let Some(filler) = self.filler.take() {
            let _ = filler.join();
        }
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
        let pause = match self.ready.len() {
            0 => return None,
            1..=ENOUGH => SHORT_PAUSE,
            _ => PAUSE,
        };
        let pause = pause.checked_sub(self.taken?.elapsed())?;
        (!pause.is_zero()).then_some(pause)
    }
}

fn fill(shared: &Shared, cgroups: &Cgroups) {
    let mut settings = Settings::default();
    let mut numbers = 0..;
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
        state.filling = true;
        drop(state);
        let made = make(&mut settings).and_then(|net| {
            let groups = cgroups.ahead(numbers.next().unwrap_or_default())?;
            Ok(Ready { net, groups })
        });
        state = shared.lock();
        state.filling = false;
        shared.filled.notify_all();
        match made {
            Ok(ready) => state.ready.push_back(ready),
            Err(_) if state.closed => {}
            Err(error) => {
                tracing::warn!(%error, "cannot make a sandbox's surroundings ahead");
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
fn make(settings: &mut Settings) -> io::Result<OwnedFd> {
    namespace::unshare_thread(UnshareFlags::NEWNET)?;
    loopback::up()?;
    settings.write()?;
    current()
}

/// Where the settings of the calling thread's namespace are written.
///
/// The kernel finds a name below `/proc/sys/net` among the entries of all namespaces that were ever
/// asked for it through the same mount, and keeps them: among a thousand it took five times as long. So
/// this is a mount of our own, attached nowhere, and a new one after a while.
#[derive(Debug, Default)]
struct Settings {
    mount: Option<OwnedFd>,
    used: usize,
}

impl Settings {
    /// Through the mount that everybody uses: for one namespace alone another would cost more.
    fn of_machine() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mount = rustix::fs::open("/proc", flags, Mode::empty())?;
        Ok(Self {
            mount: Some(mount),
            used: 0,
        })
    }

    fn write(&mut self) -> io::Result<()> {
        if self.used >= SET_BY_ONE {
            *self = Self::default();
        }
        let mount = match &self.mount {
            Some(mount) => mount,
            None => self.mount.insert(proc()?),
        };
        self.used += 1;
        for (name, value) in SETTINGS {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(mount, name, flags, Mode::empty())?;
            rustix::io::write(file, value.as_bytes())?;
        }
        Ok(())
    }
}

fn proc() -> io::Result<OwnedFd> {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
    let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    Ok(rustix::mount::fsmount(context.as_fd(), flags, attributes)?)
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
