//! Sandboxes that are there for one command, and end with it.

use pinfold_engine::CreateSandbox;
use pinfold_model::sandbox::{EndReason, SandboxExtras};
use pinfold_model::setup::Main;
use pinfold_model::{SandboxState, Setup};

use super::place::{Place, small};
use super::setup::{line, text};

fn with_main(text: &str) -> CreateSandbox {
    CreateSandbox {
        more: SandboxExtras {
            setup: Setup {
                each_start: vec![line("echo set up >> /tmp/log")],
                ..Setup::default()
            },
            main: Some(Main {
                program: line(text),
                lives: 0,
            }),
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
    let place = Place::new();
    let life = place.live();
    let id = life.run(async {
        let waits = "echo begun >> /tmp/main; while ! test -e /tmp/go; do sleep 0.02; done";
        let id = life.create(with_main(waits)).await.id;
        while text(&life, &id, "cat /tmp/main 2>/dev/null").await != "begun\n" {}
        id
    });
    life.crash();
    let life = place.live();
    life.run(async {
        life.until(&id, SandboxState::Running).await;
        assert_eq!(text(&life, &id, "cat /tmp/main").await, "begun\n");
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
