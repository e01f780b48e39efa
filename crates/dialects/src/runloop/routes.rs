//! Every route of the dialect.

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post, put};
use pinfold_engine::Engine;
use pinfold_http::{Authenticate, authenticated};
use pinfold_model::GatewayKind::{Http, Mcp};

use super::{
    account, axon_events, axon_sql, axons, blueprints, devboxes, errors, evictions, executions,
    files, gateways, logs, network_policies, objects, secrets, snapshots, ssh, stream, tunnels,
    usage,
};

#[rustfmt::skip]
pub(crate) fn router(engine: Engine, authority: Arc<dyn Authenticate>) -> Router {
    let uploads = post(files::upload).layer(DefaultBodyLimit::disable());
    let routes = Router::new()
        .route("/v1/devboxes", get(devboxes::list).post(devboxes::create))
        .route("/v1/devboxes/create_and_await_running", post(devboxes::create_and_await))
        .route("/v1/devboxes/browsers", any(errors::not_offered))
        .route("/v1/devboxes/computers", any(errors::not_offered))
        .route("/v1/devboxes/evictions/watch", get(evictions::watch))
        .route("/v1/devboxes/disk_snapshots", get(snapshots::list))
        .route("/v1/devboxes/disk_snapshots/{snapshot}", post(snapshots::update))
        .route("/v1/devboxes/disk_snapshots/{snapshot}/status", get(snapshots::status))
        .route("/v1/devboxes/disk_snapshots/{snapshot}/delete", post(snapshots::delete))
        .route("/v1/devboxes/{devbox}/snapshot_disk", post(snapshots::create))
        .route("/v1/devboxes/{devbox}/snapshot_disk_async", post(snapshots::create))
        .route("/v1/devboxes/{devbox}", get(devboxes::show).post(devboxes::update))
        .route("/v1/devboxes/{devbox}/logs", get(logs::of_devbox))
        .route("/v1/devboxes/{devbox}/usage", get(usage::of_devbox))
        .route("/v1/devboxes/{devbox}/wait_for_status", post(devboxes::wait))
        .route("/v1/devboxes/{devbox}/suspend", post(devboxes::suspend))
        .route("/v1/devboxes/{devbox}/resume", post(devboxes::resume))
        .route("/v1/devboxes/{devbox}/keep_alive", post(devboxes::keep_alive))
        .route("/v1/devboxes/{devbox}/shutdown", post(devboxes::shutdown))
        .route("/v1/devboxes/{devbox}/execute", post(executions::execute))
        .route("/v1/devboxes/{devbox}/execute_sync", post(executions::execute_sync))
        .route("/v1/devboxes/{devbox}/execute_async", post(executions::execute_async))
        .route("/v1/devboxes/{devbox}/executions/{execution}", get(executions::show))
        .route("/v1/devboxes/{devbox}/executions/{execution}/wait_for_status",
            post(executions::wait))
        .route("/v1/devboxes/{devbox}/executions/{execution}/kill", post(executions::kill))
        .route("/v1/devboxes/{devbox}/executions/{execution}/send_std_in",
            post(executions::send_std_in))
        .route("/v1/devboxes/{devbox}/executions/{execution}/stream_stdout_updates",
            get(stream::stdout))
        .route("/v1/devboxes/{devbox}/executions/{execution}/stream_stderr_updates",
            get(stream::stderr))
        .route("/v1/devboxes/{devbox}/read_file_contents", post(files::read))
        .route("/v1/devboxes/{devbox}/write_file_contents", post(files::write))
        .route("/v1/devboxes/{devbox}/upload_file", uploads)
        .route("/v1/devboxes/{devbox}/download_file", post(files::download))
        .route("/v1/devboxes/{devbox}/create_tunnel", post(tunnels::create))
        .route("/v1/devboxes/{devbox}/remove_tunnel", post(tunnels::remove))
        .route("/v1/devboxes/{devbox}/enable_tunnel", post(tunnels::enable))
        .route("/v1/devboxes/{devbox}/create_pty_tunnel", post(tunnels::create_pty))
        .route("/v1/objects", get(objects::list).post(objects::create))
        .route("/v1/objects/list_public", get(objects::list_public))
        .route("/v1/objects/{object}", get(objects::show))
        .route("/v1/objects/{object}/complete", post(objects::complete))
        .route("/v1/objects/{object}/download", get(objects::download_url))
        .route("/v1/objects/{object}/delete", post(objects::delete))
        .route("/v1/devboxes/{devbox}/create_ssh_key", post(ssh::create))
        .route("/v1/blueprints", get(blueprints::list).post(blueprints::create))
        .route("/v1/blueprints/preview", post(blueprints::preview))
        .route("/v1/blueprints/list_public", get(blueprints::list_public))
        .route("/v1/blueprints/create_from_inspection", any(errors::not_offered))
        .route("/v1/blueprints/{blueprint}", get(blueprints::show))
        .route("/v1/blueprints/{blueprint}/logs", get(blueprints::logs))
        .route("/v1/blueprints/{blueprint}/delete", post(blueprints::delete))
        .route("/v1/secrets", get(secrets::list).post(secrets::create))
        .route("/v1/secrets/{name}", get(secrets::show).post(secrets::update))
        .route("/v1/secrets/{name}/delete", post(secrets::delete))
        .route("/v1/secrets/id/{id}", get(secrets::show_by_id))
        .route("/v1/secrets/id/{id}/update", post(secrets::update_by_id))
        .route("/v1/secrets/id/{id}/delete", post(secrets::delete_by_id))
        .route("/v1/network-policies", get(network_policies::list).post(network_policies::create))
        .route("/v1/network-policies/{policy}",
            get(network_policies::show).post(network_policies::update))
        .route("/v1/network-policies/{policy}/delete", post(network_policies::delete))
        .route("/v1/axons", get(axons::list).post(axons::create))
        .route("/v1/axons/{axon}",
            get(axons::show).post(axons::update).delete(axons::delete))
        .route("/v1/axons/{axon}/publish", post(axon_events::publish))
        .route("/v1/axons/{axon}/subscribe/sse", get(axon_events::subscribe))
        .route("/v1/axons/{axon}/events", get(axon_events::list))
        .route("/v1/axons/{axon}/sql/query", post(axon_sql::query))
        .route("/v1/axons/{axon}/sql/batch", post(axon_sql::batch))
        .route("/v1/gateway-configs",
            get(gateways::list).post(gateways::create).layer(Extension(Http)))
        .route("/v1/gateway-configs/{config}",
            get(gateways::show).post(gateways::update).layer(Extension(Http)))
        .route("/v1/gateway-configs/{config}/delete",
            post(gateways::delete).layer(Extension(Http)))
        .route("/v1/mcp-configs",
            get(gateways::list).post(gateways::create).layer(Extension(Mcp)))
        .route("/v1/mcp-configs/{config}",
            get(gateways::show).post(gateways::update).layer(Extension(Mcp)))
        .route("/v1/mcp-configs/{config}/delete",
            post(gateways::delete).layer(Extension(Mcp)))
        .route("/v1/devboxes/{devbox}/create_gateway_token", post(gateways::create_token))
        .route("/v1/devboxes/{devbox}/create_mcp_token", post(gateways::create_mcp_token))
        .route("/v1/accounts/me", get(account::me))
        .route("/v1/apikeys", post(account::create_key))
        .route("/v1/restricted_keys", post(account::create_restricted))
        .route("/v1/{*rest}", any(errors::not_offered));
    // The URL is the proof: it takes no key.
    let signed = Router::new()
        .route("/v1/signed/{token}", put(objects::upload).get(objects::download))
        .layer(DefaultBodyLimit::disable());
    let routes = authenticated(routes, authority).merge(signed);
    errors::FACADE.wrap(routes).with_state(engine)
}
