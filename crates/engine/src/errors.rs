//! What guests and drivers say, as errors of use cases. Each mapping is one exhaustive match.

use pinfold_model::{Code, Error};
use pinfold_runtime::driver::{BootError, DriverError};
use pinfold_runtime::guest::{FailureKind, GuestError};
use pinfold_runtime::journal::OpenError;

/// File work and the like: what was asked of a guest and not done.
pub(crate) fn guest_error(error: GuestError) -> Error {
    match error {
        GuestError::Refused { kind, message, .. } => Error::new(code(kind), message),
        GuestError::Timeout => Error::new(
            Code::Timeout,
            "the sandbox did not answer in time; what was asked may still happen",
        ),
        GuestError::Lost | GuestError::Version(_) | GuestError::Protocol(_) | GuestError::Io(_) => {
            Error::new(
                Code::GuestUnavailable,
                "the sandbox cannot be reached; what was asked may or may not have happened",
            )
            .because(error)
        }
    }
}

fn code(kind: FailureKind) -> Code {
    match kind {
        FailureKind::Other => Code::Internal,
        FailureKind::Unsupported => Code::Unsupported,
        FailureKind::Invalid => Code::InvalidArgument,
        FailureKind::Outside => Code::PathOutside,
        FailureKind::NotFound => Code::FileNotFound,
        FailureKind::Exists => Code::FileExists,
        FailureKind::NotEmpty => Code::DirectoryNotEmpty,
        FailureKind::IsDirectory => Code::NotAFile,
        FailureKind::NotDirectory => Code::NotADirectory,
        FailureKind::Denied => Code::FileAccessDenied,
        FailureKind::NoSpace => Code::DiskFull,
        FailureKind::NoSuchUser => Code::UserNotFound,
        FailureKind::NoSuchCommand => Code::CommandEnded,
        FailureKind::ConnectionRefused => Code::PortNotListening,
        FailureKind::TooMany => Code::Unavailable,
        FailureKind::Conflict => Code::AlreadyExists,
        FailureKind::Cancelled | FailureKind::Undecided => Code::Unavailable,
    }
}

pub(crate) fn driver_error(error: DriverError) -> Error {
    match error {
        DriverError::Unsupported(text) => Error::new(Code::Unsupported, text),
        DriverError::Step { .. } => Error::internal(error),
        DriverError::Guest(guest) => guest_error(guest),
    }
}

/// What the owner of a sandbox that did not boot may read.
pub(crate) fn boot_failure(error: &BootError) -> String {
    match error {
        BootError::Unsupported(text) => text.clone(),
        BootError::BadImage(_) | BootError::Disk(_) => error.to_string(),
        // The step is ours to name; the kernel's words tell what to look for.
        BootError::Step { step, source } => format!("set-up failed at {step}: {source}"),
        BootError::Guest(_) => "the guest did not answer".to_owned(),
    }
}

/// An error with all its causes, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

pub(crate) fn journal_error(error: OpenError) -> Error {
    match error {
        OpenError::NotFound(_) => Error::new(
            Code::CommandNotFound,
            "the output of this command is no longer kept",
        ),
        OpenError::Exists(_)
        | OpenError::InUse(_)
        | OpenError::Foreign(_)
        | OpenError::Io { .. } => Error::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_the_guests_words_and_losses_do_not_leak_ours() {
        let refused = GuestError::Refused {
            kind: FailureKind::NotFound,
            message: "no such file: /a".into(),
            errno: 2,
        };
        let error = guest_error(refused);
        assert_eq!(error.code(), Code::FileNotFound);
        assert_eq!(error.message(), "no such file: /a");
        let error = guest_error(GuestError::Protocol("secret".into()));
        assert_eq!(error.code(), Code::GuestUnavailable);
        assert!(!error.message().contains("secret"));
    }
}
