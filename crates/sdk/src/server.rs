//! Facts about the server and the caller.

use pinfold_wire::{Health, Isolation, WhoAmI};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// Answers where the server is ready; needs no valid key.
    pub async fn health(&self) -> Result<Health> {
        self.fetch(self.outside_v1("healthz")).await
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
