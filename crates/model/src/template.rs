//! A template: a named, versioned recipe for sandboxes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::error::{Error, Result};
use crate::id::{ProjectId, TemplateId, TemplateVersionId};
use crate::image::ImageName;
use crate::limits;
use crate::network::NetworkPolicy;
use crate::resources::{NetworkMode, Resources};

/// One immutable version of a recipe. Setting a template again makes a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateSpec {
    pub image: ImageName,
    pub resources: Resources,
    pub network: NetworkMode,
    #[serde(default)]
    pub network_policy: NetworkPolicy,
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

/// 1 to 100 letters, digits and ` . _ - : / + @`, a letter or digit at both ends, such as
/// `python:3.12`. What looks like an id is none, since templates are found by name or id.
pub fn validate_template_name(name: &str) -> Result<()> {
    let inside = |c: char| c.is_alphanumeric() || " ._-:/+@".contains(c);
    let chars = name.chars().count();
    let good = (1..=limits::NAME_MAX_CHARS).contains(&chars)
        && name.chars().all(inside)
        && name.starts_with(char::is_alphanumeric)
        && name.ends_with(char::is_alphanumeric)
        && name.parse::<TemplateId>().is_err()
        && name.parse::<TemplateVersionId>().is_err();
    if good {
        return Ok(());
    }
    Err(Error::invalid(
        "name",
        "a template's name is 1 to 100 letters, digits and \" ._-:/+@\", with a letter or digit at \
         both ends, and no id",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_what_versions_of_languages_need() {
        for good in [
            "python:3.12",
            "base",
            "a",
            "team/node_22-slim",
            "C 23",
            "bücher",
        ] {
            assert!(validate_template_name(good).is_ok(), "{good:?}");
        }
        let id = TemplateId::generate().to_string();
        let version = TemplateVersionId::generate().to_string();
        let long = "x".repeat(101);
        for bad in [
            "", ".", "..", ":a", "a:", " a", "a\n", "a\0b", "a?b", "a%2Fb", &id, &version, &long,
        ] {
            assert!(validate_template_name(bad).is_err(), "{bad:?}");
        }
    }
}
