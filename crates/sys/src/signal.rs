//! Dispositions of SIGCHLD.

/// Ended children vanish without being waited for (sigaction(2), POSIX.1-2001).
pub fn ignore_children() {
    // SAFETY: SIG_IGN is a valid disposition for SIGCHLD; no handler of ours runs.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// The default again: dispositions survive exec, and the next program wants to wait for its own.
pub fn default_children() {
    // SAFETY: SIG_DFL is a valid disposition for SIGCHLD; no handler of ours runs.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}
