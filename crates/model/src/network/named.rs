//! Rules that have a name: sandboxes of a project follow them, also when they change.

use std::collections::BTreeMap;

use super::NetworkPolicy;
use crate::Time;
use crate::error::{Error, Result};
use crate::id::{KeyId, NetworkPolicyId, ProjectId};
use crate::limits;
use crate::sandbox::{validate_annotations, validate_name};

/// A network policy of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPolicy {
    pub id: NetworkPolicyId,
    pub project: ProjectId,
    /// A label: others may have the same.
    pub name: String,
    pub description: Option<String>,
    pub rules: NetworkPolicy,
    /// What a facade keeps with it for itself; nobody else reads or shows it.
    pub annotations: BTreeMap<String, String>,
    /// Grows with each change.
    pub version: u32,
    pub created_at: Time,
    pub updated_at: Time,
    /// The key that made it; `None`: the process itself.
    pub created_by: Option<KeyId>,
}

impl NamedPolicy {
    /// Checks the parts that callers choose.
    pub fn validate(&self) -> Result<()> {
        validate_name("name", &self.name)?;
        if self.name.parse::<NetworkPolicyId>().is_ok() {
            // Policies are found by id or name.
            return Err(Error::invalid(
                "name",
                "a policy's name cannot look like an id",
            ));
        }
        let description = self.description.as_deref().unwrap_or_default();
        if description.chars().count() > limits::DESCRIPTION_MAX_CHARS {
            return Err(Error::invalid(
                "description",
                format!(
                    "description may have at most {} characters",
                    limits::DESCRIPTION_MAX_CHARS
                ),
            ));
        }
        validate_annotations(&self.annotations)?;
        self.rules.validate()
    }
}
