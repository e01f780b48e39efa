//! Starting a program with one extra descriptor at a known number.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The child of `command` finds `descriptor` as exactly the number `target`, and beside it nothing
/// but its standard streams: what this process was itself started with, a lock of the script around
/// it perhaps, would live on with the child. The descriptor stays open in `command` and is closed
/// with it.
pub fn hand_over(command: &mut Command, descriptor: OwnedFd, target: i32) {
    let place = move || {
        let source = descriptor.as_raw_fd();
        // A kernel that cannot (before 5.11) hands on what was handed on to this process.
        // SAFETY: close_range takes any range and, with this flag, closes nothing before exec;
        // async-signal-safe. The child owns its whole descriptor table.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        // dup2 onto itself would leave close-on-exec set, so that case clears the flag instead.
        let result = if source == target {
            // SAFETY: fcntl takes any descriptor and flag; async-signal-safe.
            unsafe { libc::fcntl(source, libc::F_SETFD, 0) }
        } else {
            // SAFETY: dup2 takes any two numbers; async-signal-safe. The child owns its whole
            // descriptor table and uses `target` for nothing else before exec.
            unsafe { libc::dup2(source, target) }
        };
        if result == -1 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls, does not allocate, and
    // touches only what it owns.
    unsafe { command.pre_exec(place) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_child_finds_the_descriptor_at_its_number() {
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        let mut command = Command::new("sh");
        // One by one and by the shell itself: a pipeline or a listing has descriptors of its own.
        let look = "n=3; while [ $n -lt 64 ]; do [ -e /proc/$$/fd/$n ] && found=\"$found $n\"; n=$((n+1)); done";
        command.args(["-c", &format!("{look}; echo here$found >&7")]);
        hand_over(&mut command, writer, 7);
        // As a shell's `exec 9>file` leaves it to whatever it starts.
        let leaky = rustix::io::fcntl_dupfd_cloexec(&reader, 9).expect("duplicate");
        rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).expect("flags");
        assert!(command.status().expect("run").success());
        drop(command);
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .expect("read");
        assert_eq!(text, "here 7\n");
    }
}
