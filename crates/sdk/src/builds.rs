//! Builds of images.

use futures::Stream;
use pinfold_wire::{Build, BuildEvent, CreateBuild, ListBuilds, Page, bound};
use reqwest::Method;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::pages;
use crate::stream::{BuildStream, StreamOptions};

#[derive(Debug, Clone)]
pub struct Builds {
    client: Client,
}

impl Builds {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Submits a build and answers at once. Tried again where that is safe, under an idempotency key
    /// of its own: one build comes of it.
    pub async fn create(&self, request: &CreateBuild) -> Result<Build> {
        self.create_named(request, None).await
    }

    /// The same under the caller's idempotency key, safe also across runs of the program.
    pub async fn create_named(
        &self,
        request: &CreateBuild,
        idempotency_key: Option<&str>,
    ) -> Result<Build> {
        let call = self.client.call(Method::POST, &["builds"]);
        let call = call.json(request)?.named(idempotency_key);
        self.client.fetch(call).await
    }

    /// A build with its steps.
    pub async fn get(&self, id: &str) -> Result<Build> {
        self.client.fetch(self.client.get(&["builds", id])).await
    }

    /// One page, newest first, without the steps.
    pub async fn list(&self, query: &ListBuilds) -> Result<Page<Build>> {
        let call = self.client.get(&["builds"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Every build that the filter keeps, page after page.
    pub fn all(&self, query: ListBuilds) -> impl Stream<Item = Result<Build>> + Send + use<> {
        let this = self.clone();
        pages::all(move |cursor| {
            let (this, mut query) = (this.clone(), query.clone());
            query.cursor = cursor;
            async move { this.list(&query).await }
        })
    }

    /// Asks a build to end and answers at once; its end comes by the stream.
    pub async fn cancel(&self, id: &str) -> Result<Build> {
        let call = self.client.repeatable_post(&["builds", id, "cancel"]);
        self.client.fetch(call).await
    }

    /// Forgets a build that has ended; its image stays.
    pub async fn delete(&self, id: &str) -> Result<()> {
        let call = self.client.call(Method::DELETE, &["builds", id]);
        self.client.done(call.once()).await
    }

    /// Waits for the end of the build, however long that takes.
    pub async fn wait(&self, id: &str) -> Result<Build> {
        let mut events = self.stream(id, bound::PIPELINE_EVENTS_END);
        while let Some(event) = events.next().await? {
            if let BuildEvent::Ended { build, .. } = event {
                return Ok(*build);
            }
        }
        Err(Error::Protocol(
            "the events of the build ended without its end".to_owned(),
        ))
    }

    /// A build's events behind number `after_seq` (0: all), up to the last. Connects with the first
    /// `next`.
    #[must_use]
    pub fn stream(&self, id: &str, after_seq: u64) -> BuildStream {
        let options = StreamOptions {
            after_seq,
            stream: None,
        };
        BuildStream::new(self.client.clone(), &["builds", id, "stream"], options)
    }
}
