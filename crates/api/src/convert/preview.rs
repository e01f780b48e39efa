//! Previews.

use std::time::Duration;

use pinfold_engine::{CreatePreview, CreatedPreview, CreatedPreviewLink, ListedPreviews};
use pinfold_http::PreviewUrls;
use pinfold_model::preview::port;
use pinfold_model::{Preview, PreviewAccess, PreviewState, Result, Time};
use pinfold_wire as wire;

use super::quantity::time;

pub(crate) fn from_wire(request: &wire::CreatePreview) -> Result<CreatePreview> {
    // A word that the wire does not know is refused by the domain, which lists those it does.
    let access = request.access.map(|access| access.as_str().parse());
    Ok(CreatePreview {
        port: port(request.port)?,
        access: access.transpose()?.unwrap_or_default(),
        expires_in: request.expires_in_ms.map(Duration::from_millis),
    })
}

pub(crate) fn listed(query: &wire::ListPreviews) -> ListedPreviews {
    match query.active {
        Some(true) => ListedPreviews::Active,
        Some(false) | None => ListedPreviews::All,
    }
}

pub(crate) fn to_wire(preview: Preview, urls: &PreviewUrls, now: Time) -> wire::Preview {
    wire::Preview {
        url: urls.of(&preview.slug),
        state: match preview.state(now) {
            PreviewState::Active => wire::PreviewState::Active,
            PreviewState::Revoked => wire::PreviewState::Revoked,
            PreviewState::Expired => wire::PreviewState::Expired,
            PreviewState::Ended => wire::PreviewState::Ended,
        },
        id: preview.id.into(),
        slug: preview.slug.to_string(),
        sandbox_id: preview.sandbox.into(),
        project_id: preview.project.into(),
        port: preview.port,
        access: match preview.access {
            PreviewAccess::Authenticated => wire::PreviewAccess::Authenticated,
            PreviewAccess::Token => wire::PreviewAccess::Token,
            PreviewAccess::Public => wire::PreviewAccess::Public,
        },
        created_at: time(preview.created_at),
        expires_at: preview.expires_at.map(time),
        revoked_at: preview.revoked_at.map(time),
    }
}

pub(crate) fn created(
    created: CreatedPreview,
    urls: &PreviewUrls,
    now: Time,
) -> wire::CreatedPreview {
    wire::CreatedPreview {
        preview: to_wire(created.preview, urls, now),
        token: created.token,
    }
}

pub(crate) fn link(link: &CreatedPreviewLink, urls: &PreviewUrls) -> wire::PreviewLink {
    let url = urls.for_browser(&link.preview.slug);
    let secret = &link.secret;
    wire::PreviewLink {
        url: format!("{url}?{}={secret}", pinfold_http::PREVIEW_TOKEN_PARAMETER),
        expires_at: time(link.expires_at),
    }
}
