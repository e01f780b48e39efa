//! Snapshots: what is said about them, found again by scope and sandbox, also when they are gone.

use std::collections::BTreeMap;

use pinfold_model::{ImageId, Sandbox, Snapshot};
use pinfold_store::{Idempotency, Inserted, Scope, StoreError};

use crate::world::{World, all, at, image};

async fn stored(world: &World, of: &Sandbox, us: i64) -> Snapshot {
    let snapshot = snapshot(world, of, us).await;
    let inserted = world.store.snapshots().insert(&snapshot, None).await;
    assert_eq!(inserted.expect("inserted"), Inserted::New(snapshot.clone()));
    snapshot
}

async fn snapshot(world: &World, of: &Sandbox, us: i64) -> Snapshot {
    let image = image(Some(of.project.clone()), &[]);
    world.store.images().insert(&image).await.expect("an image");
    Snapshot {
        image: image.id,
        project: of.project.clone(),
        sandbox: of.id.clone(),
        name: Some("büro".into()),
        message: None,
        metadata: BTreeMap::from([("a".into(), "b".into())]),
        created_at: at(us),
        deleted_at: None,
    }
}

pub(crate) async fn a_snapshot_comes_back_as_it_went_in_and_is_described_anew(world: World) {
    let sandbox = world.stored_sandbox().await;
    let first = stored(&world, &sandbox, 10).await;
    let snapshots = world.store.snapshots();
    let mine = Scope::Project(world.project());
    let found = snapshots.find(&mine, &first.image).await.expect("a look");
    assert_eq!(found.as_ref(), Some(&first));
    let of_org = Scope::Org(world.home.org.id.clone());
    let found = snapshots.find(&of_org, &first.image).await.expect("a look");
    assert_eq!(found.as_ref(), Some(&first));
    let other = Scope::Project(world.other_project().await.id);
    let found = snapshots.find(&other, &first.image).await.expect("a look");
    assert_eq!(found, None);
    let changed = Snapshot {
        name: None,
        message: Some("why".into()),
        metadata: BTreeMap::new(),
        ..first
    };
    let described = snapshots.describe(&changed).await.expect("described");
    assert_eq!(described.as_ref(), Some(&changed));
    let unknown = Snapshot {
        image: ImageId::generate(),
        ..changed
    };
    assert_eq!(snapshots.describe(&unknown).await.expect("a look"), None);
}

pub(crate) async fn deleted_snapshots_are_found_and_not_listed(world: World) {
    let (one, two) = (world.stored_sandbox().await, world.stored_sandbox().await);
    let first = stored(&world, &one, 10).await;
    let second = stored(&world, &two, 20).await;
    let third = stored(&world, &one, 30).await;
    let snapshots = world.store.snapshots();
    let mine = Scope::Project(world.project());
    let ids = |page: pinfold_store::Page<Snapshot>| -> Vec<ImageId> {
        page.items.into_iter().map(|one| one.image).collect()
    };
    let listed = snapshots.list(&mine, None, &all()).await.expect("a list");
    let newest_first = [&third, &second, &first].map(|one| one.image.clone());
    assert_eq!(ids(listed), newest_first);
    let listed = snapshots.list(&mine, Some(&one.id), &all()).await;
    assert_eq!(
        ids(listed.expect("a list")),
        [third.image.clone(), first.image.clone()]
    );
    for moment in [40, 50] {
        let deleted = snapshots.delete(&third.image, at(moment)).await;
        deleted.expect("deleted");
    }
    let listed = snapshots.list(&mine, Some(&one.id), &all()).await;
    assert_eq!(ids(listed.expect("a list")), [first.image]);
    let gone = snapshots.find(&mine, &third.image).await.expect("a look");
    assert_eq!(gone.expect("kept").deleted_at, Some(at(40)));
}

pub(crate) async fn a_repeated_request_finds_the_first_snapshot(world: World) {
    let sandbox = world.stored_sandbox().await;
    let snapshots = world.store.snapshots();
    let claim = |hash| Idempotency::new(&world.project(), None, "snapshot", "once", [hash; 32]);
    assert_eq!(
        snapshots.replay(&claim(1), at(5)).await.expect("a look"),
        None
    );
    let first = snapshot(&world, &sandbox, 10).await;
    let made = snapshots.insert(&first, Some(&claim(1))).await;
    assert_eq!(made.expect("made"), Inserted::New(first.clone()));
    let second = snapshot(&world, &sandbox, 11).await;
    let again = snapshots.insert(&second, Some(&claim(1))).await;
    assert_eq!(again.expect("found"), Inserted::Replay(first.clone()));
    let replayed = snapshots.replay(&claim(1), at(12)).await.expect("a look");
    assert_eq!(replayed, Some(first));
    let other = snapshots.insert(&second, Some(&claim(2))).await;
    assert!(
        matches!(other, Err(StoreError::IdempotencyConflict)),
        "{other:?}"
    );
}
