//! The dialect of CrowNest's SDK, under `/crownest`.

mod errors;

use std::sync::Arc;

use axum::Router;
use pinfold_engine::Engine;
use pinfold_http::Authenticate;

pub(crate) fn router(_engine: Engine, _authority: Arc<dyn Authenticate>) -> Router {
    errors::FACADE.wrap(Router::new())
}
