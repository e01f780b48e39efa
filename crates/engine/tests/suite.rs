//! The engine over real sandboxes: the namespace driver, SQLite on disk, real commands.
//!
//! Every case has directories of its own and takes any `Arc<dyn Driver>` that `place` makes.

#[allow(dead_code)]
#[path = "../../images/tests/suite/archive.rs"]
mod archive;
#[allow(dead_code)]
#[path = "../../images/tests/suite/layout.rs"]
mod layout;
#[allow(dead_code)]
#[path = "../../images/tests/suite/registry.rs"]
mod registry;

mod suite {
    pub(crate) mod clock;
    pub(crate) mod place;

    pub(crate) mod access;
    mod axons;
    mod builds;
    mod code;
    mod commands;
    mod crash;
    mod create;
    mod farewells;
    mod files;
    mod gates;
    mod gateways;
    mod idempotency;
    mod images;
    mod interpreters;
    mod lifetimes;
    mod links;
    mod main_commands;
    mod named_terminals;
    mod network_policies;
    pub(crate) mod objects;
    mod objects_bounds;
    mod pipeline_events;
    mod pipelines;
    mod pulls;
    mod setup;
    mod snapshots;
    mod ssh_keys;
    mod terminals;
    mod tunnels;
    mod usage;
    mod warm;
    mod zips;
}
