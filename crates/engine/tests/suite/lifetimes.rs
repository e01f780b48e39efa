//! Suspending, stopping, lifetimes and idleness.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{CreateSandbox, EngineConfig};
use pinfold_model::sandbox::{EndReason, IdleAction};
use pinfold_model::{Code, CommandState, ExitStatus, SandboxState};

use super::clock::ManualClock;
use super::place::{Life, Place, shell, small};

const MINUTE: Duration = Duration::from_secs(60);

fn with_clock(place: &Place) -> (Life, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    (life, clock)
}

#[test]
fn a_suspended_sandbox_refuses_work_and_goes_on_where_it_was() {
    let place = Place::new();
    let life = place.live();
    let sandbox = life.run(async {
        let sandbox = life.sandbox().await;
        let line = "while ! test -e /tmp/go; do sleep 0.02; done; echo done";
        let command = life.start(&sandbox, shell(line)).await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        for _ in 0..2 {
            let suspended = engine
                .suspend_sandbox(ctx, &sandbox)
                .await
                .expect("suspend");
            assert_eq!(suspended.state, SandboxState::Suspended);
        }
        let refused = life.try_sh(&sandbox, "true").await.expect_err("suspended");
        assert_eq!(refused.code(), Code::SandboxNotRunning);
        let resumed = engine.resume_sandbox(ctx, &sandbox).await.expect("resume");
        assert_eq!(resumed.state, SandboxState::Running);
        life.sh(&sandbox, "touch /tmp/go").await;
        assert_eq!(
            life.wait(&command).await.state,
            CommandState::Exited(ExitStatus::Code(0))
        );
        engine
            .suspend_sandbox(ctx, &sandbox)
            .await
            .expect("suspend");
        sandbox
    });
    life.crash();
    let life = place.live();
    life.run(async {
        assert_eq!(life.state(&sandbox).await.state, SandboxState::Suspended);
        life.engine
            .resume_sandbox(&life.ctx, &sandbox)
            .await
            .expect("resume");
        assert_eq!(life.sh(&sandbox, "echo back").await.stdout, b"back\n");
    });
    life.clean_up(&place);
}

#[test]
fn a_stopped_sandbox_keeps_its_disk_and_ends_its_commands_truly() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        life.sh(&sandbox, "echo kept > /root/file").await;
        let polite = shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done");
        let polite = life.start(&sandbox, polite).await;
        let mut reader = life
            .engine
            .reader(&life.ctx, &polite, 0)
            .await
            .expect("reader");
        reader.next().await.expect("record").expect("it is ready");
        let (engine, ctx) = (&life.engine, &life.ctx);
        let stopped = engine.stop_sandbox(ctx, &sandbox).await.expect("stop");
        assert_eq!(stopped.state, SandboxState::Stopped);
        let ended = life.wait(&polite).await;
        assert_eq!(
            ended.state.exit_status(),
            Some(ExitStatus::Code(5)),
            "{:?}",
            ended.state
        );
        let refused = life.try_sh(&sandbox, "true").await.expect_err("stopped");
        assert_eq!(refused.code(), Code::SandboxNotRunning);
        engine.start_sandbox(ctx, &sandbox).await.expect("start");
        assert_eq!(life.sh(&sandbox, "cat /root/file").await.stdout, b"kept\n");
    });
    life.clean_up(&place);
}

#[test]
fn where_no_disk_can_be_kept_a_stop_is_refused_before_it_does_harm() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        life.sh(&sandbox, "echo kept > /root/file").await;
        let refused = life
            .engine
            .stop_sandbox(&life.ctx, &sandbox)
            .await
            .expect_err("no disk");
        assert_eq!(refused.code(), Code::Unsupported);
        assert_eq!(life.sh(&sandbox, "cat /root/file").await.stdout, b"kept\n");
    });
    life.clean_up(&place);
}

#[test]
fn a_lifetime_ends_a_sandbox_in_use_and_can_be_extended() {
    let place = Place::new();
    let (life, clock) = with_clock(&place);
    life.run(async {
        let request = CreateSandbox {
            ttl: Some(MINUTE * 5),
            ..small()
        };
        let sandbox = life.create(request).await.id;
        let command = life.start(&sandbox, shell("sleep 1000")).await;
        let extended = life
            .engine
            .extend_sandbox(&life.ctx, &sandbox, MINUTE * 10, None)
            .await;
        assert!(extended.expect("extend").expires_at.is_some());
        clock.forward(MINUTE * 6);
        assert_eq!(life.sh(&sandbox, "echo alive").await.stdout, b"alive\n");
        clock.forward(MINUTE * 6);
        let ended = life.until(&sandbox, SandboxState::Destroyed).await;
        assert_eq!(ended.reason, Some(EndReason::TtlExpired));
        assert_eq!(life.wait(&command).await.state, CommandState::Killed);
    });
    life.clean_up(&place);
}

#[test]
fn only_an_unused_sandbox_is_ended_as_idle() {
    let place = Place::new();
    let (life, clock) = with_clock(&place);
    life.run(async {
        let request = CreateSandbox {
            idle_timeout: Some(MINUTE * 5),
            ..small()
        };
        let sandbox = life.create(request).await.id;
        let line = "while ! test -e /tmp/go; do sleep 0.02; done";
        let command = life.start(&sandbox, shell(line)).await;
        clock.forward(MINUTE * 30);
        assert_eq!(life.sh(&sandbox, "touch /tmp/go").await.stdout, b"");
        life.wait(&command).await;
        clock.forward(MINUTE * 4);
        life.engine
            .stat_file(&life.ctx, &sandbox, "/")
            .await
            .expect("a file call is a use");
        clock.forward(MINUTE * 4);
        assert_eq!(life.state(&sandbox).await.state, SandboxState::Running);
        clock.forward(MINUTE * 2);
        let ended = life.until(&sandbox, SandboxState::Destroyed).await;
        assert_eq!(ended.reason, Some(EndReason::IdleExpired));
    });
    life.clean_up(&place);
}

#[test]
fn an_idle_sandbox_can_be_suspended_instead_and_wakes_up() {
    let place = Place::new();
    let (life, clock) = with_clock(&place);
    life.run(async {
        let request = CreateSandbox {
            idle_timeout: Some(MINUTE),
            idle_action: Some(IdleAction::Suspend),
            ..small()
        };
        let sandbox = life.create(request).await.id;
        clock.forward(MINUTE * 2);
        life.until(&sandbox, SandboxState::Suspended).await;
        life.engine
            .resume_sandbox(&life.ctx, &sandbox)
            .await
            .expect("resume");
        assert_eq!(life.sh(&sandbox, "echo back").await.stdout, b"back\n");
    });
    life.clean_up(&place);
}
