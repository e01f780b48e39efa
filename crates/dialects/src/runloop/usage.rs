//! The handler of a devbox's usage.

use axum::extract::State;
use pinfold_engine::Engine;
use pinfold_http::{Caller, Json, Path};

use super::errors::Refused;
use super::{ids, to_wire, wire};

pub(super) async fn of_devbox(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::Usage>, Refused> {
    let used = engine.sandbox_used(&ctx, &ids::devbox(&id)?).await?;
    Ok(Json(to_wire::usage(&used)))
}
