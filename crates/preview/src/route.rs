//! Parts previews' requests from the API's, before any route is looked at.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use pinfold_engine::Engine;
use pinfold_http::Addresses;
use tower::ServiceExt;

use crate::address;
use crate::failure::FACADE;
use crate::limits::Limits;
use crate::proxy::{Proxy, carry};

/// A router that serves previews at their addresses and everything else by `api`, where the
/// addresses that the operator configured are known to every handler.
pub fn serve_with_previews(
    engine: Engine,
    addresses: Addresses,
    limits: Limits,
    api: Router,
) -> Router {
    let addresses = Arc::new(addresses);
    let proxy = Arc::new(Proxy::new(engine, limits));
    let previews = FACADE.around(Router::new().fallback(carry).with_state(proxy));
    Router::new().fallback(move |request: Request| {
        let (api, previews) = (api.clone(), previews.clone());
        let addresses = Arc::clone(&addresses);
        part(request, addresses, api, previews)
    })
}

async fn part(
    request: Request,
    addresses: Arc<Addresses>,
    api: Router,
    previews: Router,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let address = address::find(&parts, &addresses);
    parts.extensions.insert(addresses);
    let router = match address {
        Some(address) => {
            parts.extensions.insert(address);
            previews
        }
        None => api,
    };
    let answered: Result<Response, Infallible> =
        router.oneshot(Request::from_parts(parts, body)).await;
    match answered {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
