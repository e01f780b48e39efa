//! Tunnels, and sizes of terminals.

use pinfold_model::tunnel::{Traffic, Wake};
use pinfold_model::{TunnelAccess, TunnelSpec, WindowSize};
use serde_json::{Map, Value};

use crate::runloop::errors::Refused;
use crate::runloop::wire;

const SIDE_MAX: i64 = 1000;

/// What the launch parameters say about waking outranks what the tunnel does.
pub(in crate::runloop) fn tunnel(
    request: &wire::EnableTunnel,
    launch_parameters: &Map<String, Value>,
) -> Result<TunnelSpec, Refused> {
    let access = match request.auth_mode.as_deref() {
        None | Some("open") => TunnelAccess::Open,
        Some("authenticated") => TunnelAccess::Token,
        Some(other) => {
            return Err(Refused::invalid(
                "auth_mode",
                format!("must be \"open\" or \"authenticated\", not {other:?}"),
            ));
        }
    };
    let triggers = launch_parameters.get("lifecycle");
    let http = triggers.and_then(|of| of.get("resume_triggers")?.get("http")?.as_bool());
    Ok(TunnelSpec {
        access,
        traffic: match request.http_keep_alive.unwrap_or(true) {
            true => Traffic::KeepsInUse,
            false => Traffic::Ignored,
        },
        wake: match http.or(request.wake_on_http).unwrap_or(false) {
            true => Wake::OnRequest,
            false => Wake::Never,
        },
    })
}

/// `None` where a side is missing or out of bounds: then neither counts.
pub(in crate::runloop) fn size(cols: Option<i64>, rows: Option<i64>) -> Option<WindowSize> {
    let side = |length: Option<i64>| {
        let length = length.filter(|length| (1..=SIDE_MAX).contains(length))?;
        u16::try_from(length).ok()
    };
    Some(WindowSize {
        cols: side(cols)?,
        rows: side(rows)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(request: Value, launch: Value) -> Option<TunnelSpec> {
        let request = serde_json::from_value(request).expect("a request");
        tunnel(&request, launch.as_object().expect("a map")).ok()
    }

    #[test]
    fn a_tunnel_is_open_keeps_its_devbox_in_use_and_wakes_nothing_unless_told() {
        let usual = TunnelSpec {
            access: TunnelAccess::Open,
            traffic: Traffic::KeepsInUse,
            wake: Wake::Never,
        };
        assert_eq!(spec(json!({}), json!({})), Some(usual));
        let nulls = json!({"auth_mode": null, "http_keep_alive": null, "wake_on_http": null});
        assert_eq!(spec(nulls, json!({})), Some(usual));
        let all = json!({
            "auth_mode": "authenticated", "http_keep_alive": false, "wake_on_http": true,
        });
        let other = TunnelSpec {
            access: TunnelAccess::Token,
            traffic: Traffic::Ignored,
            wake: Wake::OnRequest,
        };
        assert_eq!(spec(all, json!({})), Some(other));
        assert_eq!(spec(json!({"auth_mode": "public"}), json!({})), None);
    }

    #[test]
    fn launch_parameters_outrank_the_tunnel() {
        let says = |http| json!({"lifecycle": {"resume_triggers": {"http": http}}});
        for (http, asked, wake) in [
            (Some(true), false, Wake::OnRequest),
            (Some(false), true, Wake::Never),
            (None, true, Wake::OnRequest),
        ] {
            let found = spec(json!({"wake_on_http": asked}), says(http));
            assert_eq!(found.expect("valid").wake, wake);
        }
    }

    #[test]
    fn a_size_has_two_sides_within_bounds() {
        let whole = WindowSize {
            cols: 1,
            rows: 1000,
        };
        assert_eq!(size(Some(1), Some(1000)), Some(whole));
        for (cols, rows) in [
            (None, Some(1)),
            (Some(1), None),
            (Some(0), Some(1)),
            (Some(1), Some(1001)),
            (Some(-1), Some(70000)),
        ] {
            assert_eq!(size(cols, rows), None);
        }
    }
}
