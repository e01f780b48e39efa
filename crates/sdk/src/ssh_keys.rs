//! Keys that open one sandbox over SSH.

use futures::Stream;
use pinfold_wire::{CreateSshKey, CreatedSshKey, Page, PageQuery, SshKey};
use reqwest::Method;

use crate::client::Client;
use crate::error::Result;
use crate::pages;

#[derive(Debug, Clone)]
pub struct SshKeys {
    client: Client,
}

impl SshKeys {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes a pair, or takes a public key of the caller's. A private half is in this answer and never
    /// again.
    pub async fn create(&self, sandbox_id: &str, request: &CreateSshKey) -> Result<CreatedSshKey> {
        let path = ["sandboxes", sandbox_id, "ssh-keys"];
        let call = self.client.call(Method::POST, &path).json(request)?;
        // Not repeated by itself: where the first answer was lost, the private half is.
        self.client.fetch(call).await
    }

    /// Of one sandbox, newest first; none of one that has ended.
    pub async fn list(&self, sandbox_id: &str, query: &PageQuery) -> Result<Page<SshKey>> {
        let call = self.client.get(&["sandboxes", sandbox_id, "ssh-keys"]);
        self.client.fetch(call.query(query)?).await
    }

    /// All of them, page after page.
    pub fn all(&self, sandbox_id: &str) -> impl Stream<Item = Result<SshKey>> + Send + use<> {
        let (this, sandbox) = (self.clone(), sandbox_id.to_owned());
        pages::all(move |cursor| {
            let (this, sandbox) = (this.clone(), sandbox.clone());
            let query = PageQuery {
                limit: None,
                cursor,
            };
            async move { this.list(&sandbox, &query).await }
        })
    }

    /// Deletes it for good, and ends the connections of who came in with it.
    pub async fn delete(&self, sandbox_id: &str, id: &str) -> Result<()> {
        let path = ["sandboxes", sandbox_id, "ssh-keys", id];
        let call = self.client.call(Method::DELETE, &path);
        self.client.done(call.once()).await
    }
}
