//! Metering records and marks.

use pinfold_model::usage::{UsageRecord, UsageTotals};
use pinfold_model::{ProjectId, Sandbox, SandboxState, Time};
use pinfold_store::{Metered, StoreError, Transition, UsageMark};
use tokio::task::JoinSet;

use crate::world::{World, all, seconds};

/// One vCPU and 1 GiB for the time between, a tenth of it on the CPU.
fn record(sandbox: &Sandbox, from: i64, to: i64) -> UsageRecord {
    let ms = u64::try_from((to - from) * 1000).expect("forwards");
    UsageRecord {
        sandbox: sandbox.id.clone(),
        project: sandbox.project.clone(),
        from: seconds(from),
        to: seconds(to),
        vcpu_millis_ms: 1000 * ms,
        memory_mib_ms: 1024 * ms,
        wall_ms: ms,
        cpu_used_us: ms * 100,
    }
}

async fn totals(world: &World, project: &ProjectId, from: Time, to: Time) -> UsageTotals {
    world
        .store
        .usage()
        .totals(project, from, to)
        .await
        .expect("totals")
}

pub(crate) async fn totals_add_up_over_a_period(world: World) {
    let (a, b) = (world.stored_sandbox().await, world.stored_sandbox().await);
    let records = [
        record(&a, 0, 10),
        record(&a, 10, 20),
        record(&b, 5, 15),
        record(&b, 15, 25),
    ];
    world.store.usage().append(&records).await.expect("append");
    let all_of_it = totals(&world, &world.project(), seconds(0), seconds(100)).await;
    let expected = UsageTotals {
        sandboxes: 2,
        live_sandboxes: 2,
        vcpu_seconds: 40.0,
        memory_gib_seconds: 40.0,
        wall_seconds: 40.0,
        cpu_seconds: 4.0,
    };
    assert_eq!(all_of_it, expected);
    let part = totals(&world, &world.project(), seconds(0), seconds(5)).await;
    assert_eq!((part.sandboxes, part.wall_seconds), (1, 10.0));
    let other = world.other_project().await;
    let none = totals(&world, &other.id, seconds(0), seconds(100)).await;
    assert_eq!(none, UsageTotals::default());
    let mut huge = record(&a, 30, 40);
    huge.memory_mib_ms = u64::MAX;
    let mut more = record(&a, 40, 50);
    more.memory_mib_ms = u64::MAX;
    world
        .store
        .usage()
        .append(&[huge, more])
        .await
        .expect("append");
    let sum = totals(&world, &world.project(), seconds(30), seconds(50)).await;
    assert!(sum.memory_gib_seconds > 1e13, "no overflow: {sum:?}");
}

pub(crate) async fn a_record_is_counted_once(world: World) {
    let sandbox = world.stored_sandbox().await;
    let usage = world.store.usage();
    let first = record(&sandbox, 0, 10);
    for _ in 0..3 {
        usage
            .append(std::slice::from_ref(&first))
            .await
            .expect("append");
    }
    let page = usage.list(&sandbox.id, &all()).await.expect("list");
    assert_eq!(page.items, [first]);
    let orphan = record(&world.sandbox(), 0, 10);
    let refused = usage.append(&[record(&sandbox, 10, 20), orphan]).await;
    assert!(
        matches!(refused, Err(StoreError::NotFound { .. })),
        "{refused:?}"
    );
    let page = usage.list(&sandbox.id, &all()).await.expect("list");
    assert_eq!(page.items.len(), 1, "all or none");
}

pub(crate) async fn the_mark_moves_with_the_record(world: World) {
    let sandbox = world.stored_sandbox().await;
    let usage = world.store.usage();
    assert_eq!(usage.mark(&sandbox.id).await.expect("mark"), None);
    let mut racing = JoinSet::new();
    for _ in 0..20 {
        let (store, record) = (world.store.clone(), record(&sandbox, 0, 10));
        racing.spawn(async move { store.usage().append_and_advance(&record, 77).await });
    }
    let outcomes = racing
        .join_all()
        .await
        .into_iter()
        .map(|outcome| outcome.expect("append"));
    assert_eq!(
        outcomes
            .filter(|outcome| *outcome == Metered::Appended)
            .count(),
        1
    );
    let overlapping = usage.append_and_advance(&record(&sandbox, 9, 12), 88).await;
    assert_eq!(overlapping.expect("append"), Metered::AlreadyCounted);
    let after_a_pause = usage
        .append_and_advance(&record(&sandbox, 15, 20), 99)
        .await;
    assert_eq!(after_a_pause.expect("append"), Metered::Appended);
    let mark = UsageMark {
        metered_to: seconds(20),
        cpu_counter_us: 99,
    };
    assert_eq!(usage.mark(&sandbox.id).await.expect("mark"), Some(mark));
    let page = usage.list(&sandbox.id, &all()).await.expect("list");
    assert_eq!(
        page.items,
        [record(&sandbox, 15, 20), record(&sandbox, 0, 10)]
    );
}

pub(crate) async fn an_end_is_recorded_with_what_was_used_or_neither_is(world: World) {
    let sandbox = world.stored_sandbox().await;
    let change = Transition::new(SandboxState::Destroyed, seconds(20));
    let end = |from: SandboxState, to| {
        let (world, id, change) = (&world, &sandbox.id, &change);
        let used = record(&sandbox, 0, to);
        async move {
            let sandboxes = world.store.sandboxes();
            let from = [from];
            let ended = sandboxes.transition_metered(id, &from, change, (&used, 7));
            ended.await.expect("recorded or not")
        }
    };
    let usage = world.store.usage();
    assert_eq!(end(SandboxState::Suspended, 5).await, None);
    assert_eq!(usage.mark(&sandbox.id).await.expect("mark"), None);
    let ended = end(sandbox.state, 10).await.expect("ended");
    assert_eq!(ended.state, SandboxState::Destroyed);
    let mark = usage.mark(&sandbox.id).await.expect("mark");
    let expected = UsageMark {
        metered_to: seconds(10),
        cpu_counter_us: 7,
    };
    assert_eq!(mark, Some(expected));
    // Told again of a time that is counted: the end stands, and the time counts once.
    let again = end(SandboxState::Destroyed, 30).await.expect("again");
    assert_eq!(again.state, SandboxState::Destroyed);
    let all = totals(&world, &sandbox.project, seconds(0), seconds(100)).await;
    assert_eq!(all.wall_seconds, 10.0);
}

pub(crate) async fn each_sandbox_of_a_period_has_its_totals(world: World) {
    let (a, b) = (world.stored_sandbox().await, world.stored_sandbox().await);
    let records = [
        record(&a, 100, 110),
        record(&a, 110, 120),
        record(&a, 900, 910),
    ];
    let usage = world.store.usage();
    usage.append(&records).await.expect("append");
    let (from, to) = (seconds(100), seconds(800));
    let found = usage
        .by_sandbox(&world.project(), from, to, &all())
        .await
        .expect("list");
    let wall = |sandbox: &Sandbox| {
        let row = found.items.iter().find(|(id, _)| *id == sandbox.id);
        row.map(|(_, totals)| (totals.sandboxes, totals.wall_seconds))
    };
    assert_eq!(wall(&a), Some((1, 20.0)));
    assert_eq!(wall(&b), Some((0, 0.0)), "it existed and used nothing");
}
