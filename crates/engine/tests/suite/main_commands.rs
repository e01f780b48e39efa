//! Sandboxes that are there for one command, and end with it.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{CreateSandbox, EngineConfig};
use pinfold_model::sandbox::{EndReason, SandboxExtras};
use pinfold_model::setup::Main;
use pinfold_model::{Farewell, SandboxState, Setup, limits};

use super::clock::ManualClock;
use super::place::{Place, small};
use super::setup::{line, text};

fn with_main(text: &str) -> CreateSandbox {
    CreateSandbox {
        more: SandboxExtras {
            setup: Setup {
                each_start: vec![line("echo set up >> /tmp/log")],
                ..Setup::default()
            },
            main: Some(Main::new(line(text))),
            ..SandboxExtras::default()
        },
        ..small()
    }
}

#[test]
fn a_sandbox_ends_with_its_main_command() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let waits =
            "cat /tmp/log > /tmp/main; while ! test -e /tmp/go; do sleep 0.02; done; exit 7";
        let id = life.create(with_main(waits)).await.id;
        while text(&life, &id, "cat /tmp/main 2>/dev/null").await != "set up\n" {}
        life.sh(&id, "touch /tmp/go").await;
        let ended = life.until(&id, SandboxState::Destroyed).await;
        assert_eq!(ended.reason, Some(EndReason::MainExited));
    });
    life.clean_up(&place);
}

#[test]
fn a_main_command_is_found_by_the_next_server_and_ends_the_sandbox_then() {
    found_after(Duration::ZERO);
}

/// Longer than any idempotency key is kept.
#[test]
fn a_main_command_is_found_by_a_server_of_another_day() {
    found_after(limits::IDEMPOTENCY_KEPT * 3);
}

fn found_after(pause: Duration) {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    let id = life.run(async {
        let waits = "echo begun >> /tmp/main; while ! test -e /tmp/go; do sleep 0.02; done";
        let long = CreateSandbox {
            ttl: None,
            ..with_main(waits)
        };
        let id = life.create(long).await.id;
        while text(&life, &id, "cat /tmp/main 2>/dev/null").await != "begun\n" {}
        id
    });
    life.crash();
    clock.forward(pause);
    let life = place.live_with(EngineConfig::default(), clock);
    life.run(async {
        life.until(&id, SandboxState::Running).await;
        // A second one would have been begun by now.
        for _ in 0..20 {
            assert_eq!(text(&life, &id, "cat /tmp/main").await, "begun\n");
        }
        let last = life.try_sh(&id, "touch /tmp/go").await;
        drop(last);
        let ended = life.until(&id, SandboxState::Destroyed).await;
        assert_eq!(ended.reason, Some(EndReason::MainExited));
    });
    life.clean_up(&place);
}

#[test]
fn a_stop_ends_the_main_command_and_each_start_begins_it_again() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let waits = "echo begun >> /tmp/main; exec sleep 600";
        let id = life.create(with_main(waits)).await.id;
        let (engine, ctx) = (&life.engine, &life.ctx);
        for begun in ["begun\n", "begun\nbegun\n"] {
            while text(&life, &id, "cat /tmp/main 2>/dev/null").await != begun {}
            let stopped = engine.stop_sandbox(ctx, &id).await.expect("stop");
            assert_eq!(stopped.state, SandboxState::Stopped);
            engine.start_sandbox(ctx, &id).await.expect("start");
        }
        while text(&life, &id, "cat /tmp/main").await.lines().count() < 3 {}
    });
    life.clean_up(&place);
}

/// Nobody follows a command while its sandbox says farewell, and a freeze does not end its life.
#[test]
fn a_main_command_that_ends_during_a_farewell_ends_the_sandbox_when_it_runs_again() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let mut request =
            with_main("touch /tmp/main; while ! test -e /tmp/go; do sleep 0.02; done");
        request.more.farewell = Farewell {
            commands: vec![line("touch /tmp/go; sleep 1")],
            patience: Duration::from_secs(30),
            ..Farewell::default()
        };
        let id = life.create(request).await.id;
        while text(&life, &id, "ls /tmp/main 2>/dev/null")
            .await
            .is_empty()
        {}
        let (engine, ctx) = (&life.engine, &life.ctx);
        let suspended = engine.suspend_sandbox(ctx, &id).await.expect("suspend");
        assert_eq!(suspended.state, SandboxState::Suspended);
        engine.resume_sandbox(ctx, &id).await.expect("resume");
        let ended = life.until(&id, SandboxState::Destroyed).await;
        assert_eq!(ended.reason, Some(EndReason::MainExited));
    });
    life.clean_up(&place);
}
