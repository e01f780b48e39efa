//! Long polls, and pages that are filtered here: what several kinds of things need.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pinfold_engine::{Cursor, Page, PageRequest};
use pinfold_http::Failure;
use pinfold_model::{Error, Result as Outcome, limits};

use super::errors::Refused;

const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 5000;
/// Rows looked at for one page whose filter few of them pass.
const LOOKED_AT_MAX: usize = 50_000;

/// What names a request whose repetition makes nothing: the SDKs send it with everything but GET,
/// and the same again with each of their own retries.
pub(super) struct RequestKey(pub(super) Option<String>);

impl<S: Sync> FromRequestParts<S> for RequestKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let sent = parts.headers.get("x-request-id");
        let text = sent
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let usable = (1..=limits::IDEMPOTENCY_KEY_MAX_CHARS).contains(&text.len());
        Ok(Self(usable.then(|| text.to_owned())))
    }
}

/// Whether the SDK asks once more, since no answer has reached it: what is there by now is the answer.
pub(super) struct Again(pub(super) bool);

impl<S: Sync> FromRequestParts<S> for Again {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let count = parts.headers.get("x-stainless-retry-count");
        let count = count.and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
        Ok(Self(count.is_some_and(|count| count > 0)))
    }
}

/// Seconds of a request, fractions included, up to `max`.
pub(super) fn patience(
    seconds: Option<f64>,
    default: Duration,
    max: Duration,
) -> Result<Duration, Refused> {
    let Some(seconds) = seconds else {
        return Ok(default);
    };
    let wanted = Duration::try_from_secs_f64(seconds);
    let wanted = wanted.map_err(|error| Refused::invalid("timeout_seconds", error))?;
    Ok(wanted.min(max))
}

/// How many items a page has at most.
pub(super) fn limit(wanted: Option<i64>) -> Result<usize, Refused> {
    match wanted.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit as usize),
        _ => Err(Refused::invalid(
            "limit",
            format_args!("must be from 1 to {LIMIT_MAX}"),
        )),
    }
}

/// One page of the vendor's out of pages of the engine's, newest first, and filtered here.
pub(super) struct Pages<T> {
    limit: usize,
    after: Option<Cursor>,
    items: Vec<T>,
    looked_at: usize,
    over: bool,
}

impl<T> Pages<T> {
    pub(super) fn new(wanted: Option<i64>, after: Option<Cursor>) -> Result<Self, Refused> {
        Ok(Self {
            limit: limit(wanted)?,
            after,
            items: Vec::new(),
            looked_at: 0,
            over: false,
        })
    }

    /// What to ask for next; `None` when there is enough, or no more.
    pub(super) fn wanted(&self) -> Option<PageRequest> {
        let missing = (self.limit + 1).saturating_sub(self.items.len());
        let request = PageRequest::new(u32::try_from(missing).ok()?, self.after.clone());
        (!self.over && missing > 0).then_some(request)
    }

    pub(super) fn take(&mut self, found: Page<T>, keep: impl Fn(&T) -> bool) -> Outcome<()> {
        self.looked_at += found.items.len();
        self.items.extend(found.items.into_iter().filter(keep));
        self.after = found.next;
        self.over = self.after.is_none();
        if self.looked_at > LOOKED_AT_MAX && self.items.len() <= self.limit && !self.over {
            let text = "too few of too many match; ask for something else";
            return Err(Error::invalid("query", text));
        }
        Ok(())
    }

    /// The items, and whether there are more behind them.
    pub(super) fn finish(mut self) -> (Vec<T>, bool) {
        let more = self.items.len() > self.limit;
        self.items.truncate(self.limit);
        (self.items, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::Time;

    #[test]
    fn a_page_is_filled_from_several_and_knows_whether_more_follow() {
        let even = |limit: i64| {
            let mut pages = Pages::new(Some(limit), None).expect("in bounds");
            let mut from = 0_u32;
            while let Some(request) = pages.wanted() {
                let items: Vec<u32> = (from..10).take(request.limit() as usize).collect();
                from += items.len() as u32;
                let last = Cursor::new(Time::UNIX_EPOCH, format!("n{from}"));
                let next = (from < 10).then_some(last);
                pages
                    .take(Page { items, next }, |n| n % 2 == 0)
                    .expect("few");
            }
            pages.finish()
        };
        assert_eq!(even(2), (vec![0, 2], true));
        assert_eq!(even(4), (vec![0, 2, 4, 6], true));
        assert_eq!(even(5), (vec![0, 2, 4, 6, 8], false));
    }

    #[test]
    fn pages_have_a_default_and_bounds() {
        let limit = |wanted| limit(wanted).map_err(drop);
        assert_eq!(limit(None), Ok(20));
        assert_eq!((limit(Some(1)), limit(Some(5000))), (Ok(1), Ok(5000)));
        for outside in [0, -1, 5001, i64::MAX] {
            assert_eq!(limit(Some(outside)), Err(()), "{outside}");
        }
    }

    #[test]
    fn waits_have_a_default_and_a_bound() {
        let (default, max) = (Duration::from_secs(10), Duration::from_secs(30));
        let wait = |seconds| patience(seconds, default, max).map_err(drop);
        assert_eq!(wait(None), Ok(default));
        assert_eq!(wait(Some(1.5)), Ok(Duration::from_millis(1500)));
        assert_eq!(wait(Some(1e9)), Ok(max));
        assert_eq!(wait(Some(-1.0)), Err(()));
        assert_eq!(wait(Some(f64::NAN)), Err(()));
    }
}
