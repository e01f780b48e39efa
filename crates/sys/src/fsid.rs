//! The ids with which this thread makes files (setfsuid(2)).

use std::io;

use rustix::thread::CapabilitySets;

/// Runs `work` with these ids for files and all capabilities as before; the kernel would take the
/// ones for files away from everybody but root.
pub fn with_file_ids<T>(uid: u32, gid: u32, work: impl FnOnce() -> T) -> io::Result<T> {
    let before = rustix::thread::capabilities(None)?;
    set(uid, gid);
    let result = restore(before).map(|()| work());
    set(0, 0);
    restore(before)?;
    result
}

fn set(uid: u32, gid: u32) {
    // SAFETY: setfsgid takes any number; it changes this thread's ids for files alone.
    unsafe { libc::setfsgid(gid) };
    // SAFETY: setfsuid takes any number; it changes this thread's ids for files alone.
    unsafe { libc::setfsuid(uid) };
}

fn restore(sets: CapabilitySets) -> io::Result<()> {
    Ok(rustix::thread::set_capabilities(None, sets)?)
}
