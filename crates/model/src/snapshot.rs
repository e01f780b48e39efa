//! A snapshot: what people say about an image that was taken of a sandbox's disk. It stays when the
//! image is removed.

use std::collections::BTreeMap;

use crate::Time;
use crate::error::{Error, Result};
use crate::id::{ImageId, ProjectId, SandboxId};
use crate::limits;
use crate::sandbox::{validate_metadata, validate_name};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub image: ImageId,
    pub project: ProjectId,
    /// Whose disk it was.
    pub sandbox: SandboxId,
    pub name: Option<String>,
    /// What changed, in its maker's words.
    pub message: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Time,
    /// When its image was removed.
    pub deleted_at: Option<Time>,
}

impl Snapshot {
    /// Checks the parts that callers choose. The first fault found is the one reported.
    pub fn validate(&self) -> Result<()> {
        if let Some(name) = &self.name {
            validate_name("name", name)?;
        }
        let chars = self.message.as_ref().map_or(0, |text| text.chars().count());
        if chars > limits::SNAPSHOT_MESSAGE_MAX_CHARS {
            return Err(Error::invalid(
                "message",
                format!(
                    "a message has at most {} characters, not {chars}",
                    limits::SNAPSHOT_MESSAGE_MAX_CHARS
                ),
            ));
        }
        validate_metadata(&self.metadata)
    }
}
