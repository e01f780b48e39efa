//! Installing a seccomp filter.

use std::io;

/// `struct sock_filter` of linux/filter.h: one instruction.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub value: u32,
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());

impl Instruction {
    pub const BYTES: usize = 8;

    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b] = self.code.to_ne_bytes();
        let [c, d, e, f] = self.value.to_ne_bytes();
        [a, b, self.jump_true, self.jump_false, c, d, e, f]
    }

    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, jump_true, jump_false, c, d, e, f] = bytes;
        Self {
            code: u16::from_ne_bytes([a, b]),
            jump_true,
            jump_false,
            value: u32::from_ne_bytes([c, d, e, f]),
        }
    }
}

/// Puts the filter on this thread and everything it starts. Needs no_new_privs. The kernel checks
/// the program and refuses a malformed one with `InvalidInput`.
pub fn install(program: &[Instruction]) -> io::Result<()> {
    let len = u16::try_from(program.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "filter too long"))?;
    let fprog = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `fprog` points to `len` instructions laid out as the kernel's sock_filter (checked
    // above), which the kernel copies and does not write to; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const fprog,
        )
    };
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
    fn instructions_survive_their_byte_form() {
        let one = Instruction {
            code: 0x15,
            jump_true: 1,
            jump_false: 2,
            value: 0xdead_beef,
        };
        assert_eq!(Instruction::from_bytes(one.to_bytes()), one);
    }

    #[test]
    fn a_malformed_program_is_refused() {
        let bad = Instruction {
            code: 0xffff,
            jump_true: 0,
            jump_false: 0,
            value: 0,
        };
        assert!(install(&[bad]).is_err());
    }
}
