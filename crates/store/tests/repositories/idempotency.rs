//! Idempotency keys, alone and with what they protect.

use pinfold_model::{KeyId, Sandbox};
use pinfold_store::{Claim, Idempotency, Inserted, StoreError};
use tokio::task::JoinSet;

use crate::world::{World, all, at, command, seconds};

const DAY_SECONDS: i64 = 24 * 3600;

fn claim(world: &World, key: &str, hash: u8) -> Idempotency {
    Idempotency::new(&world.project(), None, "test.operation", key, [hash; 32])
}

pub(crate) async fn of_a_hundred_claims_one_is_new(world: World) {
    let other = world.place.open().await;
    let mut racing = JoinSet::new();
    for n in 0..100 {
        let store = if n % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        let claim = claim(&world, "k", 1);
        racing.spawn(async move {
            let mine = format!("r{n}");
            let outcome = store
                .idempotency()
                .claim(&claim, &mine, at(n))
                .await
                .expect("claim");
            (mine, outcome)
        });
    }
    let outcomes = racing.join_all().await;
    let new: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == Claim::New)
        .collect();
    assert_eq!(new.len(), 1);
    let replay = Claim::Replay {
        resource_id: new[0].0.clone(),
    };
    let replays = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == replay)
        .count();
    assert_eq!(replays, 99);
}

pub(crate) async fn another_payload_is_a_conflict(world: World) {
    let keys = world.store.idempotency();
    assert_eq!(
        keys.claim(&claim(&world, "k", 1), "a", at(1))
            .await
            .expect("claim"),
        Claim::New
    );
    let other = keys
        .claim(&claim(&world, "k", 2), "b", at(2))
        .await
        .expect("claim");
    assert_eq!(other, Claim::Conflict);
    let same = keys
        .claim(&claim(&world, "k", 1), "c", at(3))
        .await
        .expect("claim");
    assert_eq!(
        same,
        Claim::Replay {
            resource_id: "a".into()
        }
    );
}

pub(crate) async fn a_claim_ends_after_a_day(world: World) {
    let keys = world.store.idempotency();
    keys.claim(&claim(&world, "old", 1), "a", seconds(0))
        .await
        .expect("claim");
    keys.claim(&claim(&world, "young", 1), "b", seconds(10))
        .await
        .expect("claim");
    let last = seconds(DAY_SECONDS - 1);
    let late = keys
        .claim(&claim(&world, "old", 2), "c", last)
        .await
        .expect("claim");
    assert_eq!(late, Claim::Conflict);
    // Over without a purge, too.
    let over = seconds(DAY_SECONDS);
    let again = keys
        .claim(&claim(&world, "old", 2), "d", over)
        .await
        .expect("claim");
    assert_eq!(again, Claim::New);
    let purged = keys.purge(seconds(DAY_SECONDS + 10)).await.expect("purge");
    assert_eq!(purged, 1, "only the young one is over and still there");
    let kept = keys
        .claim(&claim(&world, "old", 2), "e", seconds(DAY_SECONDS + 11))
        .await;
    assert_eq!(
        kept.expect("claim"),
        Claim::Replay {
            resource_id: "d".into()
        }
    );
}

pub(crate) async fn keys_of_others_are_other_keys(world: World) {
    let keys = world.store.idempotency();
    let other = world.other_project().await;
    let api_key = KeyId::generate();
    let project = world.project();
    for claim in [
        Idempotency::new(&project, None, "a", "k", [1; 32]),
        Idempotency::new(&project, None, "b", "k", [2; 32]),
        Idempotency::new(&project, Some(&api_key), "a", "k", [3; 32]),
        Idempotency::new(&other.id, Some(&api_key), "a", "k", [4; 32]),
        Idempotency::new(&other.id, None, "a", "K", [5; 32]),
    ] {
        assert_eq!(
            keys.claim(&claim, "r", at(1)).await.expect("claim"),
            Claim::New,
            "{claim:?}"
        );
    }
}

pub(crate) async fn a_hundred_equal_creates_make_one_sandbox(world: World) {
    let other = world.place.open().await;
    let mut racing = JoinSet::new();
    for n in 0..100 {
        let store = if n % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        let (sandbox, claim) = (world.sandbox(), claim(&world, "create", 1));
        racing.spawn(async move {
            store
                .sandboxes()
                .insert(&sandbox, Some(&claim))
                .await
                .expect("insert")
        });
    }
    let outcomes = racing.join_all().await;
    let new = outcomes
        .iter()
        .filter(|o| matches!(o, Inserted::New(_)))
        .count();
    assert_eq!(new, 1);
    let made: Vec<Sandbox> = outcomes.into_iter().map(Inserted::into_inner).collect();
    assert!(made.iter().all(|sandbox| *sandbox == made[0]));
    assert_eq!(
        world
            .store
            .sandboxes()
            .list_live()
            .await
            .expect("list")
            .len(),
        1
    );
    let changed = claim(&world, "create", 2);
    let refused = world
        .store
        .sandboxes()
        .insert(&world.sandbox(), Some(&changed))
        .await;
    assert!(
        matches!(refused, Err(StoreError::IdempotencyConflict)),
        "{refused:?}"
    );
}

pub(crate) async fn equal_command_starts_make_one_command(world: World) {
    let sandbox = world.stored_sandbox().await;
    let mut racing = JoinSet::new();
    for _ in 0..30 {
        let (store, claim) = (world.store.clone(), claim(&world, "start", 1));
        let command = command(&sandbox);
        racing.spawn(async move {
            let inserted = store.commands().insert(&command, Some(&claim)).await;
            inserted.expect("insert").into_inner().id
        });
    }
    let ids = racing.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0]));
    let page = world
        .store
        .commands()
        .list(&sandbox.id, &all())
        .await
        .expect("list");
    assert_eq!(page.items.len(), 1);
    let changed = claim(&world, "start", 2);
    let refused = world
        .store
        .commands()
        .insert(&command(&sandbox), Some(&changed))
        .await;
    assert!(
        matches!(refused, Err(StoreError::IdempotencyConflict)),
        "{refused:?}"
    );
}
