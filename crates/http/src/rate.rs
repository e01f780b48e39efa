//! Rate limits: how often a key may ask, and how often an address may ask without a valid one.
//!
//! Off unless a composition root puts [`RateLimits`] around its router as an extension; then every
//! facade below honours them. Each key and each address has a bucket of its own, so that one busy
//! caller takes nothing from another, and a wrong key costs its address only: valid ones pass.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use pinfold_model::{Code, Error, KeyId, Principal};

/// Buckets of each kind. Full ones are dropped at this number; where that makes no room, all share
/// one until it does.
const BUCKETS_MAX: usize = 10_000;
/// Full buckets are looked for no more often: that reads all of them, and whoever has many addresses
/// could have it done with each request.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// So many requests in a time on average, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    period: Duration,
    burst: NonZeroU32,
}

/// `N/s`, `N/m` or `N/h`, and `,BURST` where that is not N: `50/s`, `600/m,20`.
impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, burst) = match text.split_once(',') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let wrong =
            || format!("{text:?} is no rate: give N/s, N/m or N/h, and ,BURST where that is not N");
        let (count, unit) = rate.split_once('/').ok_or_else(wrong)?;
        let count: NonZeroU32 = count.trim().parse().map_err(|_| wrong())?;
        let unit = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        let burst = match burst {
            Some(burst) => burst.trim().parse().map_err(|_| wrong())?,
            None => count,
        };
        let period = unit / count.get();
        if period.is_zero() {
            return Err(wrong());
        }
        Ok(Self { period, burst })
    }
}

impl Rate {
    fn quota(self) -> Quota {
        Quota::with_period(self.period)
            .expect("a rate's period is not zero")
            .allow_burst(self.burst)
    }
}

/// Cheap to clone; clones share their buckets.
#[derive(Debug, Clone)]
pub struct RateLimits {
    keys: Arc<Buckets<KeyId>>,
    addresses: Arc<Buckets<IpAddr>>,
}

impl RateLimits {
    /// The same rate for each key's requests and for each address's failed attempts.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            keys: Arc::new(Buckets::new(rate, DefaultClock::default())),
            addresses: Arc::new(Buckets::new(rate, DefaultClock::default())),
        }
    }

    /// Counts a request of this caller. The process itself is not limited.
    ///
    /// # Errors
    /// `rate_limited` where its key sent more than it may.
    pub fn admit(&self, caller: &Principal) -> Result<(), Error> {
        let Some(key) = &caller.key else {
            return Ok(());
        };
        self.keys
            .take(key.clone())
            .map_err(|wait| limited("key", "this key sends more requests than allowed", wait))
    }

    /// Counts an attempt without a valid key.
    pub(crate) fn admit_failure(&self, address: IpAddr) -> Result<(), Error> {
        self.addresses
            .take(network(address))
            .map_err(|wait| limited("address", "too many attempts without a valid key", wait))
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn limited(by: &'static str, words: &str, wait: Duration) -> Error {
    metrics::counter!("pinfold_http_rate_limited_total", "by" => by).increment(1);
    let text = format!("{words}; go on after the time in the header retry-after");
    Error::new(Code::RateLimited, text)
        .detail("by", by)
        .retry_after(wait)
}

/// `None` is the bucket of those for whom there was no room.
type Limiter<K, C> = RateLimiter<
    Option<K>,
    DefaultKeyedStateStore<Option<K>>,
    C,
    NoOpMiddleware<<C as Clock>::Instant>,
>;

#[derive(Debug)]
struct Buckets<K: std::hash::Hash + Eq + Clone, C: Clock = DefaultClock> {
    limiter: Limiter<K, C>,
    clock: C,
    swept: Mutex<Option<C::Instant>>,
}

impl<K: std::hash::Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    fn new(rate: Rate, clock: C) -> Self {
        Self {
            limiter: RateLimiter::dashmap_with_clock(rate.quota(), clock.clone()),
            clock,
            swept: Mutex::default(),
        }
    }

    /// How long to wait where the bucket is empty.
    fn take(&self, key: K) -> Result<(), Duration> {
        if self.limiter.len() >= BUCKETS_MAX && self.sweep_is_due() {
            self.limiter.retain_recent();
        }
        let key = (self.limiter.len() < BUCKETS_MAX).then_some(key);
        self.limiter
            .check_key(&key)
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Says so to one caller in [`SWEEP_EVERY`].
    fn sweep_is_due(&self) -> bool {
        let now = self.clock.now();
        let mut swept = self.swept.lock().expect("no panic under this lock");
        let due = swept.is_none_or(|then| now.duration_since(then) >= SWEEP_EVERY.into());
        if due {
            *swept = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    #[test]
    fn rates_have_a_unit_and_may_have_a_burst() {
        let rate = |text: &str| text.parse::<Rate>();
        let second = rate("50/s").expect("valid");
        assert_eq!(second.period, Duration::from_millis(20));
        assert_eq!(second.burst.get(), 50);
        assert_eq!(rate("600/m,5").expect("valid").burst.get(), 5);
        assert_eq!(
            rate("600/m").expect("valid").period,
            Duration::from_millis(100)
        );
        for bad in [
            "", "50", "0/s", "-1/s", "5/d", "5/s,0", "5/s,x", "x/s", "1.5/s",
        ] {
            assert!(rate(bad).is_err(), "{bad:?}");
        }
    }

    fn buckets<K: std::hash::Hash + Eq + Clone>(
        rate: &str,
    ) -> (Buckets<K, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (
            Buckets::new(rate.parse().expect("valid"), clock.clone()),
            clock,
        )
    }

    #[test]
    fn each_has_a_bucket_and_an_empty_one_says_how_long() {
        let (buckets, _) = buckets("2/h");
        assert!(buckets.take("a").is_ok() && buckets.take("a").is_ok());
        let wait = buckets.take("a").expect_err("empty");
        assert!(
            wait > Duration::from_secs(1500) && wait <= Duration::from_secs(1800),
            "{wait:?}"
        );
        assert!(buckets.take("b").is_ok());
    }

    #[test]
    fn memory_is_bounded_and_newcomers_share_what_is_left() {
        let (buckets, _) = buckets("1/h");
        for n in 0..BUCKETS_MAX {
            buckets.take(n).expect("its first");
        }
        buckets
            .take(BUCKETS_MAX)
            .expect("the first of the shared bucket");
        buckets.take(BUCKETS_MAX + 1).expect_err("the second");
        assert!(buckets.limiter.len() <= BUCKETS_MAX + 1);
    }

    #[test]
    fn a_crowd_of_addresses_has_the_buckets_looked_through_once_a_second() {
        let (buckets, clock) = buckets("10/s,1");
        for n in 0..BUCKETS_MAX {
            buckets.take(n).expect("its first");
        }
        buckets.take(BUCKETS_MAX).expect("looked through, no room");
        // All are full again. Each of these would find that out, had it been a second.
        clock.advance(SWEEP_EVERY / 2);
        buckets.take(BUCKETS_MAX + 1).expect("the shared bucket");
        buckets.take(BUCKETS_MAX + 2).expect_err("the shared one");
        assert!(buckets.limiter.len() > BUCKETS_MAX);
        clock.advance(SWEEP_EVERY / 2);
        buckets.take(BUCKETS_MAX + 3).expect("its own");
        buckets.take(BUCKETS_MAX + 4).expect("its own");
        assert_eq!(buckets.limiter.len(), 2, "the full ones have gone");
    }

    #[test]
    fn a_network_of_addresses_counts_as_one() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    }
}
