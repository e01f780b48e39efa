//! The dialect that `pinfold.upstream` speaks, under `/upstream/v1`.
//!
//! The vendor's own wire protocol is not wanted; this contract is ours, so that its SDK's interface
//! can be kept. An account is a project: a key sees its own project and no other, whatever its role.

mod errors;
mod exec;
mod files;
mod from_wire;
mod runs;
mod sandboxes;
mod to_wire;
mod usage;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::routing::{get, post};
use pinfold_engine::Engine;
use pinfold_http::{Authenticate, Caller, Failure, authenticated};
use pinfold_model::{Ctx, Role};

pub(crate) fn router(engine: Engine, authority: Arc<dyn Authenticate>) -> Router {
    let routes = Router::new()
        .route(
            "/v1/sandboxes",
            post(sandboxes::create).get(sandboxes::list),
        )
        .route(
            "/v1/sandboxes/{sandbox}",
            get(sandboxes::get).delete(sandboxes::destroy),
        )
        .route("/v1/sandboxes/{sandbox}/exec", post(exec::exec))
        .route(
            "/v1/sandboxes/{sandbox}/files",
            get(files::read).put(files::write),
        )
        .route("/v1/runs", post(runs::submit))
        .route("/v1/runs/{run}", get(runs::get))
        .route("/v1/runs/{run}/cancel", post(runs::cancel))
        .route("/v1/usage", get(usage::get));
    errors::FACADE.wrap(authenticated(routes, authority).with_state(engine))
}

/// The caller, seeing its own project only.
struct Account(Ctx);

impl<S: Sync> FromRequestParts<S> for Account {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Caller(mut ctx) = Caller::from_request_parts(parts, state).await?;
        ctx.principal.role = Role::Member;
        Ok(Self(ctx))
    }
}
