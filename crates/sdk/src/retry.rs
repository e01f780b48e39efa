//! When a request is tried again, and after how long. Pure, save for the jitter's dice.

use std::time::Duration;

use pinfold_wire::ErrorCode;

use crate::error::Error;

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
    /// Only if it certainly never reached the server.
    Once,
}

/// The pause before try number `tries` + 1 of `max`, or `None` to give up.
pub(crate) fn pause(error: &Error, safety: Safety, tries: u32, max: u32) -> Option<Duration> {
    if tries >= max {
        return None;
    }
    match error {
        Error::Connect { .. } => Some(jittered(tries)),
        Error::Api(api) if rejected_for_now(api.code, api.status) => match api.retry_after {
            Some(after) if after > RETRY_AFTER_MAX => None,
            Some(after) => Some(after + jittered(0)),
            None => (safety == Safety::Repeatable).then(|| jittered(tries)),
        },
        Error::Broken { .. } | Error::Timeout { .. } if safety == Safety::Repeatable => {
            Some(jittered(tries))
        }
        _ => None,
    }
}

/// Refused without effect (rate limit, too busy) or lost behind a proxy. A full quota is not: time
/// alone does not empty it.
fn rejected_for_now(code: ErrorCode, status: u16) -> bool {
    match code {
        ErrorCode::RateLimited | ErrorCode::Unavailable => true,
        ErrorCode::Unknown => matches!(status, 429 | 502 | 503 | 504),
        _ => false,
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
    use crate::error::ApiError;

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
