//! Runloop's errors: the status decides the class in its SDKs, the body is `{"code", "message"}`.
//!
//! The SDKs try again after 408, 409, 429 and every 5xx, five times unless told otherwise by
//! `x-should-retry`: what another try cannot heal says so.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use pinfold_http::{Facade, Failure, Json, route_not_found};
use pinfold_model::{Code, Error, SandboxState};
use serde_json::{Value, json};

pub(super) const FACADE: Facade = Facade {
    name: "runloop",
    render,
    elsewhere: &[],
};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Resources of the vendor that this server does not have (see `coverage.md`).
const ABSENT: [&str; 11] = [
    "account",
    "accounts",
    "agents",
    "benchmark_jobs",
    "benchmark_runs",
    "benchmarks",
    "blueprints/create_from_inspection",
    "repositories",
    "scenarios",
    "devboxes/browsers",
    "devboxes/computers",
];

/// The status for one of our codes. Total: a new code does not compile until it has one.
pub(super) const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument
        | Code::SqlFailed
        | Code::UnsupportedMediaType
        | Code::RangeNotSatisfiable
        | Code::UserNotFound
        | Code::UnsupportedCodeLanguage
        | Code::InvalidImage
        | Code::PathOutside
        | Code::NotAFile
        | Code::NotADirectory
        | Code::SandboxNotRunning
        | Code::SandboxGone
        | Code::SandboxFailed
        | Code::ObjectGone
        | Code::ObjectNotSealed
        | Code::CommandEnded
        | Code::StdinNotOpen
        | Code::DiskFull
        | Code::PortNotListening => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied | Code::FileAccessDenied | Code::LinkInvalid | Code::LinkExpired => {
            StatusCode::FORBIDDEN
        }
        Code::RouteNotFound
        | Code::SandboxNotFound
        | Code::CommandNotFound
        | Code::CodeContextNotFound
        | Code::SessionNotFound
        | Code::ImageNotFound
        | Code::TemplateNotFound
        | Code::SecretNotFound
        | Code::ProjectNotFound
        | Code::KeyNotFound
        | Code::RunNotFound
        | Code::BuildNotFound
        | Code::SshKeyNotFound
        | Code::NetworkPolicyNotFound
        | Code::AxonNotFound
        | Code::AxonDeleted
        | Code::GatewayNotFound
        | Code::ObjectNotFound
        | Code::PreviewNotFound
        | Code::PreviewGone
        | Code::FileNotFound
        | Code::ParentNotFound
        | Code::OutputGone => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::IdempotencyConflict
        | Code::AlreadyExists
        | Code::FileExists
        | Code::DirectoryNotEmpty
        | Code::InUse
        | Code::ObjectSealed => StatusCode::CONFLICT,
        Code::FileTooLarge | Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::QuotaExceeded | Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Code::PreviewUnavailable => StatusCode::BAD_GATEWAY,
        Code::Timeout | Code::GuestUnavailable => StatusCode::GATEWAY_TIMEOUT,
        Code::ImagePullFailed | Code::SecretsLocked | Code::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whether a client that tries again by itself does so in vain.
const fn is_in_vain(code: Code) -> bool {
    matches!(
        code,
        Code::IdempotencyConflict
            | Code::AlreadyExists
            | Code::FileExists
            | Code::DirectoryNotEmpty
            | Code::InUse
            | Code::ObjectSealed
            | Code::QuotaExceeded
            | Code::Unsupported
            | Code::SecretsLocked
    )
}

/// How a handler fails: as the engine or the HTTP edge did, or in the vendor's own terms.
#[derive(Debug)]
pub(super) enum Refused {
    Failure(Failure),
    Vendor(StatusCode, Retry, String),
}

/// What a client that tries again by itself is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// As it does anyway.
    Usual,
    Never,
}

impl Refused {
    pub(super) fn invalid(field: &str, why: impl std::fmt::Display) -> Self {
        Self::bad(format!("{field}: {why}"))
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::Vendor(StatusCode::BAD_REQUEST, Retry::Usual, message.into())
    }

    /// What is behind an id that is none of ours.
    pub(super) fn no(what: &str, id: &str) -> Self {
        let text = format!("no {what} {id:?}");
        Self::Vendor(StatusCode::NOT_FOUND, Retry::Usual, text)
    }

    /// Something of the vendor's that this server has not.
    pub(super) fn absent(what: &str) -> Self {
        let text = format!("{what}: this server does not offer it");
        Self::Vendor(StatusCode::NOT_IMPLEMENTED, Retry::Never, text)
    }

    /// The same, where something else does.
    pub(super) fn absent_but(what: &str, instead: &str) -> Self {
        let text = format!("{what}: this server does not offer it; {instead}");
        Self::Vendor(StatusCode::NOT_IMPLEMENTED, Retry::Never, text)
    }

    /// A wait whose time is over.
    pub(super) fn late(retry: Retry, message: impl Into<String>) -> Self {
        Self::Vendor(StatusCode::REQUEST_TIMEOUT, retry, message.into())
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
            Self::Vendor(status, retry, message) => answer(status, retry, &message),
        }
    }
}

