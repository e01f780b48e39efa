//! How soon the calling thread gets a processor. Best effort: an answer is right however late it is.

use std::mem;

/// For work that nobody waits for: it never takes the processor from whoever is at work
/// (`SCHED_BATCH`, sched(7)).
pub fn behind_others() {
    // SAFETY: all-zero bytes are a valid `sched_param`.
    let parameter: libc::sched_param = unsafe { mem::zeroed() };
    // SAFETY: the kernel reads the structure; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameter) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_stand_back() {
        let policy = std::thread::spawn(|| {
            behind_others();
            // SAFETY: takes no pointer; 0 is the calling thread.
            unsafe { libc::sched_getscheduler(0) }
        });
        assert_eq!(policy.join().expect("it does"), libc::SCHED_BATCH);
    }
}
