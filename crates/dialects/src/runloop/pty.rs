//! Terminals on hosts of their own: found or opened by name, controlled, and shown over WebSocket.
//!
//! The host's key and the token are made together and prove each other; nothing of either is kept.

mod admitted;
mod socket;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use pinfold_engine::{Engine, OpenTerminal, Origin, TERMINAL_IDLE};
use pinfold_http::{Draining, Json, Path, Query};
use pinfold_model::{TerminalName, signal};

use super::errors::{FACADE, Refused, Retry};
use super::{from_wire, wire};

use admitted::Admitted;
use socket::{FRAME_MAX_BYTES, Shown};

const PROTOCOL_VERSION: &str = "1";
/// The only status that is answered: what is not well is an error.
const OK: &str = "ok";

/// The routes of hosts whose [`pinfold_model::TerminalsKey`] is an extension of the request.
pub(crate) fn terminals(engine: Engine) -> Router {
    let routes = Router::new()
        .route("/pty/{name}", get(connect))
        .route("/pty/{name}/control", post(control))
        .route("/pty/{name}/attach", get(attach));
    FACADE.wrap(routes).with_state(engine)
}

async fn connect(
    State(engine): State<Engine>,
    admitted: Admitted,
    Path(name): Path<String>,
    Query(query): Query<wire::PtySize>,
) -> Result<Json<wire::PtySession>, Refused> {
    let name: TerminalName = name.parse()?;
    let open = OpenTerminal {
        program: Some(from_wire::terminal()),
        env: [("TERM".to_owned(), "xterm-256color".to_owned())].into(),
        ..OpenTerminal::default()
    };
    let size = from_wire::size(query.cols, query.rows);
    let (ctx, sandbox) = (&admitted.ctx, &admitted.sandbox);
    let found = engine
        .named_terminal(ctx, sandbox, &name, open, size)
        .await?;
    Ok(Json(wire::PtySession {
        connect_url: format!("/pty/{}/attach", name.as_str()),
        session_name: name.as_str().to_owned(),
        status: OK,
        protocol_version: PROTOCOL_VERSION,
        created: found.origin == Origin::New,
        attached: found.attached,
        cols: found.size.cols,
        rows: found.size.rows,
        idle_ttl_seconds: TERMINAL_IDLE.as_secs(),
    }))
}

async fn control(
    State(engine): State<Engine>,
    admitted: Admitted,
    Path(name): Path<String>,
    Json(request): Json<wire::PtyControl>,
) -> Result<Json<wire::PtyControlled>, Refused> {
    let name: TerminalName = name.parse()?;
    let (ctx, sandbox) = (&admitted.ctx, &admitted.sandbox);
    match request.action.as_deref() {
        Some("resize") => {
            let size = from_wire::size(request.cols, request.rows);
            let size = size.ok_or_else(|| Refused::invalid("cols, rows", "from 1 to 1000"))?;
            engine
                .resize_named_terminal(ctx, sandbox, &name, size)
                .await?;
        }
        Some("signal") => {
            let number = signal::parse(request.signal.as_deref().unwrap_or_default())?;
            engine
                .signal_named_terminal(ctx, sandbox, &name, number)
                .await?;
        }
        Some("close") => engine.close_named_terminal(ctx, sandbox, &name).await?,
        Some(_) | None => {
            let known = "must be \"resize\", \"signal\" or \"close\"";
            return Err(Refused::invalid("action", known));
        }
    }
    Ok(Json(wire::PtyControlled {
        session_name: name.as_str().to_owned(),
        status: OK,
    }))
}

async fn attach(
    State(engine): State<Engine>,
    admitted: Admitted,
    Path(name): Path<String>,
    Query(query): Query<wire::PtySize>,
    draining: Draining,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refused> {
    let name: TerminalName = name.parse()?;
    let upgrade = upgrade.map_err(|rejection| {
        let text = format!("this route speaks WebSocket: {}", rejection.body_text());
        Refused::Vendor(StatusCode::UPGRADE_REQUIRED, Retry::Usual, text)
    })?;
    let (ctx, sandbox) = (&admitted.ctx, &admitted.sandbox);
    let attached = engine.attach_named_terminal(ctx, sandbox, &name).await?;
    if let Some(size) = from_wire::size(query.cols, query.rows) {
        engine
            .resize_named_terminal(ctx, sandbox, &name, size)
            .await?;
    }
    // Browsers want one of those that they offered chosen.
    let upgrade = upgrade.protocols(admitted.protocol.clone());
    let shown = Shown {
        engine,
        admitted,
        attached,
    };
    Ok(upgrade
        .max_message_size(FRAME_MAX_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .on_upgrade(move |socket| shown.serve(socket, draining)))
}
