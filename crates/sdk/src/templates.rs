//! Templates.

use futures::Stream;
use pinfold_wire::{Page, PageQuery, PutTemplate, Template, TemplateQuery};
use reqwest::Method;

use crate::client::Client;
use crate::error::Result;
use crate::pages;

#[derive(Debug, Clone)]
pub struct Templates {
    client: Client,
}

impl Templates {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sets a template; a name that exists gets a new version. Not repeated where it may have had
    /// its effect: that would make a version more.
    pub async fn set(&self, name: &str, recipe: &PutTemplate) -> Result<Template> {
        let call = self.client.call(Method::PUT, &["templates", name]);
        self.client.fetch(call.json(recipe)?.once()).await
    }

    /// The latest version, by the template's name or id; or one version by its own id.
    pub async fn get(&self, name: &str) -> Result<Template> {
        let call = self.client.get(&["templates", name]);
        self.client.fetch(call).await
    }

    /// One version, by the template's name or id.
    pub async fn get_version(&self, name: &str, version: u32) -> Result<Template> {
        let version = Some(version);
        let call = self.client.get(&["templates", name]);
        self.client
            .fetch(call.query(&TemplateQuery { version })?)
            .await
    }

    /// Every version of one, newest first, by the template's name or id.
    pub async fn versions(&self, name: &str, query: &PageQuery) -> Result<Page<Template>> {
        let call = self.client.get(&["templates", name, "versions"]);
        self.client.fetch(call.query(query)?).await
    }

    /// The latest version of each.
    pub async fn list(&self, query: &PageQuery) -> Result<Page<Template>> {
        let call = self.client.get(&["templates"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Every template, page after page.
    pub fn all(&self) -> impl Stream<Item = Result<Template>> + Send + use<> {
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

    /// Removes it with all its versions; sandboxes made from it stay.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let call = self.client.call(Method::DELETE, &["templates", name]);
        self.client.done(call.once()).await
    }
}
