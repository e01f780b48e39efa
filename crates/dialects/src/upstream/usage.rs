//! What the account has used since it exists.

use axum::extract::State;
use pinfold_engine::Engine;
use pinfold_http::{Failure, Json};
use pinfold_model::Time;

use super::{Account, to_wire, wire};

pub(super) async fn get(
    State(engine): State<Engine>,
    Account(ctx): Account,
) -> Result<Json<wire::Usage>, Failure> {
    let totals = engine.project_usage(&ctx, Time::UNIX_EPOCH, Time::MAX);
    Ok(Json(to_wire::usage(&totals.await?)))
}
