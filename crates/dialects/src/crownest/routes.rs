//! Every route of the dialect.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use pinfold_engine::Engine;
use pinfold_http::{Authenticate, authenticated};

use super::{
    account, artifacts, code, commands, downloads, errors, files, previews, sandboxes, stream,
};

#[rustfmt::skip]
pub(crate) fn router(engine: Engine, authority: Arc<dyn Authenticate>) -> Router {
    let routes = Router::new()
        .route("/v1/sandboxes", get(sandboxes::list).post(sandboxes::create))
        .route("/v1/sandboxes/{sandbox}", get(sandboxes::show).delete(sandboxes::kill))
        .route("/v1/sandboxes/{sandbox}/extend", post(sandboxes::extend))
        .route("/v1/sandboxes/{sandbox}/commands/run", post(commands::run))
        .route("/v1/sandboxes/{sandbox}/commands/start", post(commands::start))
        .route("/v1/commands/{command}", get(commands::show))
        .route("/v1/commands/{command}/cancel", post(commands::cancel))
        .route("/v1/commands/{command}/logs", get(commands::logs))
        .route("/v1/commands/{command}/stream", get(stream::follow))
        .route("/v1/sandboxes/{sandbox}/files",
            get(files::list).put(files::write).delete(files::remove))
        .route("/v1/sandboxes/{sandbox}/files/read", get(files::read))
        .route("/v1/sandboxes/{sandbox}/files/stat", get(files::stat))
        .route("/v1/sandboxes/{sandbox}/files/mkdir", post(files::make_directory))
        .route("/v1/sandboxes/{sandbox}/files/move", post(files::rename))
        .route("/v1/sandboxes/{sandbox}/files/download", get(files::download))
        .route("/v1/sandboxes/{sandbox}/files/download-url", post(downloads::of_file))
        .route("/v1/sandboxes/{sandbox}/code/contexts",
            get(code::list_contexts).post(code::create_context))
        .route("/v1/sandboxes/{sandbox}/code/contexts/{context}",
            get(code::show_context).delete(code::remove_context))
        .route("/v1/sandboxes/{sandbox}/code/runs", post(code::run))
        .route("/v1/sandboxes/{sandbox}/code/runs/stream", post(code::stream))
        .route("/v1/sandboxes/{sandbox}/artifacts", get(artifacts::list).post(artifacts::create))
        .route("/v1/artifacts/{artifact}", get(artifacts::show).delete(artifacts::remove))
        .route("/v1/artifacts/{artifact}/download", get(artifacts::download))
        .route("/v1/artifacts/{artifact}/download-url", post(downloads::of_artifact))
        .route("/v1/sandboxes/{sandbox}/previews", get(previews::list).post(previews::create))
        .route("/v1/previews/{preview}", get(previews::show).delete(previews::revoke))
        .route("/v1/projects", get(account::projects).post(account::create_project))
        .route("/v1/api-keys", get(account::keys))
        .route("/v1/api-keys/{key}", get(account::key).delete(account::revoke_key))
        .route("/v1/usage", get(account::usage));
    // The URL is the proof: it takes no key.
    let signed = Router::new().route("/v1/signed/{token}", get(downloads::signed));
    let routes = authenticated(routes, authority).merge(signed);
    errors::FACADE.wrap(routes).with_state(engine)
}
