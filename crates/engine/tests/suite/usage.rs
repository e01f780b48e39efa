//! Metering.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{Clock, EngineConfig, PageRequest};
use pinfold_model::usage::UsageTotals;
use pinfold_model::{SandboxId, Time};

use super::clock::ManualClock;
use super::place::{Life, Place};

const MINUTE: Duration = Duration::from_secs(60);

async fn totals(life: &Life, clock: &ManualClock) -> UsageTotals {
    let to = clock.now().checked_add(MINUTE).expect("a time");
    let totals = life
        .engine
        .project_usage(&life.ctx, Time::UNIX_EPOCH, to)
        .await;
    totals.expect("usage")
}

#[test]
fn usage_counts_what_runs_up_to_now_and_survives_a_crash() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    let sandbox = life.run(async {
        let sandbox = life.sandbox().await;
        clock.forward(Duration::from_secs(30));
        let used = totals(&life, &clock).await;
        assert_eq!((used.sandboxes, used.live_sandboxes), (1, 1));
        assert_close(used.wall_seconds, 30.0);
        assert_close(used.vcpu_seconds, 30.0);
        assert_close(used.memory_gib_seconds, 7.5);
        life.engine
            .suspend_sandbox(&life.ctx, &sandbox)
            .await
            .expect("suspend");
        clock.forward(Duration::from_secs(10));
        let used = totals(&life, &clock).await;
        assert_close(used.vcpu_seconds, 30.0);
        assert_close(used.wall_seconds, 40.0);
        life.engine
            .resume_sandbox(&life.ctx, &sandbox)
            .await
            .expect("resume");
        clock.forward(Duration::from_secs(20));
        sandbox
    });
    life.crash();
    clock.forward(Duration::from_secs(5));
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        life.sh(&sandbox, "true").await;
        let used = totals(&life, &clock).await;
        assert_close(used.vcpu_seconds, 55.0);
        life.engine
            .destroy_sandbox(&life.ctx, &sandbox)
            .await
            .expect("destroy");
        clock.forward(MINUTE);
        let used = totals(&life, &clock).await;
        assert_eq!((used.sandboxes, used.live_sandboxes), (1, 0));
        assert_close(used.vcpu_seconds, 55.0);
        assert_close(used.wall_seconds, 65.0);
        let page = PageRequest::default();
        let now = clock.now();
        let each = life
            .engine
            .sandbox_usage(&life.ctx, Time::UNIX_EPOCH, now, &page)
            .await;
        let each = each.expect("usage").items;
        assert_eq!(each[0].sandbox, sandbox);
        assert_close(each[0].wall_seconds, 65.0);
    });
    life.clean_up(&place);
}

/// Elapsed and running seconds of a sandbox's life.
async fn lived(life: &Life, sandbox: &SandboxId) -> (f64, f64) {
    let used = life.engine.sandbox_used(&life.ctx, sandbox).await;
    let used = used.expect("usage").life;
    (used.elapsed.as_secs_f64(), used.running.as_secs_f64())
}

#[test]
fn a_life_counts_running_apart_from_being_there_over_suspensions_and_crashes() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    let sandbox = life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let sandbox = life.sandbox().await;
        clock.forward(MINUTE);
        assert_eq!(lived(&life, &sandbox).await, (60.0, 60.0));
        engine.suspend_sandbox(ctx, &sandbox).await.expect("frozen");
        clock.forward(MINUTE);
        assert_eq!(lived(&life, &sandbox).await, (120.0, 60.0));
        engine.resume_sandbox(ctx, &sandbox).await.expect("thawed");
        clock.forward(MINUTE);
        assert_eq!(lived(&life, &sandbox).await, (180.0, 120.0));
        sandbox
    });
    life.crash();
    clock.forward(MINUTE);
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        life.sh(&sandbox, "true").await;
        assert_eq!(lived(&life, &sandbox).await, (240.0, 180.0));
        engine.destroy_sandbox(ctx, &sandbox).await.expect("gone");
        clock.forward(MINUTE);
        assert_eq!(lived(&life, &sandbox).await, (240.0, 180.0));
        let used = engine.sandbox_used(ctx, &sandbox).await.expect("usage");
        assert_eq!(used.life.to, used.sandbox.ended_at);
        let resources = used.sandbox.spec.resources;
        assert_close(
            used.life.vcpu_seconds(),
            180.0 * f64::from(resources.vcpu_millis) / 1e3,
        );
        let gib = |mib: u32| f64::from(mib) / 1024.0;
        assert_close(
            used.life.memory_gib_seconds(),
            180.0 * gib(resources.memory_mib),
        );
        assert_close(
            used.life.disk_gib_seconds(),
            240.0 * gib(resources.disk_mib),
        );
    });
    life.clean_up(&place);
}

fn assert_close(value: f64, expected: f64) {
    assert!(
        (value - expected).abs() < 0.01,
        "{value} instead of {expected}"
    );
}
