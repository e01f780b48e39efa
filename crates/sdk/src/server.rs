//! Facts about the server and the caller.

use std::time::Duration;

use pinfold_wire::{Health, Isolation, WhoAmI};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// Answers where the server is ready; needs no valid key.
    pub async fn health(&self) -> Result<Health> {
        self.fetch(self.outside_v1("healthz")).await
    }

    /// The same for who asks whether a server is there at all: one try, over within `patience`.
    ///
    /// # Errors
    /// `Error::Connect` or `Error::Timeout` where none answers; nothing is tried again.
    pub async fn health_now(&self, patience: Duration) -> Result<Health> {
        let call = self.outside_v1("healthz").timeout(patience).unrepeated();
        self.fetch(call).await
    }

    /// What stands between a sandbox and its host.
    pub async fn isolation(&self) -> Result<Isolation> {
        self.fetch(self.get(&["isolation"])).await
    }

    /// Whose key this is.
    pub async fn whoami(&self) -> Result<WhoAmI> {
        self.fetch(self.get(&["whoami"])).await
    }
}