fn render(failure: &Failure, _request_id: &str) -> Response {
    let error = failure.error();
    // A status that the HTTP edge chose (405, 408, 414, 415) stays.
    let chosen = failure.status() != pinfold_http::status_of(error.kind());
    let status = match chosen {
        true => failure.status(),
        false => status_of(error.code()),
    };
    let retry = match is_in_vain(error.code()) {
        true => Retry::Never,
        false => Retry::Usual,
    };
    answer(status, retry, &words(error))
}

/// What our words for things and their states are in the vendor's.
fn words(error: &Error) -> Cow<'_, str> {
    let state = error.details().get("state").and_then(Value::as_str);
    let is = |wanted: SandboxState| state == Some(wanted.as_str());
    let text = match error.code() {
        Code::SandboxNotFound => return called(error, "sandbox sbx_", "devbox dbx_"),
        Code::BuildNotFound => return called(error, "build bld_", "blueprint bpt_"),
        Code::ImageNotFound => return called(error, "snapshot img_", "snapshot snp_"),
        Code::InUse => return called(error, "by sbx_", "by dbx_"),
        Code::SandboxNotRunning if is(SandboxState::Stopped) || is(SandboxState::Suspended) => {
            "the devbox is suspended; resume it first"
        }
        Code::SandboxNotRunning if is(SandboxState::Creating) => {
            "the devbox does not run yet; wait until it does"
        }
        Code::SandboxGone if is(SandboxState::Destroyed) => "the devbox has been shut down",
        Code::SandboxFailed if is(SandboxState::Failed) => {
            "the devbox has failed; its logs say why"
        }
        _ => error.message(),
    };
    Cow::Borrowed(text)
}

/// Ids are told as they were given.
fn called<'e>(error: &'e Error, ours: &str, theirs: &str) -> Cow<'e, str> {
    match error.message().contains(ours) {
        true => Cow::Owned(error.message().replace(ours, theirs)),
        false => Cow::Borrowed(error.message()),
    }
}

fn answer(status: StatusCode, retry: Retry, message: &str) -> Response {
    let body = Json(json!({ "code": status.as_u16(), "message": message }));
    let mut response = (status, body).into_response();
    if retry == Retry::Never {
        let never = HeaderValue::from_static("false");
        response.headers_mut().insert(SHOULD_RETRY, never);
    }
    response
}

/// The answer to what the vendor has and this server has not; to anything else there is no route.
pub(super) async fn not_offered(request: Request) -> Response {
    let path = request.uri().path();
    let path = path.split_once("/v1/").map_or("", |(_, rest)| rest);
    let below = |of: &str| {
        let rest = path.strip_prefix(of);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match ABSENT.iter().find(|of| below(of)) {
        Some(resource) => Refused::absent(resource).into_response(),
        None => route_not_found().await.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_and_faults_of_callers_stay_theirs() {
        for code in Code::ALL {
            let (status, ours) = (status_of(*code), pinfold_http::status_of(code.kind()));
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code}"
            );
            if ours.is_client_error() {
                assert!(status.is_client_error(), "{code}: {status} and {ours}");
            }
        }
    }

    #[test]
    fn states_are_told_in_the_vendors_words() {
        for (state, word) in [
            (SandboxState::Stopped, "resume"),
            (SandboxState::Suspended, "resume"),
            (SandboxState::Creating, "yet"),
            (SandboxState::Destroyed, "shut down"),
            (SandboxState::Failed, "logs"),
        ] {
            let error = state.require_running().expect_err("it does not run");
            let said = words(&error);
            assert!(said.contains(word) && !said.contains("sandbox"), "{said}");
        }
        assert_eq!(
            words(&Error::new(Code::SandboxGone, "as it is")),
            "as it is"
        );
    }

    #[test]
    fn things_are_told_by_the_ids_that_they_were_asked_for_by() {
        for (code, ours, theirs) in [
            (Code::SandboxNotFound, "no sandbox sbx_1", "no devbox dbx_1"),
            (Code::BuildNotFound, "no build bld_1", "no blueprint bpt_1"),
            (
                Code::ImageNotFound,
                "no snapshot img_1",
                "no snapshot snp_1",
            ),
            (Code::ImageNotFound, "no image \"x\"", "no image \"x\""),
            (
                Code::InUse,
                "np_1 is used by sbx_1",
                "np_1 is used by dbx_1",
            ),
        ] {
            assert_eq!(words(&Error::new(code, ours)), theirs);
        }
    }

    #[test]
    fn what_cannot_heal_is_not_tried_again() {
        let sealed = Failure::from(Error::new(Code::ObjectSealed, "twice"));
        let response = render(&sealed, "req_0");
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()[SHOULD_RETRY], "false");
        let busy = Failure::from(Error::new(Code::Unavailable, "later"));
        let response = render(&busy, "req_0");
        assert_eq!(response.status(), 503);
        assert!(!response.headers().contains_key(SHOULD_RETRY));
    }
}
