//! Previews: addresses outside that reach a port inside a sandbox.

use std::time::Duration;

use futures::Stream;
use pinfold_wire::{
    CreatePreview, CreatePreviewLink, CreatedPreview, ListPreviews, Page, Preview, PreviewLink,
};
use reqwest::Method;

use crate::client::Client;
use crate::error::Result;
use crate::pages;
use crate::transport::milliseconds;

#[derive(Debug, Clone)]
pub struct Previews {
    client: Client,
}

impl Previews {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes a preview of a port, or answers with the active one that the port has. A new one's token
    /// is in this answer and never again.
    pub async fn create(
        &self,
        sandbox_id: &str,
        request: &CreatePreview,
    ) -> Result<CreatedPreview> {
        let path = ["sandboxes", sandbox_id, "previews"];
        let call = self.client.call(Method::POST, &path).json(request)?;
        // Not repeated by itself: where the first answer was lost, the token is.
        self.client.fetch(call).await
    }

    pub async fn get(&self, id: &str) -> Result<Preview> {
        self.client.fetch(self.client.get(&["previews", id])).await
    }

    /// Of one sandbox, newest first, also when it has ended.
    pub async fn list(&self, sandbox_id: &str, query: &ListPreviews) -> Result<Page<Preview>> {
        let call = self.client.get(&["sandboxes", sandbox_id, "previews"]);
        self.client.fetch(call.query(query)?).await
    }

    /// All of them, page after page.
    pub fn all(
        &self,
        sandbox_id: &str,
        query: ListPreviews,
    ) -> impl Stream<Item = Result<Preview>> + Send + use<> {
        let (this, sandbox) = (self.clone(), sandbox_id.to_owned());
        pages::all(move |cursor| {
            let (this, sandbox) = (this.clone(), sandbox.clone());
            let query = ListPreviews {
                cursor,
                ..query.clone()
            };
            async move { this.list(&sandbox, &query).await }
        })
    }

    /// Ends it at once, open connections too. Repeating this is harmless.
    pub async fn revoke(&self, id: &str) -> Result<Preview> {
        let call = self.client.call(Method::DELETE, &["previews", id]);
        self.client.fetch(call).await
    }

    /// A link that opens it in a browser, once, within that time (5 minutes where it is `None`).
    pub async fn link(&self, id: &str, expires_in: Option<Duration>) -> Result<PreviewLink> {
        let request = CreatePreviewLink {
            expires_in_ms: expires_in.map(milliseconds),
        };
        let call = self.client.call(Method::POST, &["previews", id, "links"]);
        self.client.fetch(call.json(&request)?).await
    }
}
