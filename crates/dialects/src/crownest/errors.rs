//! CrowNest's errors: its words, their statuses, and which of our codes each stands for.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pinfold_http::{Facade, Failure, Json};
use pinfold_model::{Code, Error};
use serde_json::{Map, Value};

pub(super) const FACADE: Facade = Facade {
    name: "crownest",
    render,
    elsewhere: &[],
};

macro_rules! words {
    ($($name:ident = $text:literal $status:ident,)+) => {
        /// The vendor's error codes, as far as this dialect says them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Word { $($name,)+ }

        impl Word {
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }
        }
    };
}

words! {
    InvalidRequest = "invalid_request" BAD_REQUEST,
    SandboxTtlExceeded = "sandbox_ttl_exceeded" BAD_REQUEST,
    ReservedEnvKey = "reserved_env_key" BAD_REQUEST,
    PathIsDirectory = "path_is_directory" BAD_REQUEST,
    PathNotDirectory = "path_not_directory" BAD_REQUEST,
    PathOutsideWorkspace = "path_outside_workspace" BAD_REQUEST,
    InvalidFileEncoding = "invalid_file_encoding" BAD_REQUEST,
    MetadataTooManyKeys = "metadata_too_many_keys" BAD_REQUEST,
    InvalidMetadataKey = "invalid_metadata_key" BAD_REQUEST,
    InvalidMetadataValue = "invalid_metadata_value" BAD_REQUEST,
    MetadataTooLarge = "metadata_too_large" BAD_REQUEST,
    UnsupportedPreviewAuthMode = "unsupported_preview_auth_mode" BAD_REQUEST,
    UnsupportedCodeLanguage = "unsupported_code_language" BAD_REQUEST,
    Unauthenticated = "unauthenticated" UNAUTHORIZED,
    InvalidApiKey = "invalid_api_key" UNAUTHORIZED,
    Forbidden = "forbidden" FORBIDDEN,
    FeatureNotEnabled = "feature_not_enabled" FORBIDDEN,
    NotFound = "not_found" NOT_FOUND,
    FileNotFound = "file_not_found" NOT_FOUND,
    ParentDirectoryNotFound = "parent_directory_not_found" NOT_FOUND,
    Conflict = "conflict" CONFLICT,
    IdempotencyKeyReused = "idempotency_key_reused" CONFLICT,
    DirectoryNotEmpty = "directory_not_empty" CONFLICT,
    FileAlreadyExists = "file_already_exists" CONFLICT,
    StreamGap = "stream_gap" CONFLICT,
    SandboxDestroyed = "sandbox_destroyed" GONE,
    CodeSourceTooLarge = "code_source_too_large" PAYLOAD_TOO_LARGE,
    FileTooLarge = "file_too_large" PAYLOAD_TOO_LARGE,
    QuotaExceeded = "quota_exceeded" TOO_MANY_REQUESTS,
    RateLimited = "rate_limited" TOO_MANY_REQUESTS,
    InternalError = "internal_error" INTERNAL_SERVER_ERROR,
    RuntimeError = "runtime_error" INTERNAL_SERVER_ERROR,
    PreviewUnavailable = "preview_unavailable" BAD_GATEWAY,
}

