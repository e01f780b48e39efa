//! Lists of sandboxes: filters as places in one fixed text, so every list is a prepared statement.

use std::collections::BTreeMap;

use pinfold_model::{ProjectId, Sandbox, SandboxState};

use super::{bind_states, columns, to_sandbox};
use crate::db::{Db, Query, Sql, statements};
use crate::error::{Result, StoreError};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Pairs of metadata one list can be filtered by.
pub const METADATA_FILTERS_MAX: usize = 16;

/// Which sandboxes a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxFilter {
    pub states: States,
    /// Pairs that a sandbox's metadata must all hold.
    pub metadata: BTreeMap<String, String>,
    /// Only those of one project; `None`: all that the caller may see.
    pub project: Option<ProjectId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum States {
    /// All but destroyed ones.
    #[default]
    Present,
    /// Every sandbox there ever was.
    All,
    Only(Vec<SandboxState>),
}

// $1 project or org, $2 $3 cursor, $4 rows, $5..$10 states, $11 number of metadata pairs, $12.. the pairs
macro_rules! list {
    ($scope:literal) => {
        Sql::both(concat!(
            "SELECT ",
            columns!(),
            " FROM sandboxes \
             WHERE ",
            $scope,
            " AND (created_at, id) < ($2, $3) \
             AND state IN ($5, $6, $7, $8, $9, $10) \
             AND (CAST($11 AS BIGINT) = 0 OR $11 = ( \
                 SELECT COUNT(*) FROM sandbox_metadata m \
                 WHERE m.sandbox_id = sandboxes.id AND (m.key, m.value) IN (VALUES \
                     ($12, $13), ($14, $15), ($16, $17), ($18, $19), \
                     ($20, $21), ($22, $23), ($24, $25), ($26, $27), \
                     ($28, $29), ($30, $31), ($32, $33), ($34, $35), \
                     ($36, $37), ($38, $39), ($40, $41), ($42, $43)))) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        ))
    };
}

statements! {
    IN_PROJECT = list!("project_id = $1");
    IN_ORG = list!("org_id = $1");
    IN_PROJECT_OF_ORG = list!("project_id = $1 AND org_id = $44");
}

pub(super) async fn list(
    db: &Db,
    scope: &Scope,
    filter: &SandboxFilter,
    page: &PageRequest,
) -> Result<Page<Sandbox>> {
    let query = match (scope, &filter.project) {
        (Scope::Project(own), Some(other)) if own != other => return Ok(Page::empty()),
        (Scope::Project(project), _) => IN_PROJECT.bind(project.as_str()),
        (Scope::Org(org), None) => IN_ORG.bind(org.as_str()),
        (Scope::Org(_), Some(project)) => IN_PROJECT_OF_ORG.bind(project.as_str()),
    };
    let (at, id) = page.after();
    let query = query.bind(at).bind(id).bind(page.fetch());
    let query = bind_states(query, filter.states.as_slice());
    let mut query = bind_metadata(query, &filter.metadata)?;
    if let (Scope::Org(org), Some(_)) = (scope, &filter.project) {
        query = query.bind(org.as_str());
    }
    let rows = db.rows(query).await?;
    Page::from_rows(page, &rows, ("created_at", "id"), to_sandbox)
}

impl States {
    fn as_slice(&self) -> &[SandboxState] {
        const PRESENT: [SandboxState; 5] = [
            SandboxState::Creating,
            SandboxState::Running,
            SandboxState::Suspended,
            SandboxState::Stopped,
            SandboxState::Failed,
        ];
        match self {
            Self::Present => &PRESENT,
            Self::All => &SandboxState::ALL,
            Self::Only(states) => states,
        }
    }
}

/// Places left over hold the empty key, which no metadata has.
fn bind_metadata(query: Query, pairs: &BTreeMap<String, String>) -> Result<Query> {
    if pairs.len() > METADATA_FILTERS_MAX {
        return Err(StoreError::TooManyFilters {
            max: METADATA_FILTERS_MAX,
            given: pairs.len(),
        });
    }
    let spare = std::iter::repeat_n(("", ""), METADATA_FILTERS_MAX - pairs.len());
    let texts = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let query = query.bind(pairs.len() as u64);
    Ok(texts
        .chain(spare)
        .fold(query, |query, (key, value)| query.bind(key).bind(value)))
}
