//! Handlers of logs: what the commands of a devbox wrote, oldest first.

use axum::extract::State;
use pinfold_engine::{Engine, PageRequest, TextPage};
use pinfold_http::{Caller, Json, Path, Query};
use pinfold_model::Code;

use super::errors::Refused;
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
    let (mut logs, mut room) = (Vec::new(), BYTES_MAX);
    'all: for command in commands.into_iter().rev() {
        let text = match engine.read_text(&ctx, &command.id, 0, CHUNKS_MAX).await {
            Err(error) if error.code() == Code::OutputGone => TextPage::default(),
            text => text?,
        };
        for log in to_wire::logs(&command, text) {
            let text = log.message.as_ref().or(log.cmd.as_ref());
            let bytes = text.map_or(0, String::len);
            if logs.len() == LINES_MAX || bytes > room {
                break 'all;
            }
            room -= bytes;
            logs.push(log);
        }
    }
    Ok(Json(wire::Logs { logs }))
}