/// The vendor's word for one of our codes. Total: a new code does not compile until it has one.
pub(super) const fn word_of(code: Code) -> Word {
    match code {
        Code::InvalidArgument
        | Code::SqlFailed
        | Code::MethodNotAllowed
        | Code::UnsupportedMediaType
        | Code::RangeNotSatisfiable
        | Code::UserNotFound => Word::InvalidRequest,
        Code::Unauthenticated => Word::InvalidApiKey,
        Code::PermissionDenied | Code::FileAccessDenied | Code::LinkInvalid | Code::LinkExpired => {
            Word::Forbidden
        }
        Code::RouteNotFound
        | Code::SandboxNotFound
        | Code::CommandNotFound
        | Code::CodeContextNotFound
        | Code::SessionNotFound
        | Code::ImageNotFound
        | Code::TemplateNotFound
        | Code::SecretNotFound
        | Code::BuildNotFound
        | Code::ProjectNotFound
        | Code::KeyNotFound
        | Code::RunNotFound
        | Code::ObjectNotFound
        | Code::ObjectGone
        | Code::PreviewNotFound
        | Code::SshKeyNotFound
        | Code::NetworkPolicyNotFound
        | Code::AxonNotFound
        | Code::AxonDeleted
        | Code::GatewayNotFound
        | Code::PreviewGone => Word::NotFound,
        Code::FileNotFound => Word::FileNotFound,
        Code::ParentNotFound => Word::ParentDirectoryNotFound,
        Code::PathOutside => Word::PathOutsideWorkspace,
        Code::NotAFile => Word::PathIsDirectory,
        Code::NotADirectory => Word::PathNotDirectory,
        Code::FileExists => Word::FileAlreadyExists,
        Code::DirectoryNotEmpty => Word::DirectoryNotEmpty,
        Code::FileTooLarge | Code::BodyTooLarge => Word::FileTooLarge,
        Code::IdempotencyConflict => Word::IdempotencyKeyReused,
        Code::AlreadyExists
        | Code::ObjectNotSealed
        | Code::ObjectSealed
        | Code::InUse
        | Code::SandboxNotRunning
        | Code::CommandEnded
        | Code::StdinNotOpen => Word::Conflict,
        Code::SandboxGone => Word::SandboxDestroyed,
        Code::OutputGone => Word::StreamGap,
        Code::QuotaExceeded | Code::DiskFull => Word::QuotaExceeded,
        Code::RateLimited => Word::RateLimited,
        Code::PortNotListening | Code::PreviewUnavailable => Word::PreviewUnavailable,
        Code::Unsupported => Word::FeatureNotEnabled,
        Code::UnsupportedCodeLanguage => Word::UnsupportedCodeLanguage,
        Code::SandboxFailed | Code::InvalidImage | Code::Timeout | Code::GuestUnavailable => {
            Word::RuntimeError
        }
        Code::ImagePullFailed | Code::SecretsLocked | Code::Unavailable | Code::Internal => {
            Word::InternalError
        }
    }
}

/// How a handler fails: as the engine or the HTTP edge did, or in the vendor's own terms.
#[derive(Debug)]
pub(super) enum Refused {
    Failure(Failure),
    Vendor(Box<Refusal>),
}

/// What only this vendor's API refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) word: Word,
    message: String,
    details: Map<String, Value>,
}

impl Refused {
    pub(super) fn new(word: Word, message: impl Into<String>) -> Self {
        Self::Vendor(Box::new(Refusal {
            word,
            message: message.into(),
            details: Map::new(),
        }))
    }

    /// A field of the request, by the vendor's name, is wrong.
    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::of(Word::InvalidRequest, field, message)
    }

    pub(super) fn of(word: Word, field: &str, message: impl Into<String>) -> Self {
        let details = Map::from_iter([("field".to_owned(), field.into())]);
        Self::Vendor(Box::new(Refusal {
            word,
            message: message.into(),
            details,
        }))
    }

    /// What is behind an id that is none of ours.
    pub(super) fn no(what: &str, id: &str) -> Self {
        Self::new(Word::NotFound, format!("no {what} {id:?}"))
    }

    #[cfg(test)]
    pub(super) fn word(&self) -> Word {
        match self {
            Self::Failure(failure) => shown_word(failure.error()),
            Self::Vendor(refusal) => refusal.word,
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failure(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Failure(failure) => failure.into_response(),
            Self::Vendor(refusal) => {
                let body = body(refusal.word, &refusal.message, refusal.details);
                (refusal.word.status(), Json(body)).into_response()
            }
        }
    }
}

/// The word for an error, where the code alone does not tell.
pub(super) fn shown_word(error: &Error) -> Word {
    let missing = error
        .details()
        .get("reason")
        .is_some_and(|r| r == "missing");
    match word_of(error.code()) {
        Word::InvalidApiKey if missing => Word::Unauthenticated,
        word => word,
    }
}

