//! Previews.

use pinfold_http::PreviewUrls;
use pinfold_model::{Ctx, Preview};

use super::time;
use crate::crownest::wire;

pub(in crate::crownest) fn preview(
    ctx: &Ctx,
    preview: Preview,
    urls: &PreviewUrls,
) -> wire::Preview {
    wire::Preview {
        // Callers of this vendor put a path with its own slash behind it.
        url: urls.of(&preview.slug).trim_end_matches('/').to_owned(),
        slug: preview.slug.to_string(),
        id: preview.id.into(),
        org_id: ctx.principal.org.to_string(),
        project_id: preview.project.into(),
        sandbox_id: preview.sandbox.into(),
        port: preview.port,
        auth_mode: preview.access.as_str(),
        created_at: time(preview.created_at),
        expires_at: preview.expires_at.map(time),
        revoked_at: preview.revoked_at.map(time),
    }
}
