//! Waiting before something is tried again.

use std::time::Duration;

/// Before the second attempt; before each further one that much longer, up to the last.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// How long the last pause was.
#[derive(Debug, Default)]
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) async fn next(&mut self) {
        self.0 = (self.0 + FIRST).min(LONGEST);
        tokio::time::sleep(self.0).await;
    }
}
