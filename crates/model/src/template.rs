//! A template: a named, versioned recipe for sandboxes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::id::{ProjectId, TemplateId, TemplateVersionId};
use crate::image::ImageName;
use crate::resources::{NetworkMode, Resources};

/// One immutable version of a recipe. Setting a template again makes a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateSpec {
    pub image: ImageName,
    pub resources: Resources,
    pub network: NetworkMode,
    pub env: BTreeMap<String, String>,
    pub workdir: Option<String>,
    pub user: Option<String>,
    pub ttl: Option<Duration>,
    pub idle_timeout: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub id: TemplateId,
    /// `None`: offered to every project.
    pub project: Option<ProjectId>,
    pub name: String,
    pub version: u32,
    pub version_id: TemplateVersionId,
    pub spec: TemplateSpec,
    pub created_at: Time,
}
