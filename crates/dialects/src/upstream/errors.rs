//! Upstream's shape of errors: one status and one word for every code of the engine.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use pinfold_http::{Facade, Failure, Json};
use pinfold_model::{Code, Error};

use super::wire;

pub(super) const FACADE: Facade = Facade {
    name: "upstream",
    render,
    elsewhere: &[],
};

/// Where nothing says how long to wait: quotas are freed by destroying, which takes no time.
const RETRY_AFTER_SECONDS: u64 = 1;

fn render(failure: &Failure, _request_id: &str) -> Response {
    let (status, error) = described(failure.error());
    // What the HTTP edge found wrong with the request itself (a body that never came) has a status
    // of its own.
    let chosen = failure.status() != pinfold_http::status_of(failure.error().kind());
    let status = if chosen { failure.status() } else { status };
    let mut response = (status, Json(wire::ErrorEnvelope { error })).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let hint = failure.headers().get(RETRY_AFTER).cloned();
        let after = hint.unwrap_or_else(|| HeaderValue::from(RETRY_AFTER_SECONDS));
        response.headers_mut().insert(RETRY_AFTER, after);
    }
    response
}

/// The status and body of an error, also for the end of a stream.
pub(super) fn described(error: &Error) -> (StatusCode, wire::Error) {
    let (status, word) = public(error.code());
    let error = wire::Error {
        code: word,
        message: error.message().to_owned(),
    };
    (status, error)
}

const fn public(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::InvalidArgument
        | Code::SqlFailed
        | Code::UnsupportedMediaType
        | Code::RangeNotSatisfiable
        | Code::InvalidImage
        | Code::PathOutside
        | Code::UserNotFound
        | Code::UnsupportedCodeLanguage => (StatusCode::BAD_REQUEST, "invalid_argument"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Code::PermissionDenied | Code::LinkInvalid | Code::LinkExpired => {
            (StatusCode::FORBIDDEN, "forbidden")
        }
        Code::RouteNotFound
        | Code::SandboxNotFound
        | Code::CommandNotFound
        | Code::SessionNotFound
        | Code::ProjectNotFound
        | Code::KeyNotFound
        | Code::ObjectNotFound
        | Code::PreviewNotFound
        | Code::SshKeyNotFound
        | Code::NetworkPolicyNotFound
        | Code::AxonNotFound
        | Code::GatewayNotFound
        | Code::SecretNotFound
        | Code::BuildNotFound
        | Code::RunNotFound
        | Code::CodeContextNotFound => (StatusCode::NOT_FOUND, "not_found"),
        // A name that no registry gave an image for is unknown, for whatever reason.
        Code::ImageNotFound | Code::TemplateNotFound | Code::ImagePullFailed => {
            (StatusCode::NOT_FOUND, "image_not_found")
        }
        Code::FileNotFound | Code::ParentNotFound => (StatusCode::NOT_FOUND, "file_not_found"),
        Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        Code::SandboxNotRunning => (StatusCode::CONFLICT, "not_ready"),
        // A 403 would read as a bad key.
        Code::NotAFile
        | Code::NotADirectory
        | Code::FileExists
        | Code::DirectoryNotEmpty
        | Code::FileAccessDenied => (StatusCode::CONFLICT, "not_a_file"),
        Code::IdempotencyConflict
        | Code::AlreadyExists
        | Code::InUse
        | Code::ObjectNotSealed
        | Code::ObjectSealed
        | Code::CommandEnded
        | Code::StdinNotOpen
        | Code::PortNotListening => (StatusCode::CONFLICT, "conflict"),
        Code::SandboxGone
        | Code::SandboxFailed
        | Code::PreviewGone
        | Code::ObjectGone
        | Code::AxonDeleted
        | Code::OutputGone => (StatusCode::GONE, "sandbox_gone"),
        Code::BodyTooLarge | Code::FileTooLarge | Code::DiskFull => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
        }
        Code::QuotaExceeded | Code::RateLimited => {
            (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded")
        }
        Code::Unsupported => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
        Code::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        Code::GuestUnavailable
        | Code::SecretsLocked
        | Code::Unavailable
        | Code::PreviewUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status_and_a_word() {
        for code in Code::ALL {
            let (status, word) = public(*code);
            assert!(status.as_u16() >= 400, "{code}");
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
    }

    #[test]
    fn a_status_of_the_http_edge_is_kept() {
        let slow = || Error::new(Code::Timeout, "too slow");
        for status in [StatusCode::REQUEST_TIMEOUT, StatusCode::URI_TOO_LONG] {
            let edge = Failure::from(slow()).with_status(status);
            assert_eq!(render(&edge, "req_0").status(), status);
        }
        let ours = render(&Failure::from(slow()), "req_0");
        assert_eq!(ours.status(), StatusCode::GATEWAY_TIMEOUT);
    }

    #[test]
    fn a_quota_says_when_to_come_back() {
        for (after, told) in [(None, "1"), (Some(7), "7")] {
            let mut error = Error::new(Code::QuotaExceeded, "full");
            if let Some(seconds) = after {
                error = error.retry_after(std::time::Duration::from_secs(seconds));
            }
            let response = render(&Failure::from(error), "req_0");
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[RETRY_AFTER], told);
        }
    }

    #[test]
    fn a_refused_file_is_no_bad_key() {
        for code in Code::ALL {
            let (status, _) = public(*code);
            let about_keys = matches!(
                code,
                Code::Unauthenticated
                    | Code::PermissionDenied
                    | Code::LinkInvalid
                    | Code::LinkExpired
            );
            assert_eq!(matches!(status.as_u16(), 401 | 403), about_keys, "{code}");
        }
    }
}
