//! Parts previews' requests from the API's, before any route is looked at.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use pinfold_engine::Engine;
use pinfold_http::Addresses;
use tower::ServiceExt;

use crate::address::{self, Owner};
use crate::failure::FACADE;
use crate::limits::Limits;
use crate::proxy::{Proxy, carry};

/// A router that serves previews and tunnels at their addresses, hosts of terminals by `terminals`
/// (with their [`pinfold_model::TerminalsKey`] as an extension), and everything else by `api`. The
/// addresses that the operator configured are known to every handler.
pub fn serve_with_previews(
    engine: Engine,
    addresses: Addresses,
    limits: Limits,
    terminals: Router,
    api: Router,
) -> Router {
    let addresses = Arc::new(addresses);
    let proxy = Arc::new(Proxy::new(engine, limits));
    let previews = FACADE.around(Router::new().fallback(carry).with_state(proxy));
    Router::new().fallback(move |request: Request| {
        let routers = [api.clone(), previews.clone(), terminals.clone()];
        let addresses = Arc::clone(&addresses);
        part(request, addresses, routers)
    })
}

async fn part(
    request: Request,
    addresses: Arc<Addresses>,
    [api, previews, terminals]: [Router; 3],
) -> Response {
    let (mut parts, body) = request.into_parts();
    let owner = address::find(&parts, &addresses);
    parts.extensions.insert(addresses);
    let router = match owner {
        Owner::Address(address) => {
            parts.extensions.insert(address);
            previews
        }
        Owner::Terminals(key) => {
            parts.extensions.insert(key);
            terminals
        }
        Owner::Api => api,
    };
    let answered: Result<Response, Infallible> =
        router.oneshot(Request::from_parts(parts, body)).await;
    match answered {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
