//! Objects.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_engine::{CreateObject, Link, LinkUse, ObjectFilter, ObjectStates};
use pinfold_http::BaseUrl;
use pinfold_model::{Error, Object, ObjectState, Result, SandboxId};
use pinfold_wire as wire;

use super::quantity::time;

pub(crate) fn to_wire(object: Object) -> wire::Object {
    let (sandbox_id, path) = match object.source {
        Some(source) => (Some(source.sandbox.into()), source.path),
        None => (None, None),
    };
    wire::Object {
        id: object.id.into(),
        project_id: object.project.into(),
        name: object.name,
        content_type: object.content_type,
        metadata: object.metadata,
        state: match object.state {
            ObjectState::Uploading => wire::ObjectState::Uploading,
            ObjectState::Sealed => wire::ObjectState::Sealed,
            ObjectState::Deleted => wire::ObjectState::Deleted,
        },
        size_bytes: object.size_bytes,
        digest: object.digest.map(Into::into),
        sandbox_id,
        path,
        created_at: time(object.created_at),
        sealed_at: object.sealed_at.map(time),
        deleted_at: object.deleted_at.map(time),
        expires_at: object.expires_at.map(time),
    }
}

/// The request, and the file to copy where it names one.
pub(crate) fn from_wire(
    request: wire::CreateObject,
) -> Result<(CreateObject, Option<(SandboxId, String)>)> {
    let file = match (request.sandbox_id, request.path) {
        (Some(sandbox), Some(path)) => Some((sandbox_id(&sandbox)?, path)),
        (None, None) => None,
        (None, Some(_)) => {
            return Err(Error::invalid(
                "sandbox_id",
                "a path needs the sandbox_id of the sandbox that it is in",
            ));
        }
        (Some(_), None) => {
            return Err(Error::invalid(
                "path",
                "a sandbox_id needs the path of the file to copy",
            ));
        }
    };
    let request = CreateObject {
        name: request.name,
        content_type: request.content_type,
        metadata: request.metadata,
        retention: request.retention_ms.map(Duration::from_millis),
    };
    Ok((request, file))
}

pub(crate) fn upload(
    query: wire::UploadObjectQuery,
    metadata: BTreeMap<String, String>,
) -> CreateObject {
    CreateObject {
        name: Some(query.name),
        content_type: query.content_type,
        metadata,
        retention: query.retention_ms.map(Duration::from_millis),
    }
}

pub(crate) fn filter(query: &wire::ListObjects) -> Result<ObjectFilter> {
    let states = match (query.state, query.include_deleted.unwrap_or(false)) {
        (None, false) => ObjectStates::Present,
        (None, true) => ObjectStates::All,
        (Some(_), true) => {
            return Err(Error::invalid(
                "include_deleted",
                "a state says already which objects are wanted",
            ));
        }
        (Some(state), false) => ObjectStates::Only(state.as_str().parse()?),
    };
    Ok(ObjectFilter {
        states,
        name: query.name.clone().filter(|name| !name.is_empty()),
        sandbox: query.sandbox_id.as_deref().map(sandbox_id).transpose()?,
    })
}

fn sandbox_id(text: &str) -> Result<SandboxId> {
    text.parse().map_err(|error: pinfold_model::id::InvalidId| {
        Error::invalid("sandbox_id", format!("sandbox_id: {error}"))
    })
}

/// The address of a link, below the server's own.
pub(crate) fn signed_url(base: &BaseUrl, link: Link, wanted: LinkUse) -> wire::SignedUrl {
    wire::SignedUrl {
        url: format!("{base}/v1/signed/{}", link.token),
        method: match wanted {
            LinkUse::Read | LinkUse::Terminals => "GET",
            LinkUse::Write => "PUT",
        }
        .to_owned(),
        expires_at: time(link.expires_at),
    }
}
