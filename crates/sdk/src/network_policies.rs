//! Network policies: rules with a name, which sandboxes follow also when they change.

use futures::Stream;
use pinfold_wire::{CreateNetworkPolicy, NamedNetworkPolicy, Page, PageQuery, UpdateNetworkPolicy};
use reqwest::Method;

use crate::client::Client;
use crate::error::Result;
use crate::pages;

#[derive(Debug, Clone)]
pub struct NetworkPolicies {
    client: Client,
}

impl NetworkPolicies {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes one. Tried again where that is safe, under an idempotency key of its own.
    pub async fn create(&self, request: &CreateNetworkPolicy) -> Result<NamedNetworkPolicy> {
        let call = self.client.call(Method::POST, &["network-policies"]);
        self.client.fetch(call.json(request)?.named(None)).await
    }

    pub async fn get(&self, id: &str) -> Result<NamedNetworkPolicy> {
        let call = self.client.get(&["network-policies", id]);
        self.client.fetch(call).await
    }

    /// One page, newest first.
    pub async fn list(&self, query: &PageQuery) -> Result<Page<NamedNetworkPolicy>> {
        let call = self.client.get(&["network-policies"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Every policy, page after page.
    pub fn all(&self) -> impl Stream<Item = Result<NamedNetworkPolicy>> + Send + use<> {
        let this = self.clone();
        pages::all(move |cursor| {
            let this = this.clone();
            let query = PageQuery {
                limit: None,
                cursor,
            };
            async move { this.list(&query).await }
        })
    }

    /// Changes it; when this returns, every sandbox that follows it obeys.
    pub async fn update(
        &self,
        id: &str,
        change: &UpdateNetworkPolicy,
    ) -> Result<NamedNetworkPolicy> {
        let call = self.client.call(Method::PATCH, &["network-policies", id]);
        self.client.fetch(call.json(change)?).await
    }

    /// Deletes it for good; a conflict while a sandbox that has not ended follows it.
    pub async fn delete(&self, id: &str) -> Result<()> {
        let call = self.client.call(Method::DELETE, &["network-policies", id]);
        self.client.done(call.once()).await
    }
}
