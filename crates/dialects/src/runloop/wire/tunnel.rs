//! Tunnels, and terminals over WebSocket.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct CreateTunnel {
    pub(in crate::runloop) port: i64,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct RemoveTunnel {
    /// `None`: the tunnel of all ports.
    pub(in crate::runloop) port: Option<i64>,
}

/// A tunnel of one port.
#[derive(Debug, Serialize)]
pub(in crate::runloop) struct PortTunnel {
    pub(in crate::runloop) devbox_id: String,
    pub(in crate::runloop) port: u16,
    pub(in crate::runloop) url: String,
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::runloop) struct EnableTunnel {
    pub(in crate::runloop) auth_mode: Option<String>,
    pub(in crate::runloop) http_keep_alive: Option<bool>,
    pub(in crate::runloop) wake_on_http: Option<bool>,
}

/// A tunnel of all ports. Holds a secret, so nothing prints it.
#[derive(Serialize)]
pub(in crate::runloop) struct Tunnel {
    pub(in crate::runloop) tunnel_key: String,
    pub(in crate::runloop) auth_mode: &'static str,
    pub(in crate::runloop) create_time_ms: i64,
    pub(in crate::runloop) http_keep_alive: bool,
    pub(in crate::runloop) wake_on_http: bool,
    pub(in crate::runloop) auth_token: Option<String>,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}

/// Holds a secret, so nothing prints it.
#[derive(Serialize)]
pub(in crate::runloop) struct PtyTunnel {
    pub(in crate::runloop) tunnel_key: String,
    pub(in crate::runloop) auth_token: String,
}

/// Of the query; `token` is looked at elsewhere.
#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct PtySize {
    pub(in crate::runloop) cols: Option<i64>,
    pub(in crate::runloop) rows: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct PtySession {
    pub(in crate::runloop) session_name: String,
    pub(in crate::runloop) status: &'static str,
    pub(in crate::runloop) protocol_version: &'static str,
    pub(in crate::runloop) connect_url: String,
    pub(in crate::runloop) created: bool,
    pub(in crate::runloop) attached: bool,
    pub(in crate::runloop) cols: u16,
    pub(in crate::runloop) rows: u16,
    pub(in crate::runloop) idle_ttl_seconds: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct PtyControl {
    pub(in crate::runloop) action: Option<String>,
    pub(in crate::runloop) cols: Option<i64>,
    pub(in crate::runloop) rows: Option<i64>,
    pub(in crate::runloop) signal: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct PtyControlled {
    pub(in crate::runloop) session_name: String,
    pub(in crate::runloop) status: &'static str,
}
