//! The image `host` of this machine, looked at while there is nothing else of an engine yet.

use pinfold_images::{HostError, HostImage, HostRoot, LayerStore};
use tokio::task::JoinHandle;

/// A look at this machine for its image `host`. It takes milliseconds and needs no store, so it can
/// begin before there is one.
#[derive(Debug)]
pub struct HostLook(JoinHandle<Result<HostRoot, HostError>>);

impl HostLook {
    /// Begins on another thread of the runtime that this is called in. Dropped, it goes on and leaves
    /// at most a tree in `layers` that a later look finds.
    #[must_use]
    pub fn begin(layers: &LayerStore) -> Self {
        let layers = layers.clone();
        let ensure = move || HostImage::of_this_machine().ensure(&layers);
        Self(tokio::task::spawn_blocking(ensure))
    }

    /// A machine that cannot offer the image can still run others.
    pub(crate) async fn end(self) -> Option<HostRoot> {
        match self.0.await {
            Ok(Ok(root)) => Some(root),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no image host");
                None
            }
            Err(error) => {
                tracing::error!(%error, "making the image host failed");
                None
            }
        }
    }
}
