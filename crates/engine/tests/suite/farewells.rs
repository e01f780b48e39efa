//! What a sandbox has run before it is suspended or stopped: in order, once, in time, and whoever dies.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{CreateSandbox, EngineConfig, PageRequest};
use pinfold_model::sandbox::{IdleAction, SandboxExtras};
use pinfold_model::{Code, CommandState, Farewell, Program, SandboxId, SandboxState};

use super::clock::ManualClock;
use super::place::{Life, Place, one_life, small};
use super::setup::text;

const PATIENCE: Duration = Duration::from_secs(30);

fn with(lines: &[&str], patience: Duration) -> CreateSandbox {
    let commands = lines.iter().map(|line| Program::Shell((*line).to_owned()));
    CreateSandbox {
        more: SandboxExtras {
            farewell: Farewell {
                commands: commands.collect(),
                patience,
                ..Farewell::default()
            },
            ..SandboxExtras::default()
        },
        ..small()
    }
}

/// Whether a farewell has begun, and the sandbox does not rest yet.
async fn leaves(life: &Life, id: &SandboxId) -> bool {
    let sandbox = life.state(id).await;
    sandbox.state == SandboxState::Running && sandbox.spec.more.farewell.under_way.is_some()
}

#[test]
fn commands_run_in_order_before_each_rest_and_may_fail() {
    one_life(Place::with_kept_disks(), async |_, life| {
        let lines = [
            "id -un >> /tmp/log",
            "echo no >&2; exit 3",
            "echo last >> /tmp/log",
        ];
        let id = life.create(with(&lines, PATIENCE)).await.id;
        let (engine, ctx) = (&life.engine, &life.ctx);
        let stopped = engine.stop_sandbox(ctx, &id).await.expect("stop");
        assert_eq!(stopped.state, SandboxState::Stopped);
        engine.start_sandbox(ctx, &id).await.expect("start");
        assert_eq!(text(life, &id, "cat /tmp/log").await, "root\nlast\n");
        let suspended = engine.suspend_sandbox(ctx, &id).await.expect("suspend");
        assert_eq!(suspended.state, SandboxState::Suspended);
        // It has said it already.
        engine.stop_sandbox(ctx, &id).await.expect("stop");
        engine.start_sandbox(ctx, &id).await.expect("start");
        assert_eq!(
            text(life, &id, "cat /tmp/log").await,
            "root\nlast\nroot\nlast\n"
        );
        engine.suspend_sandbox(ctx, &id).await.expect("suspend");
        engine.resume_sandbox(ctx, &id).await.expect("resume");
        assert_eq!(text(life, &id, "grep -c last /tmp/log").await, "3\n");
    });
}

#[test]
fn nothing_begins_during_a_farewell_and_all_who_ask_wait_for_its_end() {
    one_life(Place::with_kept_disks(), async |_, life| {
        let lines = ["while ! test -e /tmp/go; do sleep 0.02; done; echo done > /tmp/said"];
        let id = life.create(with(&lines, PATIENCE)).await.id;
        let opener = "(sleep 1; touch /tmp/go) > /dev/null 2>&1 &";
        life.sh(&id, opener).await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        let begun = engine.rest_sandbox(ctx, &id).await.expect("it begins");
        assert_eq!(begun.state, SandboxState::Running);
        assert!(leaves(life, &id).await);
        let refused = life.try_sh(&id, "true").await.expect_err("it leaves");
        assert_eq!(refused.code(), Code::SandboxNotRunning);
        let again = engine.rest_sandbox(ctx, &id).await.expect("under way");
        assert_eq!(again.state, SandboxState::Running);
        let (one, two) = tokio::join!(engine.stop_sandbox(ctx, &id), engine.stop_sandbox(ctx, &id));
        for stopped in [one, two] {
            assert_eq!(stopped.expect("stop").state, SandboxState::Stopped);
        }
        engine.start_sandbox(ctx, &id).await.expect("start");
        assert_eq!(text(life, &id, "cat /tmp/said").await, "done\n");
    });
}

#[test]
fn a_command_that_hangs_is_killed_at_the_deadline_and_no_other_begins() {
    one_life(Place::new(), async |_, life| {
        let hangs = "trap '' TERM; echo hangs > /tmp/log; while :; do sleep 0.05; done";
        let lines = [hangs, "echo after >> /tmp/log"];
        let short = Duration::from_millis(700);
        let id = life.create(with(&lines, short)).await.id;
        let (engine, ctx) = (&life.engine, &life.ctx);
        let suspended = engine.suspend_sandbox(ctx, &id).await.expect("suspend");
        assert_eq!(suspended.state, SandboxState::Suspended);
        engine.resume_sandbox(ctx, &id).await.expect("resume");
        assert_eq!(text(life, &id, "cat /tmp/log").await, "hangs\n");
        let page = PageRequest::new(10, None);
        let listed = engine.list_commands(ctx, &id, &page).await.expect("list");
        let hung = listed.items.last().expect("the first one");
        let over = matches!(
            hung.state,
            CommandState::Cancelled(_) | CommandState::TimedOut(_)
        );
        assert!(over, "{:?}", hung.state);
    });
}

