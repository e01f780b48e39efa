//! Things that are due at some time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A command's own timeout, by its serial.
    CommandTimeout(u32),
    /// Another pass over a tree that is being killed, with the passes left after it.
    Sweep {
        command: u32,
        left: u32,
    },
    /// Another look at the gate of a command, by its serial.
    Gate(u32),
    /// A second look at a terminal that nobody had open.
    Terminal(u32),
    Dial(u32),
    /// A link that has not said Hello.
    Hello(u32),
    /// Hosts may be accepted again.
    Accept,
    /// A worker has had its time, by its pid and serial.
    Worker {
        pid: u32,
        serial: u32,
    },
    /// Everything that is still alive is killed.
    ShutdownKill,
}

/// Names one timer, for taking it back.
pub(crate) type Key = (Instant, u64);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<Key, Due>,
    serial: u64,
}

impl Timers {
    pub(crate) fn add(&mut self, after: Duration, due: Due) -> Key {
        let now = Instant::now();
        // A time too far away for the clock is as good as a year.
        let at = now
            .checked_add(after)
            .unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        self.serial += 1;
        self.queue.insert((at, self.serial), due);
        (at, self.serial)
    }

    pub(crate) fn remove(&mut self, key: Key) {
        self.queue.remove(&key);
    }

    /// How long until the next one.
    pub(crate) fn next(&self) -> Option<Duration> {
        let ((at, _), _) = self.queue.first_key_value()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn take_due(&mut self) -> Option<Due> {
        let entry = self.queue.first_entry()?;
        (entry.key().0 <= Instant::now()).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_order_and_can_be_taken_back() {
        let mut timers = Timers::default();
        timers.add(Duration::ZERO, Due::Dial(1));
        let gone = timers.add(Duration::ZERO, Due::Dial(2));
        timers.add(Duration::ZERO, Due::Dial(3));
        timers.add(Duration::MAX, Due::Dial(4));
        timers.remove(gone);
        assert_eq!(timers.take_due(), Some(Due::Dial(1)));
        assert_eq!(timers.take_due(), Some(Due::Dial(3)));
        assert_eq!(timers.take_due(), None);
        assert!(timers.next().expect("one left") > Duration::from_secs(3600));
    }
}
