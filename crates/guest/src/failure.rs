//! Refusals: why a request is not done, in the words of the protocol.

use std::fmt;

use pinfold_proto::{Failure, FailureKind};
use rustix::io::Errno;

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    pub(crate) errno: i32,
}

pub(crate) type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            errno: 0,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, message)
    }

    /// What the kernel said about `subject`.
    pub(crate) fn kernel(subject: &str, errno: Errno) -> Self {
        let mut words = std::io::Error::from(errno).to_string();
        if let Some(end) = words.find(" (os error") {
            words.truncate(end);
        }
        Self {
            kind: kind_of(errno),
            message: format!("{subject}: {words}"),
            errno: errno.raw_os_error(),
        }
    }

    pub(crate) fn io(subject: &str, error: &std::io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(errno) => Self::kernel(subject, errno),
            None => Self::new(FailureKind::Other, format!("{subject}: {error}")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            kind: refusal.kind.into(),
            message: refusal.message,
            errno: refusal.errno,
        }
    }
}

fn kind_of(errno: Errno) -> FailureKind {
    match errno {
        Errno::NOENT => FailureKind::NotFound,
        Errno::EXIST => FailureKind::Exists,
        Errno::NOTEMPTY => FailureKind::NotEmpty,
        Errno::ISDIR => FailureKind::IsDirectory,
        Errno::NOTDIR => FailureKind::NotDirectory,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => FailureKind::Denied,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => FailureKind::NoSpace,
        Errno::INVAL | Errno::NAMETOOLONG | Errno::LOOP | Errno::NOTSUP => FailureKind::Invalid,
        Errno::MFILE | Errno::NFILE | Errno::AGAIN => FailureKind::TooMany,
        Errno::CONNREFUSED => FailureKind::ConnectionRefused,
        Errno::PIPE => FailureKind::Cancelled,
        _ => FailureKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_subject_and_the_kernels_words() {
        let refusal = Refusal::kernel("/x", Errno::NOENT);
        assert_eq!(refusal.message, "/x: No such file or directory");
        assert_eq!((refusal.kind, refusal.errno), (FailureKind::NotFound, 2));
    }
}
