//! The two programs carried inside this one, as files in memory that can be executed.

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, Mode, SealFlags};

const GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pinfold-guest"));
const SPAWNER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pinfold-spawner"));

/// The guest's program. Sealed, so that nothing running from it can change it (CVE-2019-5736), and
/// executable but not readable by others: the kernel then keeps every process inside a sandbox from
/// tracing PID 1 or reading its memory, whatever capabilities it has there.
pub(super) fn guest() -> io::Result<OwnedFd> {
    let program = sealed(c"pinfold-guest", GUEST)?;
    rustix::fs::fchmod(&program, Mode::from_raw_mode(0o511))?;
    Ok(program)
}

pub(super) fn spawner() -> io::Result<OwnedFd> {
    sealed(c"pinfold-spawner", SPAWNER)
}

fn sealed(name: &std::ffi::CStr, content: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memfd = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 know no MFD_EXEC: there every memfd is executable.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
        other => other?,
    };
    let mut file = std::fs::File::from(memfd);
    file.write_all(content)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the kernel would load something else first: a program header of the type PT_INTERP
    /// (elf(5)). A name of the loader alone is in every static program of glibc.
    fn asks_for_an_interpreter(elf: &[u8]) -> bool {
        const PT_INTERP: u32 = 3;
        let half = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().expect("two bytes"));
        let word = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().expect("four bytes"));
        let (first, size, count) = (word(0x20), half(0x36), half(0x38));
        assert_ne!(count, 0);
        (0..count).any(|n| word(first as usize + usize::from(n) * usize::from(size)) == PT_INTERP)
    }

    #[test]
    fn the_carried_programs_are_static_and_cannot_be_changed() {
        for content in [GUEST, SPAWNER] {
            assert_eq!(&content[..6], b"\x7fELF\x02\x01", "64 bits, little-endian");
            assert!(!asks_for_an_interpreter(content), "a dynamic program");
        }
        let mut file = std::fs::File::from(guest().expect("guest"));
        assert!(file.write_all(b"x").is_err());
    }
}
