//! How long a devbox lives, and what it does before it sleeps. Pure.

use std::time::Duration;

use pinfold_engine::CreateSandbox;
use pinfold_model::sandbox::IdleAction;
use pinfold_model::{Farewell, limits};

use super::commands;
use crate::runloop::errors::Refused;
use crate::runloop::wire;

const KEEP_ALIVE: u64 = 3600;
const KEEP_ALIVE_MAX: u64 = 48 * 3600;
/// What suspend commands may take unless something else is said, and at most.
const SUSPEND_MS: u64 = 30_000;
const SUSPEND_MAX_MS: u64 = 60_000;

pub(super) fn lifetime(
    sandbox: &mut CreateSandbox,
    launch: wire::LaunchParameters,
) -> Result<(), Refused> {
    let of_lifecycle = launch.lifecycle.and_then(|of| of.after_idle);
    if let Some(idle) = launch.after_idle.or(of_lifecycle) {
        let wanted = Duration::from_secs(idle.idle_time_seconds);
        if wanted.is_zero() || wanted > limits::TTL_MAX {
            return Err(Refused::invalid(
                "launch_parameters.after_idle.idle_time_seconds",
                format!("must be from 1 to {}", limits::TTL_MAX.as_secs()),
            ));
        }
        sandbox.idle_timeout = Some(wanted);
        sandbox.idle_action = Some(match idle.on_idle.as_str() {
            "shutdown" => IdleAction::Destroy,
            "suspend" => IdleAction::Stop,
            other => {
                return Err(Refused::invalid(
                    "launch_parameters.after_idle.on_idle",
                    format!("must be \"shutdown\" or \"suspend\", not {other:?}"),
                ));
            }
        });
        return Ok(());
    }
    let seconds = launch.keep_alive_time_seconds.unwrap_or(KEEP_ALIVE);
    if !(1..=KEEP_ALIVE_MAX).contains(&seconds) {
        return Err(Refused::invalid(
            "launch_parameters.keep_alive_time_seconds",
            format!("must be from 1 to {KEEP_ALIVE_MAX}"),
        ));
    }
    sandbox.ttl = Some(Duration::from_secs(seconds));
    Ok(())
}

pub(super) fn farewell(lifecycle: Option<&wire::Lifecycle>) -> Result<Farewell, Refused> {
    let Some(hooks) = lifecycle.and_then(|of| of.lifecycle_hooks.as_ref()) else {
        return Ok(Farewell::default());
    };
    let deadline = hooks.suspend_deadline_ms.unwrap_or(SUSPEND_MS);
    if !(1..=SUSPEND_MAX_MS).contains(&deadline) {
        return Err(Refused::invalid(
            "launch_parameters.lifecycle.lifecycle_hooks.suspend_deadline_ms",
            format!("must be from 1 to {SUSPEND_MAX_MS}"),
        ));
    }
    let lines = hooks.suspend_commands.as_deref().unwrap_or_default();
    if lines.is_empty() {
        return Ok(Farewell::default());
    }
    Ok(Farewell {
        commands: commands(lines),
        patience: Duration::from_millis(deadline),
        ..Farewell::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn launch(parameters: Value) -> Result<CreateSandbox, Refused> {
        let body = json!({ "launch_parameters": parameters });
        super::super::create(serde_json::from_value(body).expect("a request"), None)
    }

    #[test]
    fn idleness_takes_the_place_of_the_lifetime() {
        let idle = json!({ "idle_time_seconds": 60, "on_idle": "suspend" });
        for parameters in [
            json!({ "after_idle": idle, "keep_alive_time_seconds": 5 }),
            json!({ "lifecycle": { "after_idle": idle } }),
        ] {
            let made = launch(parameters).expect("legal");
            assert_eq!((made.ttl, made.idle_action), (None, Some(IdleAction::Stop)));
            assert_eq!(made.idle_timeout, Some(Duration::from_secs(60)));
        }
        assert!(launch(json!({ "keep_alive_time_seconds": 172_801 })).is_err());
        for bad in [0, 2_592_001] {
            let idle = json!({ "idle_time_seconds": bad, "on_idle": "suspend" });
            assert!(launch(json!({ "after_idle": idle })).is_err(), "{bad}");
        }
    }

    #[test]
    fn suspend_commands_have_a_deadline() {
        let hooks = |hooks: Value| launch(json!({ "lifecycle": { "lifecycle_hooks": hooks } }));
        let made = hooks(json!({ "suspend_commands": ["a", "b"] })).expect("legal");
        let farewell = made.more.farewell;
        assert_eq!(farewell.commands.len(), 2);
        assert_eq!(farewell.patience, Duration::from_secs(30));
        let made = hooks(json!({ "suspend_commands": ["a"], "suspend_deadline_ms": 60_000 }));
        let farewell = made.expect("legal").more.farewell;
        assert_eq!(farewell.patience, Duration::from_secs(60));
        for nothing in [json!(null), json!({}), json!({ "suspend_commands": [] })] {
            assert!(hooks(nothing).expect("legal").more.farewell.is_empty());
        }
        for bad in [0, 60_001] {
            let refused = hooks(json!({ "suspend_commands": ["a"], "suspend_deadline_ms": bad }));
            assert!(refused.is_err(), "{bad}");
        }
    }
}
