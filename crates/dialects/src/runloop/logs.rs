//! Handlers of logs: what the commands of a devbox wrote, oldest first.

use axum::extract::State;
use pinfold_engine::{Engine, PageRequest, TextPage};
use pinfold_http::{Caller, Json, Path, Query};
use pinfold_model::Code;

use super::errors::Refused;
use super::{executions, ids, to_wire, wire};

/// Without an execution in the request: the last so many.
const COMMANDS_MAX: u32 = 50;
/// Lines of one answer at most.
const LINES_MAX: usize = 10_000;
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
    let mut logs = Vec::new();
    for command in commands.into_iter().rev() {
        let text = match engine.read_text(&ctx, &command.id, 0, CHUNKS_MAX).await {
            Err(error) if error.code() == Code::OutputGone => TextPage::default(),
            text => text?,
        };
        let left = LINES_MAX - logs.len();
        logs.extend(to_wire::logs(&command, &text).take(left));
        if logs.len() == LINES_MAX {
            break;
        }
    }
    Ok(Json(wire::Logs { logs }))
}
