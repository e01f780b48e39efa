//! Sandboxes.

use std::time::Duration;

use futures::Stream;
use pinfold_wire::{
    CreateSandbox, ExtendSandbox, Gauge, Image, ListSandboxes, Page, PutSandboxNetwork, Sandbox,
    SandboxNetwork, TakeSnapshot,
};

use crate::client::Client;
use crate::error::Result;
use crate::pages;
use crate::transport::milliseconds;

/// Booting can include unpacking an image.
const CREATE_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, Clone)]
pub struct Sandboxes {
    client: Client,
}

impl Sandboxes {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Creates a sandbox and, unless the request says otherwise, answers when it runs. Tried again
    /// where that is safe, under an idempotency key of its own.
    pub async fn create(&self, request: &CreateSandbox) -> Result<Sandbox> {
        self.create_named(request, None).await
    }

    /// The same under the caller's idempotency key, safe also across runs of the program.
    pub async fn create_named(
        &self,
        request: &CreateSandbox,
        idempotency_key: Option<&str>,
    ) -> Result<Sandbox> {
        let call = self.client.call(reqwest::Method::POST, &["sandboxes"]);
        let call = call.json(request)?.named(idempotency_key);
        self.client.fetch(call.timeout(CREATE_TIMEOUT)).await
    }

    pub async fn get(&self, id: &str) -> Result<Sandbox> {
        self.client.fetch(self.client.get(&["sandboxes", id])).await
    }

    /// One page, newest first.
    pub async fn list(&self, query: &ListSandboxes) -> Result<Page<Sandbox>> {
        let mut call = self.client.get(&["sandboxes"]).query(query)?;
        for (key, value) in &query.metadata {
            call = call.parameter(&format!("metadata.{key}"), value);
        }
        self.client.fetch(call).await
    }

    /// Every sandbox that the filters keep, page after page.
    pub fn all(&self, query: ListSandboxes) -> impl Stream<Item = Result<Sandbox>> + Send + use<> {
        let this = self.clone();
        pages::all(move |cursor| {
            let (this, mut query) = (this.clone(), query.clone());
            query.cursor = cursor;
            async move { this.list(&query).await }
        })
    }

    /// Ends it and removes everything of it. Repeating this is harmless.
    pub async fn destroy(&self, id: &str) -> Result<Sandbox> {
        let call = self
            .client
            .call(reqwest::Method::DELETE, &["sandboxes", id]);
        self.client.fetch(call).await
    }

    /// Freezes it: memory and processes kept, no CPU.
    pub async fn suspend(&self, id: &str) -> Result<Sandbox> {
        self.transition(id, "suspend").await
    }

    pub async fn resume(&self, id: &str) -> Result<Sandbox> {
        self.transition(id, "resume").await
    }

    /// Ends its processes and keeps its disk.
    pub async fn stop(&self, id: &str) -> Result<Sandbox> {
        self.transition(id, "stop").await
    }

    /// Boots a stopped one again.
    pub async fn start(&self, id: &str) -> Result<Sandbox> {
        self.transition(id, "start").await
    }

    async fn transition(&self, id: &str, verb: &str) -> Result<Sandbox> {
        let call = self.client.repeatable_post(&["sandboxes", id, verb]);
        self.client.fetch(call.timeout(CREATE_TIMEOUT)).await
    }

    /// Sets its absolute lifetime to `ttl` from now.
    pub async fn extend(&self, id: &str, ttl: Duration) -> Result<Sandbox> {
        let ttl_ms = milliseconds(ttl);
        let call = self.client.repeatable_post(&["sandboxes", id, "extend"]);
        self.client
            .fetch(call.json(&ExtendSandbox { ttl_ms })?)
            .await
    }

    /// What it may reach, and what became of its tries.
    pub async fn network(&self, id: &str) -> Result<SandboxNetwork> {
        self.client
            .fetch(self.client.get(&["sandboxes", id, "network"]))
            .await
    }

    /// Changes what it may reach, now: connections that are not allowed any more are cut.
    pub async fn set_network(
        &self,
        id: &str,
        request: &PutSandboxNetwork,
    ) -> Result<SandboxNetwork> {
        let call = self
            .client
            .call(reqwest::Method::PUT, &["sandboxes", id, "network"]);
        self.client.fetch(call.json(request)?).await
    }

    /// Keeps what it has on its disk as an image, which [`CreateSandbox::image`] can name. Not tried
    /// again: each one taken is another.
    pub async fn snapshot(&self, id: &str, request: &TakeSnapshot) -> Result<Image> {
        let segments = ["sandboxes", id, "snapshot"];
        let call = self.client.call(reqwest::Method::POST, &segments);
        self.client
            .fetch(call.json(request)?.timeout(CREATE_TIMEOUT))
            .await
    }

    /// What it uses at this moment.
    pub async fn usage(&self, id: &str) -> Result<Gauge> {
        let call = self.client.get(&["sandboxes", id, "usage"]);
        self.client.fetch(call).await
    }
}
