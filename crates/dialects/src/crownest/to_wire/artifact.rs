//! Artifacts and the URLs of downloads.

use pinfold_engine::{Link, Page};
use pinfold_http::BaseUrl;
use pinfold_model::{Ctx, Object};

use super::file::shown_path;
use super::{page, time};
use crate::crownest::errors::Refused;
use crate::crownest::wire;
use crate::prefix::with_prefix;

/// An object that was copied from a sandbox; others are no artifacts.
pub(in crate::crownest) fn artifact(ctx: &Ctx, object: Object) -> Result<wire::Artifact, Refused> {
    let id = with_prefix(object.id.as_str(), "art");
    let source = object.source;
    let source = source.ok_or_else(|| Refused::no("artifact", &id))?;
    Ok(wire::Artifact {
        org_id: ctx.principal.org.to_string(),
        object_key: format!("artifacts/{id}"),
        id,
        project_id: object.project.into(),
        sandbox_id: source.sandbox.into(),
        name: object.name,
        size_bytes: object.size_bytes.unwrap_or(0),
        source_path: source.path.as_deref().map(shown_path),
        content_type: object.content_type,
        created_at: time(object.created_at),
        deleted_at: object.deleted_at.map(time),
        retention_expires_at: object.expires_at.map(time),
    })
}

pub(in crate::crownest) fn artifacts(
    ctx: &Ctx,
    found: Page<Object>,
) -> Result<wire::Page<wire::Artifact>, Refused> {
    let items = found.items.into_iter().map(|object| artifact(ctx, object));
    let shown = Page {
        items: items.collect::<Result<_, _>>()?,
        next: found.next,
    };
    Ok(page(shown, |artifact| artifact))
}

/// Relative to the dialect's own base.
pub(in crate::crownest) fn download_url(base: &BaseUrl, link: &Link) -> wire::DownloadUrl {
    wire::DownloadUrl {
        url: format!("{base}/crownest/v1/signed/{}", link.token),
        method: "GET",
        headers: None,
        auth_mode: "api_key",
    }
}
