//! The vendors' HTTP APIs, one module each, under `/<vendor>`: a handler decodes, makes one engine
//! call, encodes.
//!
//! A dialect owns its vendor's names, routes, statuses, defaults and error words, and nothing else:
//! what two dialects need belongs one level down.

mod content;
mod crownest;
mod prefix;
mod runloop;
mod upstream;

use std::sync::Arc;

use axum::Router;
use pinfold_engine::Engine;
use pinfold_http::Authenticate;

/// The routes of every dialect; keys are checked by `authority`.
pub fn router(engine: &Engine, authority: &Arc<dyn Authenticate>) -> Router {
    Router::new()
        .nest(
            "/crownest",
            crownest::router(engine.clone(), Arc::clone(authority)),
        )
        .nest(
            "/runloop",
            runloop::router(engine.clone(), Arc::clone(authority)),
        )
        .nest(
            "/upstream",
            upstream::router(engine.clone(), Arc::clone(authority)),
        )
}

/// The routes of hosts that lead to terminals of sandboxes; tokens are checked by the engine.
pub fn terminals(engine: &Engine) -> Router {
    runloop::terminals(engine.clone())
}
