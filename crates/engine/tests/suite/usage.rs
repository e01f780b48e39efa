//! Metering.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{Clock, EngineConfig, PageRequest};
use pinfold_model::Time;
use pinfold_model::usage::UsageTotals;

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

fn assert_close(value: f64, expected: f64) {
    assert!(
        (value - expected).abs() < 0.01,
        "{value} instead of {expected}"
    );
}
