//! Terminals over WebSocket: binary frames are terminal bytes both ways, text frames are these
//! messages as JSON.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::error::ErrorBody;

/// Which terminal: a new one, or that of a command started earlier with `tty`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct PtyQuery {
    /// A shell line to run; an interactive shell when absent. Not together with `command_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Attach to this command instead of starting one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// When attaching: only output after this record; all of it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
    /// 24 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1))]
    pub rows: Option<u16>,
    /// 80 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1))]
    pub cols: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What a client says in a text frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum PtyClientMessage {
    Resize {
        rows: u16,
        cols: u16,
    },
    /// To the terminal's foreground processes.
    Signal {
        signal: String,
    },
}

/// What the server says in a text frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PtyServerMessage {
    /// First of all. The command's id serves to attach again later.
    Ready { command: Box<Command> },
    /// Everything up to this record has been sent: attach again with `after_seq` set to it.
    Position { seq: u64 },
    /// Output was dropped from here on: the cap was reached.
    Truncated { seq: u64 },
    /// The command ended; the socket closes next.
    Exit { command: Box<Command> },
    /// Something failed; the socket closes next unless the error concerns one message only.
    Error { error: ErrorBody },
}
