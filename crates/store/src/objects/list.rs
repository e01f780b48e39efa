//! Lists of objects: filters as places in one fixed text, so every list is a prepared statement.

use pinfold_model::{Object, ObjectState, SandboxId};

use super::{columns, to_object};
use crate::db::{Db, Sql, statements};
use crate::error::Result;
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Which objects a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectFilter {
    pub states: ObjectStates,
    /// Exactly this name.
    pub name: Option<String>,
    /// Copied from a file of this sandbox.
    pub sandbox: Option<SandboxId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObjectStates {
    /// All but deleted ones.
    #[default]
    Present,
    /// Every object there ever was.
    All,
    Only(ObjectState),
}

// $1 scope, $2 $3 cursor, $4 rows, $5..$7 states, $8 name, $9 sandbox; '' stands for any
macro_rules! list {
    ($scope:literal) => {
        Sql::both(concat!(
            "SELECT ",
            columns!(),
            " FROM objects WHERE ",
            $scope,
            " = $1 AND (created_at, id) < ($2, $3) AND state IN ($5, $6, $7) \
             AND (CAST($8 AS TEXT) = '' OR name = $8) \
             AND (CAST($9 AS TEXT) = '' OR source_sandbox_id = $9) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        ))
    };
}

statements! {
    IN_PROJECT = list!("project_id");
    IN_ORG = list!("org_id");
}

pub(super) async fn list(
    db: &Db,
    scope: &Scope,
    filter: &ObjectFilter,
    page: &PageRequest,
) -> Result<Page<Object>> {
    let query = match scope {
        Scope::Project(project) => IN_PROJECT.bind(project.as_str()),
        Scope::Org(org) => IN_ORG.bind(org.as_str()),
    };
    let (at, id) = page.after();
    let [first, second, third] = filter.states.places();
    let query = query
        .bind(at)
        .bind(id)
        .bind(page.fetch())
        .bind(first)
        .bind(second)
        .bind(third)
        .bind(filter.name.as_deref().unwrap_or_default())
        .bind(filter.sandbox.as_ref().map_or("", SandboxId::as_str));
    let rows = db.rows(query).await?;
    Page::from_rows(page, &rows, ("created_at", "id"), to_object)
}

impl ObjectStates {
    /// Places left over hold a text that is no state.
    fn places(self) -> [&'static str; 3] {
        let all = ObjectState::ALL.map(ObjectState::as_str);
        match self {
            Self::All => all,
            Self::Present => all.map(|text| match text == ObjectState::Deleted.as_str() {
                true => "",
                false => text,
            }),
            Self::Only(state) => [state.as_str(), "", ""],
        }
    }
}