#[test]
fn an_idle_sandbox_says_farewell_too() {
    let place = Place::with_kept_disks();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        let minute = Duration::from_secs(60);
        let request = CreateSandbox {
            idle_timeout: Some(minute),
            idle_action: Some(IdleAction::Stop),
            ..with(&["echo idle > /tmp/log"], PATIENCE)
        };
        let id = life.create(request).await.id;
        clock.forward(minute);
        life.until(&id, SandboxState::Stopped).await;
        life.engine
            .start_sandbox(&life.ctx, &id)
            .await
            .expect("start");
        assert_eq!(text(&life, &id, "cat /tmp/log").await, "idle\n");
    });
    life.clean_up(&place);
}

#[test]
fn the_next_server_ends_a_farewell_that_a_crash_cut_short() {
    let place = Place::with_kept_disks();
    let life = place.live();
    let id = life.run(async {
        let waits = "echo one >> /tmp/log; while ! test -e /tmp/go; do sleep 0.02; done";
        let lines = [waits, "echo two >> /tmp/log"];
        let id = life.create(with(&lines, PATIENCE)).await.id;
        let opener = "(while ! test -s /tmp/log; do sleep 0.02; done; sleep 1; touch /tmp/go) \
                      > /dev/null 2>&1 &";
        life.sh(&id, opener).await;
        let begun = life.engine.rest_sandbox(&life.ctx, &id).await;
        begun.expect("it begins");
        id
    });
    life.crash();
    let life = place.live();
    life.run(async {
        life.until(&id, SandboxState::Stopped).await;
        life.engine
            .start_sandbox(&life.ctx, &id)
            .await
            .expect("start");
        assert_eq!(text(&life, &id, "cat /tmp/log").await, "one\ntwo\n");
        assert!(!leaves(&life, &id).await);
    });
    life.clean_up(&place);
}

#[test]
fn a_crash_does_not_make_a_farewell_longer() {
    let place = Place::with_kept_disks();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    let id = life.run(async {
        let hangs = "echo one >> /tmp/log; exec sleep 600";
        let id = life
            .create(with(&[hangs, "echo two >> /tmp/log"], PATIENCE))
            .await
            .id;
        let begun = life.engine.rest_sandbox(&life.ctx, &id).await;
        begun.expect("it begins");
        id
    });
    life.crash();
    clock.forward(PATIENCE);
    let life = place.live_with(EngineConfig::default(), clock);
    life.run(async {
        life.until(&id, SandboxState::Stopped).await;
        life.engine
            .start_sandbox(&life.ctx, &id)
            .await
            .expect("start");
        let wrote = text(&life, &id, "cat /tmp/log 2>/dev/null || true").await;
        assert!(["", "one\n"].contains(&&*wrote), "{wrote:?}");
    });
    life.clean_up(&place);
}

/// Whatever it was that kept the rest from being recorded: it comes when that is over.
#[test]
fn a_rest_that_cannot_be_recorded_is_told_and_comes_later() {
    one_life(Place::with_kept_disks(), async |place, life| {
        let id = life
            .create(with(&["echo said >> /tmp/log"], PATIENCE))
            .await
            .id;
        let (engine, ctx) = (&life.engine, &life.ctx);
        place.record(
            "CREATE TRIGGER no_rest BEFORE UPDATE ON sandboxes WHEN NEW.state = 'stopped' \
             BEGIN SELECT RAISE(FAIL, 'no rest'); END",
        );
        let told = engine.stop_sandbox(ctx, &id).await.expect_err("not yet");
        assert_eq!(told.code(), Code::Unavailable);
        assert!(leaves(life, &id).await);
        place.record("DROP TRIGGER no_rest");
        life.until(&id, SandboxState::Stopped).await;
        engine.start_sandbox(ctx, &id).await.expect("start");
        assert_eq!(text(life, &id, "cat /tmp/log").await, "said\n");
    });
}

#[test]
fn destroying_waits_for_no_farewell() {
    one_life(Place::with_kept_disks(), async |_, life| {
        let id = life.create(with(&["exec sleep 600"], PATIENCE)).await.id;
        let (engine, ctx) = (&life.engine, &life.ctx);
        engine.rest_sandbox(ctx, &id).await.expect("it begins");
        let (stopped, destroyed) = tokio::join!(
            engine.stop_sandbox(ctx, &id),
            engine.destroy_sandbox(ctx, &id)
        );
        assert_eq!(destroyed.expect("destroy").state, SandboxState::Destroyed);
        assert_eq!(stopped.expect_err("gone").code(), Code::SandboxGone);
    });
}
