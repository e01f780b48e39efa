//! Previews: addresses outside that reach a port inside a sandbox.

use serde::{Deserialize, Serialize};

use crate::word::words;

words! {
    /// What opens a preview.
    PreviewAccess {
        /// An API key that may use the sandbox.
        Authenticated = "authenticated",
        /// The preview's own token, or an API key that may use the sandbox.
        Token = "token",
        /// Nothing: whoever knows the address may use it.
        Public = "public",
    }
}

words! {
    /// Whether a preview's address leads anywhere.
    PreviewState {
        Active = "active",
        Revoked = "revoked",
        Expired = "expired",
        /// Its sandbox has been destroyed or has failed.
        Ended = "ended",
    }
}

/// A preview that is wanted. A port has one active preview: asking again answers with that one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreatePreview {
    /// The port inside, 1 to 65535. Nothing has to listen there yet.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 65535))]
    pub port: i64,
    /// `authenticated` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<PreviewAccess>,
    /// From now, at most 366 days; as long as its sandbox when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

/// An address outside that reaches a port inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preview {
    pub id: String,
    /// The preview's name in its address, a DNS label.
    pub slug: String,
    /// The address; what follows its last slash is the path inside.
    pub url: String,
    pub sandbox_id: String,
    pub project_id: String,
    pub port: u16,
    pub access: PreviewAccess,
    pub state: PreviewState,
    pub created_at: String,
    pub expires_at: Option<String>,
    pub revoked_at: Option<String>,
}

/// A preview, with its token if it is a new one that has a token: for the first and last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedPreview {
    pub preview: Preview,
    /// Goes into `Authorization: Bearer` or `x-pinfold-preview-token`, or as `pinfold_token` into the
    /// query.
    pub token: Option<String>,
}

/// A link that opens a preview in a browser, once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreatePreviewLink {
    /// How long it may stay unused: 5 minutes when absent, a day at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

/// The link is a secret until it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewLink {
    pub url: String,
    pub expires_at: String,
}

/// Which previews of a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListPreviews {
    /// Items at most: 1 to 500, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 500))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only those whose addresses work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}
