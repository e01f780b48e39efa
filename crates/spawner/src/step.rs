//! Which step failed, and with which errno: all that is worth telling.

/// A failed step, small enough to travel through a socket.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) step: String,
    pub(crate) errno: i32,
}

/// Names the step that an error belongs to.
pub(crate) trait Step<T> {
    fn step(self, name: impl Into<String>) -> Result<T, Failed>;
}

impl<T, E: Into<std::io::Error>> Step<T> for Result<T, E> {
    fn step(self, name: impl Into<String>) -> Result<T, Failed> {
        self.map_err(|error| Failed {
            step: name.into(),
            errno: error.into().raw_os_error().unwrap_or(libc_eio()),
        })
    }
}

/// What an error without an errno counts as.
fn libc_eio() -> i32 {
    rustix::io::Errno::IO.raw_os_error()
}

impl Failed {
    /// `errno` in four bytes, then the step's name.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.errno.to_ne_bytes().to_vec();
        bytes.extend(self.step.as_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        match bytes.split_first_chunk::<4>() {
            Some((errno, step)) => Self {
                step: String::from_utf8_lossy(step).into_owned(),
                errno: i32::from_ne_bytes(*errno),
            },
            None => Self {
                step: "unreadable report of the child".to_owned(),
                errno: libc_eio(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_its_byte_form() {
        let got = Failed::from_bytes(
            &Failed {
                step: "mount /proc".into(),
                errno: 13,
            }
            .to_bytes(),
        );
        assert_eq!((got.step.as_str(), got.errno), ("mount /proc", 13));
        assert_eq!(Failed::from_bytes(&[1]).errno, libc_eio());
    }
}
