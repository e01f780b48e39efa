//! From the engine's things to the vendor's, one module for each kind. Pure.

mod account;
mod axon;
mod blueprint;
mod devbox;
mod ends;
mod execution;
mod gateway;
mod lines;
mod log;
mod network_policy;
mod object;
mod secret;
mod snapshot;
mod tunnel;
mod usage;

use pinfold_model::Time;

pub(super) use account::{LEVELS, NO_ACCESS, RESOURCES, account, created_key};
pub(super) use axon::{ORIGINS, axon, axon_event, sql_batch, sql_result};
pub(super) use blueprint::{BuildLog, Fate, blueprint, blueprint_status};
pub(super) use devbox::{Status, devbox, status};
pub(super) use execution::{execution, sync_execution};
pub(super) use gateway::{config, gateway_specs, gateway_token, mcp_specs, mcp_token};
pub(super) use log::{Newest, failure_log, logs};
pub(super) use network_policy::network_policy;
pub(super) use object::{content_type, content_type_of, object, object_state};

pub(super) use secret::secret;
pub(super) use snapshot::{Origins, snapshot, snapshot_status, source_blueprint};
pub(super) use tunnel::tunnel;
pub(super) use usage::usage;

/// Milliseconds since the epoch.
pub(super) fn time(time: Time) -> i64 {
    time.as_millisecond()
}
