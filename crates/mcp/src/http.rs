//! `/mcp`: the tools over streamable HTTP, each request with the key that it brings.
//!
//! ```text
//! key -> origin -> session (is it this key's?) -> protocol -> tool -> API in this process, same key
//! ```
//! Clients of protocol 2026-07-28 have no sessions: each request stands for itself, and closing its
//! answer cancels it. Older ones begin a session, which belongs to the key that began it.

mod origin;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures::StreamExt;
use pinfold_http::{
    Addresses, Authenticate, Caller as Authenticated, Draining, Facade, Failure, Peer, RequestTag,
    authenticated, authority, credential,
};
use pinfold_model::{Code, Ctx, Error};
use pinfold_sdk::{Client, InProcess};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;

use crate::MESSAGE_MAX_BYTES;
use crate::calls::Calls;
use crate::server::{Caller, Server};

use sessions::{Sessions, Using};

/// Where clients find it.
pub const PATH: &str = "/mcp";

const SESSION_HEADER: HeaderName = HeaderName::from_static("mcp-session-id");
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
/// Names the host where nobody did.
const NO_HOST: &str = "localhost";
/// Between signs of life on a stream that has nothing to tell.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Failures before the protocol begins, in its own form.
const FACADE: Facade = Facade {
    name: "mcp",
    render,
    elsewhere: &[],
};

/// A code of JSON-RPC for errors of the server's own kind.
const JSON_RPC_SERVER_ERROR: i32 = -32000;

#[derive(Clone)]
struct Mcp {
    protocol: StreamableHttpService<Server, LocalSessionManager>,
    sessions: Arc<Sessions>,
    api: InProcess,
}

/// The route `/mcp`. Its tools use `api`, the native API of the same server, which judges each
/// caller's key and rights for itself.
///
/// # Errors
/// Where the client of the API cannot be made.
pub fn router(api: Router, authority: Arc<dyn Authenticate>) -> Result<Router, pinfold_sdk::Error> {
    let manager = Arc::new(sessions::manager());
    let calls = Calls::default();
    let config = StreamableHttpServerConfig::default()
        .with_max_request_body_bytes(MESSAGE_MAX_BYTES)
        .with_sse_keep_alive(Some(KEEP_ALIVE))
        // Ours judges origin and host together, by what this server is known as.
        .disable_allowed_hosts();
    let making = move || Ok(Server::of_requests(calls.clone()));
    let mcp = Mcp {
        protocol: StreamableHttpService::new(making, Arc::clone(&manager), config),
        sessions: Arc::new(Sessions::new(manager)),
        api: InProcess::new(api)?,
    };
    let routes = Router::new().route(PATH, any(handle));
    Ok(FACADE
        .around(authenticated(routes, authority))
        .with_state(mcp))
}

async fn handle(
    State(mcp): State<Mcp>,
    Authenticated(ctx): Authenticated,
    tag: RequestTag,
    draining: Draining,
    request: Request,
) -> Result<Response, Failure> {
    let (mut parts, body) = request.into_parts();
    origin::check(&parts)?;
    let owner = owner(&ctx);
    let using = mcp.using(&parts, &owner)?;
    let client = mcp.client(&parts, &tag)?;
    // What the protocol's library sees, it may log.
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove(KEY_HEADER);
    parts.extensions.insert(Caller {
        client,
        owner: owner.clone(),
    });
    // The library keeps them while a call is under way, and for as long its session is in use.
    if let Some(using) = &using {
        parts.extensions.insert(using.clone());
    }
    let method = parts.method.clone();
    let answered = mcp.protocol.handle(Request::from_parts(parts, body)).await;
    let mut answered = answered.map(Body::new);
    match using {
        Some(using) if method == Method::DELETE && answered.status().is_success() => {
            mcp.sessions.ended(using);
            // The library's 202 means that it will happen; clients complain, and it has.
            *answered.status_mut() = StatusCode::NO_CONTENT;
        }
        Some(_) => {}
        None => {
            let id = answered.headers().get(SESSION_HEADER).cloned();
            mcp.begun(id, &owner).await;
        }
    }
    Ok(match method {
        // What only listens must not hold up the end of the server.
        Method::GET => answered.map(|body| until(body, draining.wait_owned())),
        _ => answered,
    })
}

impl Mcp {
    /// The session that a request is of. Another key's is one that does not exist.
    fn using(&self, parts: &Parts, owner: &str) -> Result<Option<Using>, Failure> {
        let Some(id) = parts.headers.get(SESSION_HEADER) else {
            return Ok(None);
        };
        let using = id
            .to_str()
            .ok()
            .and_then(|id| self.sessions.find(id, owner));
        using.map(Some).ok_or_else(|| {
            let text = "there is no MCP session with this id: it has ended, or the server was \
                        started again; begin a new one with initialize";
            Error::new(Code::SessionNotFound, text).into()
        })
    }

    /// Remembers whose a new session is.
    async fn begun(&self, id: Option<HeaderValue>, owner: &str) {
        if let Some(id) = id.as_ref().and_then(|id| id.to_str().ok()) {
            self.sessions.begun(id, owner).await;
        }
    }

    /// A client of the API in this process with the request's own key, for which the server is where
    /// the caller said it is.
    fn client(&self, parts: &Parts, tag: &RequestTag) -> Result<Client, Failure> {
        let host = authority(parts).map_or_else(|| NO_HOST.to_owned(), |host| host.to_string());
        let key = credential(&parts.headers)?;
        let mut headers = HeaderMap::new();
        if let Ok(id) = tag.shown.parse() {
            headers.insert(REQUEST_ID_HEADER, id);
        }
        let made = self.api.client(
            &format!("http://{host}"),
            key,
            headers,
            passed_on(&parts.extensions),
        );
        made.map_err(|_| Error::invalid("host", "the header Host names no host").into())
    }
}

/// What the API wants to know of a request beside its headers. Not the rate limits: the call has been
/// counted.
fn passed_on(extensions: &Extensions) -> Extensions {
    let mut passed = Extensions::new();
    if let Some(addresses) = extensions.get::<Arc<Addresses>>() {
        passed.insert(Arc::clone(addresses));
    }
    if let Some(peer) = extensions.get::<Peer>() {
        passed.insert(*peer);
    }
    passed
}

/// Who sessions and calls belong to.
fn owner(ctx: &Ctx) -> String {
    ctx.principal
        .key
        .as_ref()
        .map_or_else(String::new, ToString::to_string)
}

fn until(body: Body, end: impl Future<Output = ()> + Send + 'static) -> Body {
    Body::from_stream(body.into_data_stream().take_until(end))
}

fn render(failure: &Failure, request_id: &str) -> Response {
    let error = failure.error();
    let body = json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": {
            "code": JSON_RPC_SERVER_ERROR,
            "message": error.message(),
            "data": {
                "code": error.code().as_str(),
                "details": error.details(),
                "request_id": request_id,
            },
        },
    });
    (failure.status(), axum::Json(body)).into_response()
}
