//! Descriptors in tokio's event loop.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An owned descriptor that the event loop may watch.
#[derive(Debug)]
pub struct Watched(OwnedFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl std::os::fd::AsFd for Watched {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Watches a descriptor for everything in `interest`. Needs a running tokio runtime.
pub fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<Watched>> {
    // SAFETY: the descriptor has to be open and stay the same for as long as it is registered:
    // `Watched` owns it, gives out only borrows, and its number never changes.
    let registered = unsafe { AsyncFd::register_with_interest(Watched(descriptor), interest) };
    Ok(registered?)
}
