//! The dialect of CrowNest's SDK, under `/crownest`: the vendor's names, defaults, limits and errors
//! around the engine's use cases. Oddities stand in `crownest/quirks.md`, what is not offered in
//! `crownest/coverage.md`.

mod account;
mod artifacts;
mod code;
mod commands;
mod downloads;
mod errors;
mod files;
mod from_wire;
mod ids;
mod previews;
mod routes;
mod sandboxes;
mod stream;
mod to_wire;
mod wire;

pub(crate) use routes::router;
