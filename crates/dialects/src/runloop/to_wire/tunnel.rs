//! Tunnels of all ports.

use pinfold_engine::ShownTunnel;
use pinfold_model::TunnelAccess;
use pinfold_model::tunnel::{Traffic, Wake};

use super::time;
use crate::runloop::wire;

pub(in crate::runloop) fn tunnel(shown: ShownTunnel) -> wire::Tunnel {
    let spec = shown.tunnel.spec;
    wire::Tunnel {
        tunnel_key: shown.tunnel.key.as_str().to_owned(),
        auth_mode: match spec.access {
            TunnelAccess::Open => "open",
            TunnelAccess::Token => "authenticated",
        },
        create_time_ms: time(shown.tunnel.created_at),
        http_keep_alive: spec.traffic == Traffic::KeepsInUse,
        wake_on_http: spec.wake == Wake::OnRequest,
        auth_token: shown.token,
    }
}
