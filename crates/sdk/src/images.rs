//! Images.

use futures::Stream;
use pinfold_wire::{Image, ListImages, Page, PutImageQuery};
use reqwest::Method;

use crate::body::{ByteStream, Upload};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::pages;

#[derive(Debug, Clone)]
pub struct Images {
    client: Client,
}

impl Images {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// One image by `name`, `name:tag` or id.
    pub async fn get(&self, name: &str) -> Result<Image> {
        self.client.fetch(self.client.get(&["images", name])).await
    }

    pub async fn list(&self, query: &ListImages) -> Result<Page<Image>> {
        let call = self.client.get(&["images"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Every image, page after page.
    pub fn all(&self) -> impl Stream<Item = Result<Image>> + Send + use<> {
        let this = self.clone();
        pages::all(move |cursor| {
            let this = this.clone();
            let query = ListImages {
                limit: None,
                cursor,
            };
            async move { this.list(&query).await }
        })
    }

    /// Imports a tar of a root filesystem or of an OCI layout (plain, gzip, zstd) under a name, for
    /// every project; needs an admin key. `select` names one image of a layout that holds several.
    pub async fn import(&self, name: &str, tar: Upload, select: Option<&str>) -> Result<Image> {
        let select = select.map(str::to_owned);
        let call = self.client.call(Method::PUT, &["images", name]);
        let call = call.query(&PutImageQuery { select })?.unbounded();
        match tar.into_body() {
            Ok(bytes) => self.client.fetch(call.bytes(bytes)).await,
            Err(body) => {
                let response = self.client.send_stream(call, body).await?;
                let bytes = ByteStream::new(response, self.client.url());
                serde_json::from_slice(&bytes.collect().await?).map_err(|source| Error::Decode {
                    what: format!("PUT of the image {name}"),
                    source,
                })
            }
        }
    }

    /// Removes an image by name or id.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let call = self.client.call(Method::DELETE, &["images", name]);
        self.client.done(call.once()).await
    }
}
