//! Handlers of logs: what the commands of a devbox wrote last, oldest first.

use axum::extract::State;
use pinfold_engine::{Engine, PageRequest, TextTail};
use pinfold_http::{Caller, Json, Path, Query};
use pinfold_model::Code;

use super::errors::Refused;
use super::to_wire::Newest;
use super::{executions, ids, to_wire, wire};

/// Without an execution in the request: the last so many.
const COMMANDS_MAX: u32 = 50;
/// Lines of one answer at most, and bytes of their text.
const LINES_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 << 20;
/// Pieces of one command's output at most; its streams have all.
const CHUNKS_MAX: usize = 1000;

pub(super) async fn of_devbox(
    State(engine): State<Engine>,
    Caller(ctx): Caller,
    Path(devbox): Path<String>,
    Query(query): Query<wire::LogsQuery>,
) -> Result<Json<wire::Logs>, Refused> {
    let commands = match &query.execution_id {
        Some(id) => vec![executions::of(&engine, &ctx, &devbox, id).await?],
        None => {
            let page = PageRequest::new(COMMANDS_MAX, None);
            let id = ids::devbox(&devbox)?;
            engine.list_commands(&ctx, &id, &page).await?.items
        }
    };
    let mut newest = Newest::new(LINES_MAX, BYTES_MAX);
    for command in commands {
        let text = match engine.last_text(&ctx, &command.id, CHUNKS_MAX).await {
            Err(error) if error.code() == Code::OutputGone => TextTail::default(),
            text => text?,
        };
        newest.take(to_wire::logs(&command, text).collect());
        if newest.is_full() {
            break;
        }
    }
    let mut logs = newest.finish();
    if query.execution_id.is_none() {
        let sandbox = engine.get_sandbox(&ctx, &ids::devbox(&devbox)?).await?;
        logs.extend(to_wire::failure_log(&sandbox));
    }
    Ok(Json(wire::Logs { logs }))
}
