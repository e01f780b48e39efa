//! The facade kit: what the native API and every dialect share at the HTTP edge.
//!
//! Knows the domain's errors and callers (`pinfold-model`), axum and hyper. Knows no route, no
//! engine, no vendor. A facade is a router wrapped by [`Facade::wrap`]; its handlers fail with
//! [`Failure`], and the facade renders failures in its own shape.

mod addresses;
mod auth;
mod base_url;
mod download;
mod facade;
mod failure;
mod idempotency;
mod json;
mod leftover;
mod path;
mod query;
mod range;
mod rate;
mod request_tag;
mod serve;
pub mod sse;
mod status;

pub use addresses::{
    Addresses, InvalidPreviewDomain, PREVIEW_PATH, PREVIEW_TOKEN_HEADER, PREVIEW_TOKEN_PARAMETER,
    PreviewDomain, PreviewUrls, TUNNEL_TOKEN_HEADER,
};
pub use auth::{Authenticate, Caller, authenticated, credential};
pub use base_url::{BaseUrl, InvalidBaseUrl, authority};
pub use download::Download;
pub use facade::{Facade, method_not_allowed, route_not_found};
pub use failure::Failure;
pub use idempotency::IdempotencyKey;
pub use json::{JSON_BODY_MAX_BYTES, Json, read_large_json};
pub use path::Path;
pub use query::{Query, pairs, parse_pairs};
pub use range::{ByteRange, resolve_range};
pub use rate::{Rate, RateLimits};
pub use request_tag::RequestTag;
pub use serve::{Draining, Peer, ServeLimits, serve};
pub use status::status_of;
