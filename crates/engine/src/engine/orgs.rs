//! Which org a project is of. Projects never move, so what was learnt stays true.

use std::collections::HashMap;
use std::sync::Mutex;

use pinfold_model::{OrgId, ProjectId};

/// Entries at most; beyond, it starts anew.
const ENTRIES_MAX: usize = 10_000;

#[derive(Default)]
pub(crate) struct Orgs(Mutex<HashMap<ProjectId, OrgId>>);

impl Orgs {
    pub(crate) fn get(&self, project: &ProjectId) -> Option<OrgId> {
        let known = self.0.lock().expect("no panic under this lock");
        known.get(project).cloned()
    }

    pub(crate) fn put(&self, project: ProjectId, org: OrgId) {
        let mut known = self.0.lock().expect("no panic under this lock");
        if known.len() >= ENTRIES_MAX {
            known.clear();
        }
        known.insert(project, org);
    }
}
