//! Whose account in the kernel's books a sandbox draws on.
//!
//! The kernel bounds some things per user: inotify instances, queued signals and timers, locked
//! memory, bytes in message queues. What happens in a user namespace also counts for the user who
//! made it (`ucounts` in the kernel). Made by root, all sandboxes and this machine's own services
//! would share root's account, and one sandbox could use it up for all of them. So a user namespace
//! is made by the first of its own ids, which nobody else has.

use std::io;

use pinfold_sys::namespace::Cloned;
use rustix::thread::{Uid, capabilities, set_capabilities, set_thread_res_uid};

/// Runs `clone` as that user with all capabilities as before: the kernel takes the effective ones
/// from whoever stops being root. The child stays that user, which is its root inside.
pub(crate) fn on_account_of(
    user: u32,
    clone: impl FnOnce() -> io::Result<Cloned>,
) -> io::Result<Cloned> {
    let powers = capabilities(None)?;
    let user = Uid::from_raw(user);
    // The saved id is the way back, and keeps the permitted capabilities.
    set_thread_res_uid(user, user, Uid::ROOT)?;
    let powered = set_capabilities(None, powers).map_err(io::Error::from);
    let cloned = powered.and_then(|()| clone());
    if !matches!(cloned, Ok(Cloned::Child)) {
        set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
        set_capabilities(None, powers)?;
    }
    cloned
}
