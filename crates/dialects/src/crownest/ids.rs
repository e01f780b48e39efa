//! The vendor's ids, and ours underneath. Where the prefixes differ they are swapped, both ways by
//! rule: nothing is looked up.

use pinfold_model::{
    CodeContextId, CommandId, KeyId, ObjectId, PreviewId, ProjectId, SandboxId, TemplateVersionId,
};

use super::errors::Refused;
use crate::prefix::without_prefix;

pub(super) fn sandbox(text: &str) -> Result<SandboxId, Refused> {
    text.parse().map_err(|_| Refused::no("sandbox", text))
}

pub(super) fn command(text: &str) -> Result<CommandId, Refused> {
    text.parse().map_err(|_| Refused::no("command", text))
}

pub(super) fn code_context(text: &str) -> Result<CodeContextId, Refused> {
    text.parse().map_err(|_| Refused::no("code context", text))
}

/// An artifact is an object of ours.
pub(super) fn artifact(text: &str) -> Result<ObjectId, Refused> {
    without_prefix(text, "art", ObjectId::PREFIX).ok_or_else(|| Refused::no("artifact", text))
}

pub(super) fn preview(text: &str) -> Result<PreviewId, Refused> {
    text.parse().map_err(|_| Refused::no("preview", text))
}

pub(super) fn project(text: &str) -> Result<ProjectId, Refused> {
    text.parse().map_err(|_| Refused::no("project", text))
}

pub(super) fn key(text: &str) -> Result<KeyId, Refused> {
    text.parse().map_err(|_| Refused::no("API key", text))
}

pub(super) fn template_version(text: &str) -> Result<TemplateVersionId, Refused> {
    text.parse()
        .map_err(|_| Refused::no("template version", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_not_found() {
        assert!(sandbox("../etc").is_err());
        assert!(command("sbx_1").is_err());
        assert!(sandbox("sbx_doesnotexist").is_ok());
    }
}
