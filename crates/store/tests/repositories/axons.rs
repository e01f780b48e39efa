//! Axons, and the numbers of their events.

use std::collections::BTreeMap;

use pinfold_model::{Axon, AxonEvent, AxonId, AxonOrigin, NewAxonEvent, ProjectId, Time};
use pinfold_store::{
    EventBounds, Idempotency, Inserted, PageRequest, QuotaKind, QuotaOf, StoreError, Thing,
};
use tokio::task::JoinSet;

use crate::world::{World, all, at};

const WIDE: EventBounds = EventBounds {
    events: 1000,
    bytes: 1 << 20,
    project_bytes: 2 << 20,
};

pub(crate) fn axon(project: &ProjectId, created_at: Time) -> Axon {
    Axon {
        id: AxonId::generate(),
        project: project.clone(),
        name: Some("büro".to_owned()),
        metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        last_sequence: 0,
        created_at,
        deleted_at: None,
        created_by: None,
    }
}

fn event(payload: &str) -> NewAxonEvent {
    NewAxonEvent {
        origin: AxonOrigin::Agent,
        source: "test".to_owned(),
        event_type: "push".to_owned(),
        payload: payload.to_owned(),
    }
}

async fn new(world: &World, created_at: Time) -> Axon {
    let axon = axon(&world.project(), created_at);
    let inserted = world.store.axons().insert(&axon, 100, None).await;
    assert_eq!(inserted.expect("insert"), Inserted::New(axon.clone()));
    axon
}

async fn publish(world: &World, axon: &Axon, payload: &str) -> AxonEvent {
    let axons = world.store.axons();
    let place = (&axon.project, &axon.id);
    let event = event(payload);
    let published = axons.publish(place, &event, at(9), WIDE, None);
    published.await.expect("published").into_inner()
}

async fn payloads(world: &World, axon: &Axon) -> Vec<(u64, String)> {
    let axons = world.store.axons();
    let found = axons.events_after(&axon.project, &axon.id, 0, 1000).await;
    let found = found.expect("events").into_iter();
    found.map(|one| (one.sequence, one.event.payload)).collect()
}

fn is_missing<T>(result: &Result<T, StoreError>) -> bool {
    let thing = Thing::Axon;
    matches!(result, Err(StoreError::NotFound { thing: found, .. }) if *found == thing)
}

pub(crate) async fn an_axon_comes_back_as_it_went_in_and_is_its_projects(world: World) {
    let (axons, project) = (world.store.axons(), world.project());
    let first = new(&world, at(10)).await;
    let found = axons.get(&project, &first.id).await.expect("get");
    assert_eq!(found.as_ref(), Some(&first));
    let other = world.other_project().await.id;
    assert_eq!(axons.get(&other, &first.id).await.expect("get"), None);
    let unnamed = Axon {
        name: None,
        metadata: BTreeMap::new(),
        ..axon(&project, at(11))
    };
    axons.insert(&unnamed, 100, None).await.expect("insert");
    let page = axons.list(&project, &all()).await.expect("list");
    assert_eq!(page.items, [unnamed.clone(), first.clone()]);
    assert_eq!(axons.count(&project).await.expect("count"), 2);
    assert_eq!(axons.count(&other).await.expect("count"), 0);
    let wish = Axon {
        metadata: BTreeMap::from([("c".to_owned(), String::new())]),
        ..first.clone()
    };
    assert_eq!(axons.describe(&wish).await.expect("described"), wish);
    let foreign = Axon {
        project: other.clone(),
        ..wish
    };
    assert!(is_missing(&axons.describe(&foreign).await));
    assert!(is_missing(&axons.delete(&other, &first.id, at(20)).await));
    let claim = |hash| Idempotency::new(&project, None, "axon.create", "k", [hash; 32]);
    let once = axon(&project, at(30));
    let made = axons.insert(&once, 100, Some(&claim(1))).await;
    assert_eq!(made.expect("made"), Inserted::New(once.clone()));
    let again = axon(&project, at(31));
    let same = axons.insert(&again, 100, Some(&claim(1))).await;
    assert_eq!(same.expect("the same"), Inserted::Replay(once));
    let conflict = axons.insert(&again, 100, Some(&claim(2))).await;
    assert!(matches!(conflict, Err(StoreError::IdempotencyConflict)));
}

