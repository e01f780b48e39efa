//! Time as the engine sees it: the test seam for lifetimes, idle timeouts, expiry and metering.

use std::time::Duration;

use async_trait::async_trait;
use pinfold_model::Time;

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Time;

    /// Returns at or soon after `at`; at once where that has passed.
    async fn sleep_until(&self, at: Time);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A wall clock may be set while we sleep, so no sleep is longer than this before looking again.
const LONGEST_NAP: Duration = Duration::from_secs(60);

#[async_trait]
impl Clock for SystemClock {
    /// To the microsecond, as times are stored, so that a time survives the store unchanged.
    fn now(&self) -> Time {
        let now = Time::now();
        Time::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    async fn sleep_until(&self, at: Time) {
        loop {
            let left = until(self.now(), at);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST_NAP)).await;
        }
    }
}

/// From `from` to `to`; zero where `to` is not later.
pub(crate) fn until(from: Time, to: Time) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// `at` moved by `by`, at most to the end of representable time.
pub(crate) fn later(at: Time, by: Duration) -> Time {
    at.checked_add(by).unwrap_or(Time::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_have_passed_leave_nothing_to_wait_for() {
        let early = Time::UNIX_EPOCH;
        let late = later(early, Duration::from_secs(5));
        assert_eq!(until(early, late), Duration::from_secs(5));
        assert_eq!(until(late, early), Duration::ZERO);
        assert_eq!(later(late, Duration::MAX), Time::MAX);
    }
}
