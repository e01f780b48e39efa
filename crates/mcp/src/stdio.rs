//! The tools for the one client that started this program.

use std::future::Future;
use std::time::Duration;

use pinfold_sdk::Client;
use rmcp::ServiceExt;
use rmcp::transport::async_rw::AsyncRwTransport;

use crate::MESSAGE_MAX_BYTES;
use crate::calls::Calls;
use crate::server::{Caller, Server};

/// For calls that a client left behind to end what they began. Below the time after which clients
/// lose patience with a server that does not end.
const LEAVING: Duration = Duration::from_secs(4);

/// The connection to the MCP client ended otherwise than by its end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the MCP client did not begin as the protocol says: {0}")]
    Begin(String),
    #[error("the MCP server broke down")]
    Broken(#[source] tokio::task::JoinError),
}

/// Serves the client at our stdin and stdout, with the key of `client`, until it closes them or `end`
/// completes. Commands that it still waits for are killed then.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve_stdio(client: Client, end: impl Future<Output = ()>) -> Result<(), ServeError> {
    let calls = Calls::default();
    let caller = Caller {
        client,
        owner: String::new(),
    };
    let (stdin, stdout) = rmcp::transport::stdio();
    let transport =
        AsyncRwTransport::new_server(stdin, stdout).with_max_line_length(MESSAGE_MAX_BYTES);
    let begun = Server::of(caller, calls.clone()).serve(transport);
    tokio::pin!(end);
    let running = tokio::select! {
        begun = begun => begun.map_err(|error| ServeError::Begin(error.to_string()))?,
        () = &mut end => return Ok(()),
    };
    let cancel = running.cancellation_token();
    let waiting = running.waiting();
    tokio::pin!(waiting);
    let ended = tokio::select! {
        ended = &mut waiting => ended,
        () = end => {
            cancel.cancel();
            waiting.await
        }
    };
    calls.ended(LEAVING).await;
    ended.map(drop).map_err(ServeError::Broken)
}
