//! Secrets: values that go in and never come out; sandboxes name them in their credentials.

use futures::Stream;
use pinfold_wire::{Page, PageQuery, PutSecret, Secret};
use reqwest::Method;

use crate::client::Client;
use crate::error::Result;
use crate::pages;

#[derive(Debug, Clone)]
pub struct Secrets {
    client: Client,
}

impl Secrets {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes a secret, or gives it a new value, which the next request of a sandbox gets.
    pub async fn set(&self, name: &str, value: impl Into<String>) -> Result<Secret> {
        let request = PutSecret {
            value: value.into(),
        };
        let call = self.client.call(Method::PUT, &["secrets", name]);
        self.client.fetch(call.json(&request)?).await
    }

    /// What is known of one beside its value.
    pub async fn get(&self, name: &str) -> Result<Secret> {
        let call = self.client.get(&["secrets", name]);
        self.client.fetch(call).await
    }

    /// One page, newest first.
    pub async fn list(&self, query: &PageQuery) -> Result<Page<Secret>> {
        let call = self.client.get(&["secrets"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Every secret, page after page.
    pub fn all(&self) -> impl Stream<Item = Result<Secret>> + Send + use<> {
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

    /// Deletes it for good: requests that should have had it are refused from now on.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let call = self.client.call(Method::DELETE, &["secrets", name]);
        self.client.done(call.once()).await
    }
}
