//! Code contexts: interpreters in a sandbox that keep their variables from one run to the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::error::{Code, Error, Result};
use crate::id::{CodeContextId, CommandId, ProjectId, SandboxId};
use crate::limits;

/// What a context understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeLanguage {
    Python,
    Javascript,
    Typescript,
}

impl CodeLanguage {
    pub const ALL: [Self; 3] = [Self::Python, Self::Javascript, Self::Typescript];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Javascript => "javascript",
            Self::Typescript => "typescript",
        }
    }
}

impl std::str::FromStr for CodeLanguage {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| {
            Error::new(
                Code::UnsupportedCodeLanguage,
                "code runs in python, javascript or typescript",
            )
            .detail("field", "language")
        })
    }
}

/// A context as it is now. It ends when it is deleted, has not been used for its idle timeout, or
/// its sandbox ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeContext {
    pub id: CodeContextId,
    pub sandbox: SandboxId,
    pub project: ProjectId,
    pub language: CodeLanguage,
    /// Absolute; where code begins.
    pub cwd: String,
    /// `None`: the sandbox's own working directory, made where it is missing.
    pub asked_cwd: Option<String>,
    /// For runs that name none.
    pub timeout: Duration,
    pub idle_timeout: Duration,
    /// The one that runs without a context take; at most one for a language in a sandbox.
    pub is_default: bool,
    /// Counts the interpreters that the context has had: variables live as long as one of them.
    pub generation: u32,
    /// The command that is the present interpreter, or was the last one.
    pub interpreter: Option<CommandId>,
    pub created_at: Time,
    pub last_used_at: Time,
    pub expires_at: Time,
}

/// Checks the source of a run.
pub fn validate_source(code: &str) -> Result<()> {
    if code.len() > limits::CODE_MAX_BYTES {
        return Err(Error::new(
            Code::BodyTooLarge,
            "the code of one run may hold at most 256 KiB; write more to a file in the sandbox and \
             run that",
        )
        .detail("field", "code")
        .detail("max_bytes", limits::CODE_MAX_BYTES));
    }
    Ok(())
}

/// Checks how long a run may take.
pub fn validate_timeout(timeout: Duration) -> Result<()> {
    if timeout < Duration::from_millis(1) || timeout > limits::CODE_TIMEOUT_MAX {
        return Err(Error::invalid(
            "timeout_ms",
            "a run of code may take from 1 ms to 10 minutes",
        ));
    }
    Ok(())
}

/// Checks how long a context may be unused.
pub fn validate_idle_timeout(timeout: Duration) -> Result<()> {
    let range = limits::CODE_IDLE_MIN..=limits::CODE_IDLE_MAX;
    if !range.contains(&timeout) {
        return Err(Error::invalid(
            "idle_timeout_ms",
            "a context may be unused for 1 minute to 7 days",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_known_by_their_words_alone() {
        for language in CodeLanguage::ALL {
            assert_eq!(
                language.as_str().parse::<CodeLanguage>().ok(),
                Some(language)
            );
        }
        let refused = "ruby".parse::<CodeLanguage>().expect_err("unknown");
        assert_eq!(refused.code(), Code::UnsupportedCodeLanguage);
    }

    #[test]
    fn sources_and_times_are_bounded() {
        assert!(validate_source(&"x".repeat(limits::CODE_MAX_BYTES)).is_ok());
        let refused = validate_source(&"x".repeat(limits::CODE_MAX_BYTES + 1));
        assert_eq!(refused.expect_err("too long").code(), Code::BodyTooLarge);
        assert!(validate_timeout(Duration::ZERO).is_err());
        assert!(validate_timeout(limits::CODE_TIMEOUT_MAX).is_ok());
        assert!(validate_timeout(limits::CODE_TIMEOUT_MAX * 2).is_err());
        assert!(validate_idle_timeout(Duration::from_secs(59)).is_err());
        assert!(validate_idle_timeout(Duration::from_secs(60)).is_ok());
    }
}
