//! The vendor's ids, and ours underneath. Where the prefixes differ they are swapped, both ways by
//! rule: nothing is looked up.

use pinfold_model::{
    CodeContextId, CommandId, KeyId, ObjectId, PreviewId, ProjectId, SandboxId, TemplateVersionId,
};

use super::errors::Refused;

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
    let ours = text.strip_prefix("art_").map(|rest| format!("obj_{rest}"));
    let parsed = ours.and_then(|ours| ours.parse().ok());
    parsed.ok_or_else(|| Refused::no("artifact", text))
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

/// The same id with another prefix.
pub(super) fn with_prefix(id: &str, prefix: &str) -> String {
    let rest = id.split_once('_').map_or(id, |(_, rest)| rest);
    format!("{prefix}_{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_swapped_and_back() {
        assert_eq!(with_prefix("img_01ab", "tpl"), "tpl_01ab");
        assert_eq!(
            with_prefix(&with_prefix("obj_01ab", "art"), "obj"),
            "obj_01ab"
        );
    }

    #[test]
    fn what_is_no_id_is_not_found() {
        assert!(sandbox("../etc").is_err());
        assert!(command("sbx_1").is_err());
        assert!(sandbox("sbx_doesnotexist").is_ok());
    }
}