pub(crate) async fn a_project_has_no_more_live_axons_than_its_bound(world: World) {
    let project = world.project();
    let mut racing = JoinSet::new();
    for n in 0..12 {
        let (store, axon) = (world.store.clone(), axon(&project, at(n)));
        racing.spawn(async move { store.axons().insert(&axon, 5, None).await.map(drop) });
    }
    let results = racing.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    for refused in results.into_iter().filter_map(Result::err) {
        assert!(matches!(
            refused,
            StoreError::QuotaExceeded {
                quota: QuotaKind::Axons,
                limit: 5,
                used: 5,
                ..
            }
        ));
    }
    let axons = world.store.axons();
    let page = axons.list(&project, &all()).await.expect("list");
    let one = &page.items[0].id;
    axons.delete(&project, one, at(99)).await.expect("deleted");
    let next = axon(&project, at(100));
    axons.insert(&next, 5, None).await.expect("room for one");
}

pub(crate) async fn racing_publishers_leave_no_gap_and_no_double(world: World) {
    let one = new(&world, at(1)).await;
    let other = new(&world, at(2)).await;
    let mut racing = JoinSet::new();
    for publisher in 0..8 {
        let (store, one, other) = (world.store.clone(), one.clone(), other.clone());
        racing.spawn(async move {
            let mut own = Vec::new();
            for n in 0..15 {
                let to = if n % 5 == 4 { &other } else { &one };
                let (axons, text) = (store.axons(), format!("{publisher}.{n:02}"));
                let place = (&to.project, &to.id);
                let event = event(&text);
                let published = axons.publish(place, &event, at(9), WIDE, None);
                let published = published.await.expect("published").into_inner();
                own.push((published.axon, published.sequence, text));
            }
            own
        });
    }
    let told: Vec<_> = racing.join_all().await.into_iter().flatten().collect();
    for (axon, count) in [(&one, 96), (&other, 24)] {
        let kept = payloads(&world, axon).await;
        let numbers: Vec<u64> = kept.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<u64>>());
        let mut mine: Vec<_> = told.iter().filter(|(id, ..)| *id == axon.id).collect();
        mine.sort_by_key(|(_, number, _)| *number);
        let mine = mine.into_iter().map(|(_, n, text)| (*n, text.clone()));
        assert_eq!(
            kept,
            mine.collect::<Vec<_>>(),
            "what was told is what is kept"
        );
        // Each publisher's own are in its order.
        for publisher in 0..8 {
            let prefix = format!("{publisher}.");
            let own: Vec<_> = kept
                .iter()
                .filter(|(_, t)| t.starts_with(&prefix))
                .collect();
            assert!(own.is_sorted_by_key(|(_, text)| text));
        }
    }
}

pub(crate) async fn the_axons_of_a_project_keep_as_many_bytes_together_as_they_may(world: World) {
    let axons = world.store.axons();
    let (one, two) = (new(&world, at(1)).await, new(&world, at(2)).await);
    let few = EventBounds {
        project_bytes: 100,
        ..WIDE
    };
    let put = async |axon: &Axon, bytes: usize| {
        let place = (&axon.project, &axon.id);
        // Eight more are those of the source and the type.
        let event = event(&"x".repeat(bytes - 8));
        axons.publish(place, &event, at(9), few, None).await
    };
    put(&one, 60).await.expect("it fits");
    let refused = put(&two, 41).await.expect_err("too much together");
    assert!(matches!(
        refused,
        StoreError::QuotaExceeded {
            of: QuotaOf::Project,
            quota: QuotaKind::AxonEventBytes,
            limit: 100,
            used: 60,
            wanted: 41,
        }
    ));
    put(&two, 40).await.expect("it fits");
    // What another project's hold is its own.
    let other = axon(&world.other_project().await.id, at(3));
    axons.insert(&other, 100, None).await.expect("insert");
    put(&other, 100).await.expect("it fits");
    put(&one, 8).await.expect_err("no room");
    let live = axons.live_of(&one.project).await.expect("ids");
    assert!(live.contains(&one.id) && live.contains(&two.id) && live.len() == 2);
    // A deleted one holds nothing.
    let project = &two.project;
    axons
        .delete(project, &two.id, at(10))
        .await
        .expect("delete");
    put(&one, 40).await.expect("there is room again");
    assert_eq!(axons.live_of(project).await.expect("ids"), [one.id.clone()]);
}

