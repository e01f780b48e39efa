//! The dialect of Runloop's SDKs (1.x and 3.x), under `/runloop`: the vendor's names, statuses,
//! defaults and errors around the engine's use cases. Oddities stand in `runloop/quirks.md`, what is
//! not offered in `runloop/coverage.md`.

mod account;
mod axon_events;
mod axon_sql;
mod axons;
mod blueprints;
mod devboxes;
mod errors;
mod evictions;
mod executions;
mod files;
mod from_wire;
mod gateways;
mod ids;
mod logs;
mod metadata;
mod network_policies;
mod objects;
mod poll;
mod pty;
mod routes;
mod secrets;
mod snapshots;
mod ssh;
mod stream;
mod to_wire;
mod tunnels;
mod usage;
mod version;
mod wire;

pub(crate) use pty::terminals;
pub(crate) use routes::router;
