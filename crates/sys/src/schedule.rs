//! How soon a thread that wakes up gets a CPU (sched(7), sched_setattr(2)).

use std::io;

/// What a turn of a thread with [`answer_soon`] lasts: the least that the kernel takes.
const SLICE_NS: u64 = 100_000;
/// `SCHED_FLAG_RESET_ON_FORK`.
const RESET_ON_FORK: u64 = 1;

/// `struct sched_attr` in its first version, which every kernel takes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

const SIZE: u32 = 48;
const _: () = assert!(size_of::<Attributes>() == SIZE as usize);

/// Whether what a thread starts is scheduled like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    Alike,
    /// They begin with the kernel's own settings.
    Ordinary,
}

/// Makes this thread's turns short, so that it gets the first of them soon after it wakes: right for
/// one that does a little for others and waits again. It gets no more of the CPU than before. Best
/// effort: before Linux 6.12 it changes nothing.
pub fn answer_soon(children: Children) -> io::Result<()> {
    let mut attributes = get()?;
    attributes.runtime = SLICE_NS;
    if children == Children::Ordinary {
        attributes.flags |= RESET_ON_FORK;
    }
    // Only the ordinary policies know a slice.
    match attributes.policy.cast_signed() {
        libc::SCHED_OTHER | libc::SCHED_BATCH => set(&attributes),
        _ => Ok(()),
    }
}

fn get() -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    let this_thread = 0;
    // SAFETY: the kernel writes at most SIZE bytes to `attributes`, which is live and that large.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            this_thread,
            &raw mut attributes,
            SIZE,
            0,
        )
    };
    check(result)?;
    Ok(attributes)
}

fn set(attributes: &Attributes) -> io::Result<()> {
    let this_thread = 0;
    // SAFETY: the kernel reads as many bytes as `size` says from `attributes`, which is live; `get`
    // has set it to no more than the structure has.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            this_thread,
            std::ptr::from_ref(attributes),
            0,
        )
    };
    check(result)
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_policy_and_priority_and_its_children_are_ordinary_if_asked() {
        std::thread::spawn(|| {
            let before = get().expect("get");
            answer_soon(Children::Ordinary).expect("set");
            let after = get().expect("get");
            assert_eq!((after.policy, after.nice), (before.policy, before.nice));
            assert_eq!(after.flags & RESET_ON_FORK, RESET_ON_FORK);
            let child = std::thread::spawn(|| get().expect("get")).join();
            assert_eq!(child.expect("child"), before);
        })
        .join()
        .expect("thread");
    }
}
