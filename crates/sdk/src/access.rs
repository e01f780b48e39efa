//! Projects and keys; both need an admin key.

use futures::Stream;
use pinfold_wire::{
    CreateKey, CreateProject, CreatedKey, Key, ListKeys, Page, PageQuery, Project, UpdateKey,
    UpdateProject,
};
use reqwest::Method;

use crate::client::Client;
use crate::error::Result;
use crate::pages;

#[derive(Debug, Clone)]
pub struct Projects {
    client: Client,
}

impl Projects {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    pub async fn create(&self, request: &CreateProject) -> Result<Project> {
        let call = self.client.call(Method::POST, &["projects"]);
        self.client.fetch(call.json(request)?).await
    }

    pub async fn get(&self, id: &str) -> Result<Project> {
        self.client.fetch(self.client.get(&["projects", id])).await
    }

    pub async fn list(&self, query: &PageQuery) -> Result<Page<Project>> {
        let call = self.client.get(&["projects"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Changes its quota.
    pub async fn update(&self, id: &str, change: &UpdateProject) -> Result<Project> {
        let call = self.client.call(Method::PATCH, &["projects", id]);
        self.client.fetch(call.json(change)?).await
    }
}

#[derive(Debug, Clone)]
pub struct Keys {
    client: Client,
}

impl Keys {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes a key. Its secret is in this answer and never again.
    pub async fn create(&self, request: &CreateKey) -> Result<CreatedKey> {
        let call = self.client.call(Method::POST, &["keys"]);
        self.client.fetch(call.json(request)?).await
    }

    pub async fn list(&self, query: &ListKeys) -> Result<Page<Key>> {
        let call = self.client.get(&["keys"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Every key, page after page.
    pub fn all(&self) -> impl Stream<Item = Result<Key>> + Send + use<> {
        let this = self.clone();
        pages::all(move |cursor| {
            let this = this.clone();
            let query = ListKeys {
                limit: None,
                cursor,
            };
            async move { this.list(&query).await }
        })
    }

    /// Changes its quota.
    pub async fn update(&self, id: &str, change: &UpdateKey) -> Result<Key> {
        let call = self.client.call(Method::PATCH, &["keys", id]);
        self.client.fetch(call.json(change)?).await
    }

    /// Makes it useless from now on. Repeating this is harmless.
    pub async fn revoke(&self, id: &str) -> Result<Key> {
        let call = self.client.call(Method::DELETE, &["keys", id]);
        self.client.fetch(call).await
    }
}