fn render(failure: &Failure, _request_id: &str) -> Response {
    let error = failure.error();
    // Where the HTTP edge chose a status of its own (405, 408, 414, 415, 416), the request itself
    // was at fault.
    let chosen = failure.status() != pinfold_http::status_of(error.kind());
    let word = match shown_word(error) {
        word if chosen && word.status().is_server_error() => Word::InvalidRequest,
        word => word,
    };
    let status = match error.code() {
        _ if chosen => failure.status(),
        // The server is going away or too busy: another try is worth it.
        Code::ImagePullFailed | Code::SecretsLocked | Code::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => word.status(),
    };
    let mut details = error.details().clone();
    if let Some(field) = details.get_mut("field") {
        *field = vendor_field(field.as_str().unwrap_or_default()).into();
    }
    (status, Json(body(word, error.message(), details))).into_response()
}

/// The vendor's name of a field that the engine refused.
fn vendor_field(field: &str) -> &str {
    match field {
        "ttl_ms" => "ttlMs",
        "timeout_ms" => "timeoutMs",
        "shell" => "command",
        "idempotency-key" | "idempotency_key" => "Idempotency-Key",
        other => other,
    }
}

fn body(word: Word, message: &str, details: Map<String, Value>) -> Value {
    let mut error = Map::from_iter([
        ("code".to_owned(), word.as_str().into()),
        ("message".to_owned(), message.into()),
    ]);
    if !details.is_empty() {
        error.insert("details".to_owned(), details.into());
    }
    serde_json::json!({ "error": error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_a_word_and_the_kinds_agree() {
        for code in Code::ALL {
            let status = word_of(*code).status();
            assert!(status.as_u16() >= 400, "{code}");
            let ours = pinfold_http::status_of(code.kind());
            // Client errors stay client errors, save what the vendor calls a failure of the runtime.
            if status.is_server_error() && ours.is_client_error() {
                let runtime = [
                    Code::SandboxFailed,
                    Code::InvalidImage,
                    Code::PortNotListening,
                ];
                assert!(runtime.contains(code), "{code}: {status} and {ours}");
            }
        }
    }

    #[test]
    fn a_status_of_the_http_edge_is_kept() {
        for status in [StatusCode::REQUEST_TIMEOUT, StatusCode::URI_TOO_LONG] {
            let slow = Failure::from(Error::new(Code::Timeout, "too slow")).with_status(status);
            assert_eq!(render(&slow, "req_0").status(), status);
        }
        let ours = Failure::from(Error::new(Code::Timeout, "not ready in time"));
        assert_eq!(render(&ours, "req_0").status(), 500);
    }

    #[test]
    fn words_are_unique() {
        let texts: HashSet<_> = Word::ALL.iter().map(|word| word.as_str()).collect();
        assert_eq!(texts.len(), Word::ALL.len());
    }

    #[test]
    fn published_statuses_are_kept() {
        for (word, status) in [
            (Word::InvalidRequest, 400),
            (Word::SandboxTtlExceeded, 400),
            (Word::ReservedEnvKey, 400),
            (Word::Unauthenticated, 401),
            (Word::InvalidApiKey, 401),
            (Word::Forbidden, 403),
            (Word::NotFound, 404),
            (Word::Conflict, 409),
            (Word::IdempotencyKeyReused, 409),
            (Word::SandboxDestroyed, 410),
            (Word::FileTooLarge, 413),
            (Word::QuotaExceeded, 429),
            (Word::RateLimited, 429),
            (Word::InternalError, 500),
            (Word::RuntimeError, 500),
            (Word::PreviewUnavailable, 502),
        ] {
            assert_eq!(word.status().as_u16(), status, "{word:?}");
        }
    }

    #[test]
    fn a_missing_key_and_a_wrong_one_have_words_of_their_own() {
        let wrong = Error::new(Code::Unauthenticated, "no");
        assert_eq!(shown_word(&wrong), Word::InvalidApiKey);
        let missing = wrong.detail("reason", "missing");
        assert_eq!(shown_word(&missing), Word::Unauthenticated);
    }
}
