//! When a request is tried again, and after how long. Pure, save for the jitter's dice.

use std::time::Duration;

use pinfold_wire::ErrorCode;

use crate::error::{ApiError, Error};

/// Tries of one request, the first included.
pub(crate) const TRIES: u32 = 4;
/// The same for requests that wait for a command: enough to outlast the restart of a server.
pub(crate) const TRIES_WAITING: u32 = 12;
const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(5);
/// A server that asks for a longer pause gets its error reported instead.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Whether repeating a request can do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safety {
    /// Doing it twice is doing it once.
    Repeatable,
    /// Only if it certainly had no effect: no connection was made, or Pinfold says so itself.
    Once,
}

/// The pause before try number `tries` + 1 of `max`, or `None` to give up.
pub(crate) fn pause(error: &Error, safety: Safety, tries: u32, max: u32) -> Option<Duration> {
    if tries >= max {
        return None;
    }
    match error {
        Error::Connect { .. } => Some(jittered(tries)),
        Error::Api(api) if not_taken_on(api) => asked_pause(api, tries),
        _ if safety == Safety::Once => None,
        Error::Api(api) if may_pass(api) => asked_pause(api, tries),
        Error::Broken { .. } | Error::Timeout { .. } => Some(jittered(tries)),
        _ => None,
    }
}

/// Whether Pinfold itself says that nothing was done and when to come back. A proxy's word does not
/// count: behind a 502, 503 or 504 of its own the request may have had its effect.
fn not_taken_on(error: &ApiError) -> bool {
    // These codes come out of Pinfold's own error body only.
    let refused = matches!(error.code, ErrorCode::RateLimited | ErrorCode::Unavailable);
    refused && error.retry_after.is_some()
}

/// Whether time alone may help: busy, or lost behind a proxy. A full quota is not emptied by it.
fn may_pass(error: &ApiError) -> bool {
    match error.code {
        ErrorCode::RateLimited | ErrorCode::Unavailable => true,
        ErrorCode::Unknown => matches!(error.status, 429 | 502 | 503 | 504),
        _ => false,
    }
}

/// The server's own pause, or ours where it names none; `None` where its is too long.
fn asked_pause(error: &ApiError, tries: u32) -> Option<Duration> {
    match error.retry_after {
        Some(after) if after > RETRY_AFTER_MAX => None,
        Some(after) => Some(after + jittered(0)),
        None => Some(jittered(tries)),
    }
}

/// Full jitter: anything from nothing to the exponential bound, so that clients spread out.
pub(crate) fn jittered(tries: u32) -> Duration {
    let bound = bound(tries);
    bound.mul_f64(rand::random_range(0.0..1.0))
}

fn bound(tries: u32) -> Duration {
    BASE.saturating_mul(2u32.saturating_pow(tries)).min(CAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: ErrorCode, retry_after: Option<Duration>) -> Error {
        Error::Api(Box::new(ApiError {
            status: 503,
            code,
            code_text: code.to_string(),
            message: String::new(),
            details: serde_json::Map::new(),
            request_id: String::new(),
            retry_after,
        }))
    }

    #[test]
    fn tries_are_bounded_and_pauses_capped() {
        let busy = api(ErrorCode::Unavailable, None);
        assert!(pause(&busy, Safety::Repeatable, TRIES, TRIES).is_none());
        for tries in 1..TRIES {
            let pause = pause(&busy, Safety::Repeatable, tries, TRIES).expect("another try");
            assert!(pause <= CAP);
        }
        assert_eq!(bound(40), CAP);
    }

    #[test]
    fn what_may_have_had_an_effect_is_not_repeated() {
        let timeout = Error::Timeout {
            url: String::new(),
            after: CAP,
        };
        assert!(pause(&timeout, Safety::Once, 1, TRIES).is_none());
        assert!(pause(&timeout, Safety::Repeatable, 1, TRIES).is_some());
    }

    #[test]
    fn a_proxys_answer_says_nothing_about_the_effect() {
        let asked = Some(Duration::from_secs(1));
        let proxys = api(ErrorCode::Unknown, asked);
        assert!(pause(&proxys, Safety::Once, 1, TRIES).is_none());
        assert!(pause(&proxys, Safety::Repeatable, 1, TRIES).is_some());
        for code in [ErrorCode::RateLimited, ErrorCode::Unavailable] {
            assert!(pause(&api(code, asked), Safety::Once, 1, TRIES).is_some());
            assert!(pause(&api(code, None), Safety::Once, 1, TRIES).is_none());
        }
    }

    #[test]
    fn the_servers_own_pause_is_honoured_within_reason() {
        let soon = api(ErrorCode::RateLimited, Some(Duration::from_secs(2)));
        assert!(pause(&soon, Safety::Once, 1, TRIES).expect("a try") >= Duration::from_secs(2));
        let late = api(ErrorCode::RateLimited, Some(Duration::from_secs(3600)));
        assert!(pause(&late, Safety::Repeatable, 1, TRIES).is_none());
    }

    #[test]
    fn refusals_are_final() {
        for code in [ErrorCode::QuotaExceeded, ErrorCode::SandboxNotFound] {
            assert!(pause(&api(code, None), Safety::Repeatable, 1, TRIES).is_none());
        }
    }
}