const COUNTED: &str = "SELECT CAST(SUM(event_bytes) AS BIGINT) FROM axon_usage";
const HELD: &str =
    "SELECT CAST(COALESCE(SUM(event_bytes), 0) AS BIGINT) FROM axons WHERE deleted_at IS NULL";

pub(crate) async fn what_a_project_holds_is_counted_and_never_above_its_bound(world: World) {
    let project = world.project();
    let few = EventBounds {
        project_bytes: 1000,
        ..WIDE
    };
    let mut racing = JoinSet::new();
    for n in 0..8 {
        let (store, axon) = (world.store.clone(), new(&world, at(n)).await);
        let claim = |event: usize| {
            let key = format!("{n}.{event}");
            Idempotency::new(&axon.project, None, "axon.publish", key, [1; 32])
        };
        let claims: Vec<_> = (0..10).map(claim).collect();
        racing.spawn(async move {
            let event = event(&"x".repeat(42));
            let mut kept = 0;
            for claim in claims.iter().chain(&claims) {
                let (axons, place) = (store.axons(), (&axon.project, &axon.id));
                match axons.publish(place, &event, at(9), few, Some(claim)).await {
                    Ok(Inserted::New(_)) => kept += 1,
                    Ok(Inserted::Replay(_)) => {}
                    Err(StoreError::QuotaExceeded { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            kept
        });
    }
    let kept: i64 = racing.join_all().await.into_iter().sum();
    assert_eq!(kept, 20, "each has 50 bytes");
    assert_eq!(world.place.number(COUNTED).await, 1000);
    assert_eq!(world.place.number(HELD).await, 1000);
    for axon in world.store.axons().live_of(&project).await.expect("ids") {
        let deleted = world.store.axons().delete(&project, &axon, at(10)).await;
        deleted.expect("deleted");
        let again = world.store.axons().delete(&project, &axon, at(10)).await;
        again.expect_err("it was deleted before");
        let held = world.place.number(HELD).await;
        assert_eq!(world.place.number(COUNTED).await, held);
    }
}

/// What a server of before the count has left is what is there without the count's migration.
pub(crate) async fn what_axons_of_older_servers_hold_is_counted(world: World) {
    let (one, two) = (new(&world, at(1)).await, new(&world, at(2)).await);
    let gone = new(&world, at(3)).await;
    for (axon, bytes) in [(&one, 32), (&two, 12), (&gone, 92)] {
        publish(&world, axon, &"x".repeat(bytes)).await;
    }
    let axons = world.store.axons();
    let deleted = axons.delete(&gone.project, &gone.id, at(10)).await;
    deleted.expect("deleted");
    let other = axon(&world.other_project().await.id, at(4));
    axons.insert(&other, 100, None).await.expect("insert");
    let before = "DROP TABLE axon_usage; DELETE FROM _sqlx_migrations WHERE version = 19;";
    world.place.execute(before).await;
    let store = world.place.open().await;
    assert_eq!(world.place.number(COUNTED).await, 60);
    let few = EventBounds {
        project_bytes: 100,
        ..WIDE
    };
    for (axon, bytes) in [(&two, 40), (&other, 100)] {
        let (axons, place) = (store.axons(), (&axon.project, &axon.id));
        let event = event(&"x".repeat(bytes - 8));
        let fits = axons.publish(place, &event, at(9), few, None).await;
        fits.expect("it fits");
        let refused = axons.publish(place, &event, at(9), few, None).await;
        refused.expect_err("it does not");
    }
}

pub(crate) async fn an_axon_keeps_as_many_events_and_bytes_as_it_may(world: World) {
    let axons = world.store.axons();
    let one = new(&world, at(1)).await;
    let place = (&one.project, &one.id);
    let few = EventBounds {
        events: 2,
        bytes: 100,
        ..WIDE
    };
    // Eight bytes are those of the source and the type.
    let large = event(&"x".repeat(93));
    let refused = axons.publish(place, &large, at(9), few, None).await;
    assert!(matches!(
        refused,
        Err(StoreError::QuotaExceeded {
            quota: QuotaKind::AxonEventBytes,
            limit: 100,
            used: 0,
            wanted: 101,
            ..
        })
    ));
    let fits = event(&"x".repeat(84));
    let published = axons.publish(place, &fits, at(9), few, None).await;
    assert_eq!(published.expect("it fits").into_inner().sequence, 1);
    let refused = axons.publish(place, &event("x"), at(9), few, None).await;
    assert!(matches!(
        refused,
        Err(StoreError::QuotaExceeded {
            quota: QuotaKind::AxonEventBytes,
            used: 92,
            ..
        })
    ));
    let empty = event("");
    let second = axons.publish(place, &empty, at(9), few, None).await;
    assert_eq!(second.expect("eight more").into_inner().sequence, 2);
    let refused = axons.publish(place, &empty, at(9), few, None).await;
    assert!(matches!(
        refused,
        Err(StoreError::QuotaExceeded {
            quota: QuotaKind::AxonEvents,
            limit: 2,
            used: 2,
            ..
        })
    ));
    assert_eq!(payloads(&world, &one).await.len(), 2);
}

pub(crate) async fn an_event_is_published_once_per_key(world: World) {
    let one = new(&world, at(1)).await;
    publish(&world, &one, "before").await;
    let claim = |hash: u8| {
        let project = world.project();
        Idempotency::new(&project, None, "axon.publish", "k", [hash; 32])
    };
    let mut racing = JoinSet::new();
    for _ in 0..10 {
        let (store, one, claim) = (world.store.clone(), one.clone(), claim(1));
        racing.spawn(async move {
            let (axons, place) = (store.axons(), (&one.project, &one.id));
            let two = EventBounds { events: 2, ..WIDE };
            let event = event("x");
            let published = axons.publish(place, &event, at(9), two, Some(&claim));
            published.await.expect("published")
        });
    }
    let results = racing.join_all().await;
    let new = results.iter().filter(|one| matches!(one, Inserted::New(_)));
    assert_eq!(new.count(), 1);
    for result in results {
        let event = result.into_inner();
        assert_eq!((event.sequence, event.event.payload.as_str()), (2, "x"));
    }
    let (axons, place) = (world.store.axons(), (&one.project, &one.id));
    let other = event("another");
    let conflict = axons
        .publish(place, &other, at(9), WIDE, Some(&claim(2)))
        .await;
    assert!(matches!(conflict, Err(StoreError::IdempotencyConflict)));
    // The number of what was refused is the next one's.
    assert_eq!(publish(&world, &one, "after").await.sequence, 3);
    assert_eq!(payloads(&world, &one).await.len(), 3);
}

pub(crate) async fn a_refused_event_takes_no_number(world: World) {
    let one = new(&world, at(1)).await;
    let (axons, place) = (world.store.axons(), (&one.project, &one.id));
    let nul = axons
        .publish(place, &event("a\0b"), at(9), WIDE, None)
        .await;
    assert!(matches!(nul, Err(StoreError::NulInText)));
    assert_eq!(publish(&world, &one, "x").await.sequence, 1);
    let other = world.other_project().await.id;
    let foreign = axons
        .publish((&other, &one.id), &event("x"), at(9), WIDE, None)
        .await;
    assert!(is_missing(&foreign));
    let nowhere = AxonId::generate();
    let place = (&one.project, &nowhere);
    assert!(is_missing(
        &axons.publish(place, &event("x"), at(9), WIDE, None).await
    ));
    assert_eq!(publish(&world, &one, "y").await.sequence, 2);
}

pub(crate) async fn events_are_read_from_both_ends_by_their_project_alone(world: World) {
    let one = new(&world, at(1)).await;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(publish(&world, &one, &format!("büro {n}")).await);
    }
    let (axons, project) = (world.store.axons(), world.project());
    let after = |after, limit| axons.events_after(&project, &one.id, after, limit);
    assert_eq!(after(0, 3).await.expect("events"), made[..3]);
    assert_eq!(after(5, 100).await.expect("events"), made[5..]);
    assert_eq!(after(7, 100).await.expect("events"), []);
    assert_eq!(after(u64::MAX, 100).await.expect("events"), []);
    let before = |before, limit| axons.events_before(&project, &one.id, before, limit);
    made.reverse();
    assert_eq!(before(u64::MAX, 2).await.expect("events"), made[..2]);
    assert_eq!(before(3, 100).await.expect("events"), made[5..]);
    assert_eq!(before(1, 100).await.expect("events"), []);
    let other = world.other_project().await.id;
    let foreign = axons.events_after(&other, &one.id, 0, 100).await;
    assert_eq!(foreign.expect("none"), []);
    let foreign = axons.events_before(&other, &one.id, 9, 100).await;
    assert_eq!(foreign.expect("none"), []);
    let found = axons.get(&project, &one.id).await.expect("get");
    assert_eq!(found.map(|axon| axon.last_sequence), Some(7));
}

pub(crate) async fn a_deleted_axon_keeps_its_facts_and_no_events(world: World) {
    let one = new(&world, at(1)).await;
    for n in 0..3 {
        publish(&world, &one, &n.to_string()).await;
    }
    let (axons, project) = (world.store.axons(), world.project());
    assert!(axons.is_live(&one.id).await.expect("asked"));
    let deleted = axons.delete(&project, &one.id, at(50)).await;
    let expected = Axon {
        last_sequence: 3,
        deleted_at: Some(at(50)),
        ..one.clone()
    };
    assert_eq!(deleted.expect("deleted"), expected);
    assert!(!axons.is_live(&one.id).await.expect("asked"));
    assert_eq!(payloads(&world, &one).await, [], "not shown from then on");
    assert_eq!(axons.left().await.expect("left"), [expected.clone()]);
    axons.empty(&expected).await.expect("emptied");
    assert_eq!(axons.left().await.expect("left"), []);
    let found = axons.get(&project, &one.id).await.expect("get");
    assert_eq!(found, Some(expected));
    let place = (&one.project, &one.id);
    for refused in [
        axons.delete(&project, &one.id, at(60)).await.map(drop),
        axons.describe(&one).await.map(drop),
        axons
            .publish(place, &event("x"), at(9), WIDE, None)
            .await
            .map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::AxonDeleted { .. })));
    }
}

pub(crate) async fn the_oldest_deleted_axons_are_forgotten(world: World) {
    let (axons, project) = (world.store.axons(), world.project());
    let mut made = Vec::new();
    for n in 0..5 {
        let one = new(&world, at(n)).await;
        publish(&world, &one, "x").await;
        made.push(one);
    }
    for (n, one) in made[..4].iter().enumerate() {
        let now = at(100 + n as i64);
        let deleted = axons.delete(&project, &one.id, now).await.expect("deleted");
        if n > 0 {
            axons.empty(&deleted).await.expect("emptied");
        }
    }
    // The first still has its event: it waits for that to go.
    assert_eq!(axons.forget(&project, 2).await.expect("forgotten"), 1);
    let page = PageRequest::new(100, None);
    let left = axons.list(&project, &page).await.expect("list").items;
    let left: Vec<_> = left.into_iter().map(|axon| axon.id).collect();
    let expected = [4, 3, 2, 0].map(|n: usize| made[n].id.clone());
    assert_eq!(left, expected);
}
