//! A clock that goes on only when a test says so.

use std::time::Duration;

use async_trait::async_trait;
use pinfold_engine::Clock;
use pinfold_model::Time;
use tokio::sync::watch;

pub(crate) struct ManualClock(watch::Sender<Time>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        let now = Time::from_microsecond(Time::now().as_microsecond()).expect("a time");
        Self(watch::Sender::new(now))
    }

    pub(crate) fn forward(&self, by: Duration) {
        self.0
            .send_modify(|now| *now = now.checked_add(by).expect("a time"));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Time {
        *self.0.borrow()
    }

    async fn sleep_until(&self, at: Time) {
        let mut now = self.0.subscribe();
        now.wait_for(|now| *now >= at)
            .await
            .expect("the clock lives");
    }
}
