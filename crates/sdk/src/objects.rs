//! Objects, and signed URLs.

use std::time::Duration;

use futures::Stream;
use pinfold_wire::{
    CreateObject, LinkUse, ListObjects, Object, Page, SignObject, SignedUrl, UploadObjectQuery,
};
use reqwest::Method;

use crate::body::{ByteStream, Upload};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::pages;
use crate::transport::{Call, milliseconds};

#[derive(Debug, Clone)]
pub struct Objects {
    client: Client,
}

impl Objects {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Copies a file of a sandbox (`sandbox_id` and `path`), or makes an object that waits for its
    /// content. Tried again where that is safe, under an idempotency key of its own.
    pub async fn create(&self, request: &CreateObject) -> Result<Object> {
        self.create_named(request, None).await
    }

    /// The same under the caller's idempotency key, safe also across runs of the program.
    pub async fn create_named(
        &self,
        request: &CreateObject,
        idempotency_key: Option<&str>,
    ) -> Result<Object> {
        let call = self.client.call(Method::POST, &["objects"]);
        let call = call.json(request)?.named(idempotency_key);
        self.client.fetch(call.unbounded()).await
    }

    /// Makes a sealed object of a body in one step.
    pub async fn put(&self, query: &UploadObjectQuery, body: Upload) -> Result<Object> {
        self.put_named(query, body, None).await
    }

    /// The same under the caller's idempotency key.
    pub async fn put_named(
        &self,
        query: &UploadObjectQuery,
        body: Upload,
        idempotency_key: Option<&str>,
    ) -> Result<Object> {
        let call = self.client.call(Method::POST, &["objects", "upload"]);
        let mut call = call.query(query)?;
        for (key, value) in &query.metadata {
            call = call.parameter(&format!("metadata.{key}"), value);
        }
        self.send(call.named(idempotency_key), body).await
    }

    /// Gives an object that is being uploaded its content, in place of what was uploaded before.
    pub async fn upload(&self, id: &str, body: Upload) -> Result<Object> {
        let call = self.client.call(Method::PUT, &["objects", id, "content"]);
        self.send(call, body).await
    }

    /// Seals an object whose content was uploaded.
    pub async fn complete(&self, id: &str) -> Result<Object> {
        let call = self.client.repeatable_post(&["objects", id, "complete"]);
        self.client.fetch(call).await
    }

    pub async fn get(&self, id: &str) -> Result<Object> {
        self.client.fetch(self.client.get(&["objects", id])).await
    }

    /// One page, newest first.
    pub async fn list(&self, query: &ListObjects) -> Result<Page<Object>> {
        let call = self.client.get(&["objects"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Every object that the filters keep, page after page.
    pub fn all(&self, query: ListObjects) -> impl Stream<Item = Result<Object>> + Send + use<> {
        let this = self.clone();
        pages::all(move |cursor| {
            let (this, mut query) = (this.clone(), query.clone());
            query.cursor = cursor;
            async move { this.list(&query).await }
        })
    }

    /// A sealed object's content as it is read.
    pub async fn read(&self, id: &str) -> Result<ByteStream> {
        let call = self.client.get(&["objects", id, "content"]);
        let response = self.client.send(call.unbounded()).await?;
        Ok(ByteStream::new(response, self.client.url()))
    }

    /// `length` bytes from `offset`, fewer where the content ends before.
    pub async fn read_range(&self, id: &str, offset: u64, length: u64) -> Result<ByteStream> {
        let last = offset.saturating_add(length.max(1)) - 1;
        let call = self.client.get(&["objects", id, "content"]);
        let call = call.range(format!("bytes={offset}-{last}"));
        let response = self.client.send(call.unbounded()).await?;
        Ok(ByteStream::new(response, self.client.url()))
    }

    /// Deletes the content and keeps the facts; repeating it changes nothing.
    pub async fn delete(&self, id: &str) -> Result<Object> {
        let call = self.client.call(Method::DELETE, &["objects", id]);
        self.client.fetch(call).await
    }

    /// A URL for downloading or uploading without a key, for an hour unless said otherwise.
    pub async fn url(
        &self,
        id: &str,
        link_use: LinkUse,
        expires_in: Option<Duration>,
    ) -> Result<SignedUrl> {
        let request = SignObject {
            link_use: Some(link_use),
            expires_in_ms: expires_in.map(milliseconds),
        };
        let call = self.client.repeatable_post(&["objects", id, "url"]);
        self.client.fetch(call.json(&request)?).await
    }

    async fn send(&self, call: Call, body: Upload) -> Result<Object> {
        let call = call.unbounded();
        match body.into_body() {
            Ok(bytes) => self.client.fetch(call.bytes(bytes)).await,
            Err(body) => {
                let what = call.url().path().to_owned();
                let response = self.client.send_stream(call, body).await?;
                let bytes = ByteStream::new(response, self.client.url());
                serde_json::from_slice(&bytes.collect().await?)
                    .map_err(|source| Error::Decode { what, source })
            }
        }
    }
}
