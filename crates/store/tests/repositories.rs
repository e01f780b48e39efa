//! One suite for every repository, run against SQLite and against PostgreSQL.
//!
//! Each case gets a database (PostgreSQL: a schema) of its own. PostgreSQL is the one that
//! `PINFOLD_TEST_POSTGRES` names, else one that is started for the suite and stopped after it. The
//! cases of one database are one `#[test]` so that it is started once however tests are run.

#[path = "repositories/audit.rs"]
mod audit;
#[path = "repositories/axons.rs"]
mod axons;
#[path = "repositories/builds.rs"]
mod builds;
#[path = "repositories/code_contexts.rs"]
mod code_contexts;
#[path = "repositories/commands.rs"]
mod commands;
#[path = "repositories/gateways.rs"]
mod gateways;
#[path = "repositories/idempotency.rs"]
mod idempotency;
#[path = "repositories/images.rs"]
mod images;
#[path = "repositories/keys.rs"]
mod keys;
#[path = "repositories/network_policies.rs"]
mod network_policies;
#[path = "repositories/objects.rs"]
mod objects;
#[path = "repositories/pages.rs"]
mod pages;
#[path = "repositories/pipeline_runs.rs"]
mod pipeline_runs;
#[path = "repositories/place.rs"]
mod place;
#[path = "repositories/postgres.rs"]
mod postgres;
#[path = "repositories/previews.rs"]
mod previews;
#[path = "repositories/projects.rs"]
mod projects;
#[path = "repositories/quota.rs"]
mod quota;
#[path = "repositories/sandboxes.rs"]
mod sandboxes;
#[path = "repositories/schema.rs"]
mod schema;
#[path = "repositories/secrets.rs"]
mod secrets;
#[path = "repositories/snapshots.rs"]
mod snapshots;
#[path = "repositories/ssh_keys.rs"]
mod ssh_keys;
#[path = "repositories/suite.rs"]
mod suite;
#[path = "repositories/templates.rs"]
mod templates;
#[path = "repositories/tunnels.rs"]
mod tunnels;
#[path = "repositories/usage.rs"]
mod usage;
#[path = "repositories/world.rs"]
mod world;

use place::Place;

#[test]
fn every_repository_holds_on_sqlite() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    suite::run(|case| Place::sqlite(scratch.path(), case));
}

#[test]
fn every_repository_holds_on_postgres() {
    let server = postgres::Server::from_env_or_start();
    suite::run(|_case| Place::postgres(server.url()));
}
