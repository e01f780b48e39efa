//! Quotas, checked in the transaction that records a sandbox.

use pinfold_model::{Code, Quota, Sandbox, SandboxState};
use pinfold_store::{Idempotency, Inserted, QuotaKind, QuotaOf, StoreError, Transition};
use tokio::task::JoinSet;

use crate::world::{World, at};

const NONE: Quota = Quota::UNBOUNDED;

async fn set(world: &World, quota: Quota) {
    let set = world
        .store
        .projects()
        .set_quota(&world.project(), quota)
        .await;
    set.expect("the quota is set");
}

pub(crate) async fn fifty_parallel_inserts_fill_a_quota_of_ten_exactly(world: World) {
    set(
        &world,
        Quota {
            live_sandboxes: Some(10),
            ..NONE
        },
    )
    .await;
    let other = world.place.open().await;
    let mut racing = JoinSet::new();
    for n in 0..50 {
        // Through two stores, as two servers would.
        let store = if n % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        let sandbox = world.sandbox();
        racing.spawn(async move { store.sandboxes().insert(&sandbox, None).await });
    }
    let mut inserted = 0;
    for outcome in racing.join_all().await {
        match outcome {
            Ok(Inserted::New(_)) => inserted += 1,
            Err(StoreError::QuotaExceeded {
                of,
                quota,
                limit,
                used,
                wanted,
            }) => {
                assert_eq!(
                    (of, quota, limit, used, wanted),
                    (QuotaOf::Project, QuotaKind::LiveSandboxes, 10, 10, 1)
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(inserted, 10);
    assert_eq!(
        world
            .store
            .sandboxes()
            .list_live()
            .await
            .expect("list")
            .len(),
        10
    );
}

pub(crate) async fn each_bound_is_named_with_limit_and_use(world: World) {
    let cases = [
        (
            Quota {
                live_sandboxes: Some(1),
                ..NONE
            },
            QuotaKind::LiveSandboxes,
            1,
            1,
            1,
        ),
        (
            Quota {
                vcpu_millis: Some(1999),
                ..NONE
            },
            QuotaKind::VcpuMillis,
            1999,
            1000,
            1000,
        ),
        (
            Quota {
                memory_mib: Some(2047),
                ..NONE
            },
            QuotaKind::MemoryMib,
            2047,
            1024,
            1024,
        ),
    ];
    world.stored_sandbox().await;
    for (quota, kind, limit, used, wanted) in cases {
        set(&world, quota).await;
        let refused = world.store.sandboxes().insert(&world.sandbox(), None).await;
        let error = refused.expect_err("over the quota");
        match &error {
            StoreError::QuotaExceeded {
                of: QuotaOf::Project,
                quota,
                limit: l,
                used: u,
                wanted: w,
            } => {
                assert_eq!((*quota, *l, *u, *w), (kind, limit, used, wanted));
            }
            other => panic!("{other:?}"),
        }
        let public = pinfold_model::Error::from(error);
        assert_eq!(public.code(), Code::QuotaExceeded);
        assert_eq!(public.details()["quota"], kind.as_str());
    }
    set(
        &world,
        Quota {
            memory_mib: Some(2048),
            ..NONE
        },
    )
    .await;
    world.stored_sandbox().await;
}

pub(crate) async fn ended_sandboxes_free_their_place(world: World) {
    set(
        &world,
        Quota {
            live_sandboxes: Some(1),
            ..NONE
        },
    )
    .await;
    let first = world.stored_sandbox().await;
    let change = Transition::new(SandboxState::Destroyed, at(40));
    let ended = world
        .store
        .sandboxes()
        .transition(&first.id, &[first.state], &change)
        .await;
    assert!(ended.expect("transition").is_some());
    world.stored_sandbox().await;
    let other = world.other_project().await;
    let elsewhere = crate::world::sandbox(other.id, world.image.clone());
    world.insert(&elsewhere).await;
}

pub(crate) async fn a_refused_insert_leaves_its_idempotency_key_free(world: World) {
    set(
        &world,
        Quota {
            live_sandboxes: Some(0),
            ..NONE
        },
    )
    .await;
    let claim = Idempotency::new(&world.project(), None, "sandbox.create", "once", [1; 32]);
    let sandbox = world.sandbox();
    let refused = world.store.sandboxes().insert(&sandbox, Some(&claim)).await;
    assert!(
        matches!(refused, Err(StoreError::QuotaExceeded { .. })),
        "{refused:?}"
    );
    set(&world, NONE).await;
    let retried = world.store.sandboxes().insert(&sandbox, Some(&claim)).await;
    assert_eq!(retried.expect("room now"), Inserted::New(sandbox));
}

pub(crate) async fn a_keys_own_quota_bounds_what_it_made_and_nothing_else(world: World) {
    let keys = world.store.keys();
    let (tight, free) = (world.key(), world.key());
    keys.insert(&tight, [1; 32]).await.expect("insert");
    keys.insert(&free, [2; 32]).await.expect("insert");
    let quota = Quota {
        live_sandboxes: Some(1),
        ..NONE
    };
    let set = keys.set_quota(&tight.id, quota).await.expect("set");
    assert_eq!(set.quota, quota);
    assert_eq!(keys.get(&tight.id).await.expect("get"), Some(set));
    keys.set_quota(&free.id, NONE).await.expect("set");
    let of = |key: &pinfold_model::KeyId| Sandbox {
        key: Some(key.clone()),
        ..world.sandbox()
    };
    let first = of(&tight.id);
    world.insert(&first).await;
    let found = world.store.sandboxes().get(&first.id).await.expect("get");
    assert_eq!(found.expect("there").key, Some(tight.id.clone()));
    let refused = world.store.sandboxes().insert(&of(&tight.id), None).await;
    let refused = refused.expect_err("over the key's quota");
    assert!(
        matches!(
            refused,
            StoreError::QuotaExceeded {
                of: QuotaOf::Key,
                quota: QuotaKind::LiveSandboxes,
                limit: 1,
                used: 1,
                wanted: 1,
            }
        ),
        "{refused:?}"
    );
    world.insert(&of(&free.id)).await;
    world.insert(&world.sandbox()).await;
    let end = Transition::new(SandboxState::Destroyed, at(20));
    let sandboxes = world.store.sandboxes();
    let ended = sandboxes
        .transition(&first.id, &SandboxState::ALL, &end)
        .await;
    ended.expect("destroyed");
    world.insert(&of(&tight.id)).await;
    let unknown = keys
        .set_quota(&pinfold_model::KeyId::generate(), NONE)
        .await;
    assert!(
        matches!(unknown, Err(StoreError::NotFound { .. })),
        "{unknown:?}"
    );
}
