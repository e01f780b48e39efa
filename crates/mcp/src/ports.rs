//! Addresses that reach ports of sandboxes, as tools.

use std::time::Duration;

use pinfold_sdk::{Client, CreatePreview, Preview, PreviewAccess};
use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;

use crate::answer::{Answer, Told};
use crate::arguments as args;

/// How long a link waits for the person to whom it is shown.
const LINK_LIFE: Duration = Duration::from_secs(3600);

/// An address outside that reaches a port inside.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PortFacts {
    preview_id: String,
    sandbox_id: String,
    port: u16,
    /// What follows its last slash is the path inside.
    url: String,
    /// authenticated, token or public
    access: String,
    /// active, revoked, expired or ended
    state: String,
    expires_at: Option<String>,
    /// Goes into "Authorization: Bearer". Told once, when the address is new and has one.
    token: Option<String>,
    /// Opens the address in a browser, once, within an hour; null where it needs none.
    browser_link: Option<String>,
}

pub(crate) async fn expose(client: &Client, wanted: args::ExposePort) -> Answer {
    let request = CreatePreview {
        port: wanted.port.into(),
        access: wanted.access.map(PreviewAccess::from),
        expires_in_ms: wanted
            .expires_minutes
            .map(|minutes| minutes.saturating_mul(60_000)),
    };
    let previews = client.previews();
    let created = previews.create(&wanted.sandbox_id, &request).await?;
    let mut facts = PortFacts::from(created.preview);
    facts.token = created.token;
    let mut linkless = None;
    if facts.access != PreviewAccess::Public.to_string() {
        // The token is told once: it must not go with a link that could not be made.
        match previews.link(&facts.preview_id, Some(LINK_LIFE)).await {
            Ok(link) => facts.browser_link = Some(link.url),
            Err(error) => linkless = Some(error),
        }
    }
    let mut text = format!(
        "port {} of {} is at {}",
        facts.port, facts.sandbox_id, facts.url
    );
    if let Some(link) = &facts.browser_link {
        text.push_str(&format!(
            "\nto open it in a browser, once and within an hour: {link}\nprograms send an API key of \
             the project as \"Authorization: Bearer\""
        ));
    }
    if let Some(token) = &facts.token {
        text.push_str(&format!(", or this token: {token}"));
    }
    if let Some(error) = linkless {
        text.push_str(&format!(
            "\n[no link for a browser could be made ({error}): ask again]"
        ));
    }
    text.push_str(&format!(
        "\n[{}; end it with close_port, preview_id {:?}]",
        facts.access, facts.preview_id
    ));
    Ok(Told::new(text, &facts))
}

pub(crate) async fn close(client: &Client, wanted: args::ClosePort) -> Answer {
    let preview = client.previews().revoke(&wanted.preview_id).await?;
    let text = format!("{} is {}", preview.url, preview.state);
    Ok(Told::new(text, &PortFacts::from(preview)))
}

impl From<args::Access> for PreviewAccess {
    fn from(access: args::Access) -> Self {
        match access {
            args::Access::Authenticated => Self::Authenticated,
            args::Access::Token => Self::Token,
            args::Access::Public => Self::Public,
        }
    }
}

impl From<Preview> for PortFacts {
    fn from(preview: Preview) -> Self {
        Self {
            preview_id: preview.id,
            sandbox_id: preview.sandbox_id,
            port: preview.port,
            url: preview.url,
            access: preview.access.to_string(),
            state: preview.state.to_string(),
            expires_at: preview.expires_at,
            token: None,
            browser_link: None,
        }
    }
}
