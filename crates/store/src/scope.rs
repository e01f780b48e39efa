//! Whose rows a list shows.

use pinfold_model::{OrgId, ProjectId};

/// One project, or every project of an org (what an admin sees).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Project(ProjectId),
    Org(OrgId),
}

/// The scope column of what is either a project's own or, as the empty text, shared by all. It is
/// not NULL because unique indexes take two NULLs for different.
pub(crate) fn owner(project: Option<&ProjectId>) -> &str {
    project.map_or("", ProjectId::as_str)
}

/// The inverse of [`owner`].
pub(crate) fn parse_owner(text: &str) -> Result<Option<ProjectId>, pinfold_model::id::InvalidId> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some),
    }
}
