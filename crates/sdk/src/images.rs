//! Images.

use std::time::Duration;

use futures::Stream;
use pinfold_wire::{
    Image, ImagePull, ListImages, Page, PullImage, PullQuery, PullState, PutImageQuery, bound,
};
use reqwest::Method;

use crate::body::{ByteStream, Upload};
use crate::client::Client;
use crate::error::{ApiError, Error, Result};
use crate::pages;
use crate::transport::milliseconds;

/// Beyond the server's own bound on one long poll.
const LONG_POLL_TIMEOUT: Duration = Duration::from_millis(bound::WAIT_MAX_MS + 15_000);
/// Between two reports of a pull's progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

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

    /// An image as an OCI layout in a tar, with plain layers, as it is read. The server reads all of
    /// it once before it answers.
    pub async fn export(&self, name: &str) -> Result<ByteStream> {
        let call = self.client.get(&["images", name, "export"]);
        let response = self.client.send(call.unbounded()).await?;
        Ok(ByteStream::new(response, self.client.url()))
    }

    /// Pulls an image from a registry into the caller's project and waits for it, however long that
    /// takes; the pull itself goes on if this is dropped.
    ///
    /// # Errors
    /// What the server refuses; `image_not_found`, `image_pull_failed` or `invalid_image` where the
    /// pull failed.
    pub async fn pull(&self, request: &PullImage) -> Result<Image> {
        self.pull_watched(request, |_| {}).await
    }

    /// The same, telling `on_progress` a few times a second how far it is.
    pub async fn pull_watched(
        &self,
        request: &PullImage,
        mut on_progress: impl FnMut(&ImagePull) + Send,
    ) -> Result<Image> {
        let mut pull = self.start_pull(request).await?;
        loop {
            on_progress(&pull);
            match (pull.state, pull.image, pull.error) {
                (_, Some(image), _) => return Ok(image),
                (_, _, Some(error)) => {
                    return Err(Error::Api(Box::new(ApiError::of_pull(error))));
                }
                (PullState::Done | PullState::Failed, None, None) => {
                    return Err(Error::Protocol("a pull ended without an ending".into()));
                }
                _ => pull = self.get_pull(&pull.id, PROGRESS_EVERY).await?,
            }
        }
    }

    /// Begins to pull an image, or joins the same pull where it is under way.
    pub async fn start_pull(&self, request: &PullImage) -> Result<ImagePull> {
        let call = self.client.repeatable_post(&["image-pulls"]);
        self.client.fetch(call.json(request)?).await
    }

    /// How far a pull is; waits for its end, at most `timeout` (at most a minute).
    pub async fn get_pull(&self, id: &str, timeout: Duration) -> Result<ImagePull> {
        let query = PullQuery {
            timeout_ms: Some(milliseconds(timeout).min(bound::WAIT_MAX_MS)),
        };
        let call = self.client.get(&["image-pulls", id]).query(&query)?;
        self.client
            .fetch(call.patient().timeout(LONG_POLL_TIMEOUT))
            .await
    }

    /// Removes an image by name or id.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let call = self.client.call(Method::DELETE, &["images", name]);
        self.client.done(call.once()).await
    }
}
