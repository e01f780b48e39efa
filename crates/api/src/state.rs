//! What handlers share: the engine and the operator's settings.

use std::path::PathBuf;
use std::sync::Arc;

use pinfold_engine::Engine;

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsAccess {
    #[default]
    AdminKey,
    /// Anybody who reaches the listener.
    Open,
}

/// Settings of the native API.
#[derive(Clone)]
pub struct ApiConfig {
    /// Where uploaded image tars wait for their import; on a disk with room for them.
    pub upload_dir: PathBuf,
    /// Bound of one uploaded image tar.
    pub image_upload_max_bytes: u64,
    pub metrics_access: MetricsAccess,
    /// The metrics in Prometheus' text format, from whoever installed the recorder.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl ApiConfig {
    /// The defaults: uploads of at most 32 GiB into `upload_dir`, metrics for admins.
    pub fn new(upload_dir: PathBuf, metrics: Arc<dyn Fn() -> String + Send + Sync>) -> Self {
        Self {
            upload_dir,
            image_upload_max_bytes: 32 << 30,
            metrics_access: MetricsAccess::default(),
            metrics,
        }
    }
}

impl std::fmt::Debug for ApiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiConfig")
            .field("upload_dir", &self.upload_dir)
            .field("metrics_access", &self.metrics_access)
            .finish_non_exhaustive()
    }
}

/// State of every route.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) engine: Engine,
    pub(crate) config: Arc<ApiConfig>,
}
