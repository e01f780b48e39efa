//! The program carried inside this one, as a file in memory that can be executed.

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, Mode, SealFlags};

const SPAWNER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pinfold-spawner"));

/// Sealed, so that nothing running from it can change it (CVE-2019-5736): guests do. Executable but not
/// readable by others: no process inside a sandbox may trace PID 1 or read its memory, whatever
/// capabilities it has there.
pub(super) fn spawner() -> io::Result<OwnedFd> {
    let program = sealed(c"pinfold-spawner", SPAWNER)?;
    rustix::fs::fchmod(&program, Mode::from_raw_mode(0o511))?;
    Ok(program)
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
    fn the_carried_program_is_static_and_cannot_be_changed() {
        assert_eq!(&SPAWNER[..6], b"\x7fELF\x02\x01", "64 bits, little-endian");
        assert!(!asks_for_an_interpreter(SPAWNER), "a dynamic program");
        let mut file = std::fs::File::from(spawner().expect("spawner"));
        assert!(file.write_all(b"x").is_err());
    }
}
