//! Every SQL text of this crate, for the check that prepares them all.

use crate::db::Sql;
use crate::{
    audit, axons, builds, code_contexts, commands, gateways, idempotency, images, keys,
    network_policies, objects, pipeline_runs, previews, projects, sandboxes, secrets, settings,
    snapshots, ssh_keys, templates, terminals, tunnels, usage,
};

pub(crate) fn all() -> impl Iterator<Item = &'static Sql> {
    [
        audit::ALL,
        axons::ALL,
        axons::EVENTS,
        builds::ALL,
        code_contexts::ALL,
        commands::ALL,
        gateways::ALL,
        idempotency::ALL,
        images::ALL,
        images::STEPS,
        images::WITHDRAWAL,
        keys::ALL,
        network_policies::ALL,
        pipeline_runs::ALL,
        previews::ALL,
        objects::ALL,
        objects::blobs::ALL,
        objects::insert::ALL,
        objects::list::ALL,
        projects::ALL,
        sandboxes::insert::ALL,
        sandboxes::ALL,
        sandboxes::list::ALL,
        secrets::ALL,
        settings::ALL,
        ssh_keys::ALL,
        snapshots::ALL,
        templates::ALL,
        terminals::ALL,
        tunnels::ALL,
        usage::ALL,
    ]
    .into_iter()
    .flatten()
}
