//! The native HTTP API under `/v1`: every handler decodes, makes one engine call, encodes.
//!
//! ```text
//! router() = facade( public: /healthz /docs /v1/openapi.json
//!                  + authenticated: /v1/... and /metrics )
//! ```
//! Routes and the OpenAPI document come from the same macros, so neither can lack the other's. What
//! is decided here is form only: names, statuses, encodings. No rule of the domain lives here, and
//! no vendor is known.

mod auth;
mod builds;
mod code;
mod commands;
mod convert;
mod document;
mod files;
mod ids;
mod images;
mod keys;
mod network_policies;
mod objects;
mod output;
mod page;
mod pipelines;
mod previews;
mod projects;
mod pty;
mod render;
mod router;
mod sandboxes;
mod secrets;
mod server;
mod signed;
mod ssh_keys;
mod state;
mod templates;
mod usage;

pub use auth::EngineKeys;
pub use convert::image::to_wire as image_to_wire;
pub use convert::pipeline::{from_submit as pipeline_request, pipeline_event};
pub use document::{document, document_json};
pub use render::FACADE;
pub use router::router;
pub use state::{ApiConfig, MetricsAccess};
