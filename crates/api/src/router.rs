//! Puts the routes together: which need a key, which do not, and what stands around all of them.

use std::sync::Arc;

use axum::Router;
use pinfold_engine::Engine;
use pinfold_http::authenticated;
use utoipa_axum::router::OpenApiRouter;

use crate::auth::EngineKeys;
use crate::render::FACADE;
use crate::state::{Api, ApiConfig, MetricsAccess};
use crate::{
    builds, code, commands, files, images, keys, network_policies, objects, output, pipelines,
    previews, projects, pty, sandboxes, secrets, server, signed, ssh_keys, templates, usage,
};

/// The native API: `/v1`, `/healthz`, `/metrics`, `/docs`. Answers what no route matches with the
/// native 404, so a composition root merges its other facades and falls back to this one.
pub fn router(engine: Engine, config: ApiConfig) -> Router {
    let authority = Arc::new(EngineKeys(engine.clone()));
    let (keyed, open) = described(config.metrics_access);
    let (keyed, _) = keyed.split_for_parts();
    let (open, _) = open.split_for_parts();
    let api = Api {
        engine,
        config: Arc::new(config),
    };
    let routes = authenticated(keyed, authority).merge(open);
    FACADE.wrap(routes).with_state(api)
}

/// All routes with their descriptions: those that need a key and those that do not.
pub(crate) fn described(metrics: MetricsAccess) -> (OpenApiRouter<Api>, OpenApiRouter<Api>) {
    let keyed = OpenApiRouter::new()
        .merge(sandboxes::routes())
        .merge(commands::routes())
        .merge(output::routes())
        .merge(code::routes())
        .merge(pty::routes())
        .merge(files::routes())
        .merge(pipelines::routes())
        .merge(previews::routes())
        .merge(ssh_keys::routes())
        .merge(images::routes())
        .merge(builds::routes())
        .merge(templates::routes())
        .merge(objects::routes())
        .merge(secrets::routes())
        .merge(network_policies::routes())
        .merge(projects::routes())
        .merge(keys::routes())
        .merge(usage::routes())
        .merge(server::routes());
    let open = server::public().merge(signed::public());
    let own = server::metrics_routes(metrics);
    match metrics {
        MetricsAccess::AdminKey => (keyed.merge(own), open),
        MetricsAccess::Open => (keyed, open.merge(own)),
    }
}
