//! Handlers of SQL on axons' databases.

use axum::extract::State;
use pinfold_engine::Engine;
use pinfold_http::{Caller, Json, Path};

use super::errors::Refused;
use super::from_wire::axon as from_wire;
use super::{ids, to_wire, wire};

pub(super) async fn query(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::SqlStatement>,
) -> Result<Json<wire::SqlResult>, Refused> {
    let (id, statement) = (ids::axon(&id)?, from_wire::statement(request)?);
    let answer = engine.query_axon(&ctx, &id, statement).await?;
    Ok(Json(to_wire::sql_result(answer)))
}

pub(super) async fn batch(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(id): Path<String>,
    Json(request): Json<wire::SqlBatch>,
) -> Result<Json<wire::SqlBatchResult>, Refused> {
    let id = ids::axon(&id)?;
    let statements = request.statements.into_iter().map(from_wire::statement);
    let statements = statements.collect::<Result<Vec<_>, _>>()?;
    let count = statements.len();
    let batch = engine.batch_axon(&ctx, &id, statements).await?;
    Ok(Json(to_wire::sql_batch(batch, count)))
}
