//! From what was asked for to an object that is not recorded yet.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_model::object::{ObjectSource, validate_retention};
use pinfold_model::{Ctx, Error, Object, ObjectId, ObjectState, ProjectId, Result, SandboxId};
use serde::Serialize;

use super::kind::content_type_of;
use crate::Engine;
use crate::clock::later;
use crate::files::FileReader;

/// A request for an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CreateObject {
    /// `None` only where a file is copied, whose name it then has.
    pub name: Option<String>,
    /// `None`: what the name's ending tells, else `application/octet-stream`.
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Deleted by itself after this time from now; `None` is kept until somebody deletes it.
    pub retention: Option<Duration>,
}

impl Engine {
    pub(super) fn draft(
        &self,
        ctx: &Ctx,
        request: &CreateObject,
        state: ObjectState,
    ) -> Result<Object> {
        let name = request
            .name
            .clone()
            .ok_or_else(|| Error::invalid("name", "name is missing"))?;
        self.fresh(&ctx.principal.project, name, request.clone(), state)
    }

    pub(super) fn draft_copy(
        &self,
        file: &FileReader,
        sandbox: &SandboxId,
        mut request: CreateObject,
    ) -> Result<Object> {
        let entry = file.entry();
        let name = request.name.take().unwrap_or_else(|| entry.name.clone());
        let mut object = self.fresh(file.project(), name, request, ObjectState::Sealed)?;
        object.source = Some(ObjectSource {
            sandbox: sandbox.clone(),
            path: Some(entry.path.clone()),
        });
        Ok(object)
    }

    pub(super) fn fresh(
        &self,
        project: &ProjectId,
        name: String,
        request: CreateObject,
        state: ObjectState,
    ) -> Result<Object> {
        if let Some(retention) = request.retention {
            validate_retention(retention)?;
        }
        let now = self.now();
        let content_type = request.content_type;
        let object = Object {
            id: ObjectId::generate(),
            project: project.clone(),
            content_type: content_type.unwrap_or_else(|| content_type_of(&name).to_owned()),
            name,
            metadata: request.metadata,
            state,
            content: None,
            size_bytes: None,
            digest: None,
            source: None,
            created_at: now,
            sealed_at: (state == ObjectState::Sealed).then_some(now),
            deleted_at: None,
            expires_at: request.retention.map(|retention| later(now, retention)),
        };
        object.validate()?;
        Ok(object)
    }
}
