//! Whether a sandbox is in use, and since when it is not.
//!
//! The owner retires an idle sandbox under the same lock under which work begins, so no work begins
//! in a sandbox that is about to be ended for idleness.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pinfold_model::Time;

use crate::clock::{Clock, later};

/// The use of one sandbox.
#[derive(Clone)]
pub(crate) struct Activity {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

struct State {
    in_use: usize,
    /// When the last use ended.
    last: Time,
    retired: bool,
}

/// One use; ends when it is dropped.
pub(crate) struct Use {
    activity: Activity,
}

impl Activity {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            in_use: 0,
            last: clock.now(),
            retired: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            clock,
        }
    }

    /// Begins a use; `None` when the sandbox has been retired.
    pub(crate) fn begin(&self) -> Option<Use> {
        let state = self.state();
        (!state.retired).then(|| self.one_more(state))
    }

    /// Begins a use whether it has been retired or not.
    pub(crate) fn begin_last(&self) -> Use {
        self.one_more(self.state())
    }

    fn one_more(&self, mut state: MutexGuard<'_, State>) -> Use {
        state.in_use += 1;
        Use {
            activity: self.clone(),
        }
    }

    /// When it was last in use: now, while it is.
    pub(crate) fn last(&self) -> Time {
        let state = self.state();
        if state.in_use > 0 {
            return self.clock.now();
        }
        state.last
    }

    /// The earliest time at which it can have been idle for `timeout`.
    pub(crate) fn deadline(&self, timeout: Duration) -> Time {
        later(self.last(), timeout)
    }

    /// Closes the sandbox to new work if it has been idle for `timeout`.
    pub(crate) fn retire(&self, timeout: Duration) -> bool {
        let mut state = self.state();
        let idle = state.in_use == 0 && later(state.last, timeout) <= self.clock.now();
        state.retired |= idle;
        idle
    }

    /// Closes the sandbox to new work, idle or not.
    pub(crate) fn close(&self) {
        self.state().retired = true;
    }

    /// Opens it again; counts as a use.
    pub(crate) fn revive(&self) {
        let mut state = self.state();
        state.retired = false;
        state.last = self.clock.now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let now = self.activity.clock.now();
        let mut state = self.activity.state();
        state.in_use -= 1;
        state.last = state.last.max(now);
    }
}

impl std::fmt::Debug for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Use")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands still until told otherwise.
    struct Still(Mutex<Time>);

    #[async_trait::async_trait]
    impl Clock for Still {
        fn now(&self) -> Time {
            *self.0.lock().expect("test")
        }
        async fn sleep_until(&self, _: Time) {
            std::future::pending().await
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn forward(clock: &Still, by: Duration) {
        let mut now = clock.0.lock().expect("test");
        *now = later(*now, by);
    }

    #[test]
    fn a_sandbox_in_use_is_never_retired() {
        let clock = Arc::new(Still(Mutex::new(Time::UNIX_EPOCH)));
        let activity = Activity::new(clock.clone());
        let work = activity.begin().expect("not retired");
        forward(&clock, MINUTE * 10);
        assert!(!activity.retire(MINUTE));
        drop(work);
        assert!(!activity.retire(MINUTE), "its use has only just ended");
        forward(&clock, MINUTE);
        assert!(activity.retire(MINUTE));
        assert!(activity.begin().is_none());
        activity.revive();
        assert!(activity.begin().is_some());
    }
}
