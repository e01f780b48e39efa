//! Objects and which content is still wanted.

use std::collections::{BTreeMap, HashSet};

use pinfold_model::{
    BlobId, Digest, Object, ObjectId, ObjectSource, ObjectState, ProjectId, Quota, SandboxId,
};
use pinfold_store::{
    Content, Idempotency, Inserted, ObjectFilter, ObjectStates, PageRequest, Scope, StoreError,
};

use crate::world::{World, all, at, seconds};

fn object(project: ProjectId, state: ObjectState) -> Object {
    Object {
        id: ObjectId::generate(),
        project,
        name: "bericht \"1\".csv".into(),
        content_type: "text/csv".into(),
        metadata: BTreeMap::from([("stufe".into(), "zwei\n".into())]),
        state,
        content: None,
        size_bytes: None,
        digest: None,
        source: None,
        created_at: at(10),
        sealed_at: (state == ObjectState::Sealed).then(|| at(10)),
        deleted_at: None,
        expires_at: None,
    }
}

fn content(byte: u8, size_bytes: u64) -> Content {
    Content {
        blob: BlobId::generate(),
        digest: Digest::from_sha256([byte; 32]),
        size_bytes,
        at: at(10),
    }
}

async fn sealed(world: &World, content: &Content) -> Object {
    let object = object(world.project(), ObjectState::Sealed);
    let objects = world.store.objects();
    let inserted = objects.insert(&object, Some(content), None).await;
    inserted.expect("recorded").into_inner()
}

async fn bounded(world: &World, object_bytes: u64) {
    let quota = Quota {
        object_bytes: Some(object_bytes),
        ..Quota::default()
    };
    let set = world
        .store
        .projects()
        .set_quota(&world.project(), quota)
        .await;
    set.expect("a quota");
}

pub(crate) async fn an_object_comes_back_as_it_went_in(world: World) {
    let mut object = object(world.project(), ObjectState::Sealed);
    object.source = Some(ObjectSource {
        sandbox: SandboxId::generate(),
        path: Some("/out/ä".into()),
    });
    object.expires_at = Some(seconds(9));
    let content = content(1, 5);
    let objects = world.store.objects();
    let inserted = objects.insert(&object, Some(&content), None).await;
    let stored = inserted.expect("recorded").into_inner();
    let expected = Object {
        content: Some(content.blob.clone()),
        size_bytes: Some(5),
        digest: Some(content.digest.clone()),
        ..object.clone()
    };
    assert_eq!(stored, expected);
    assert_eq!(objects.get(&object.id).await.expect("get"), Some(expected));
    let again = objects.insert(&object, None, None).await;
    assert!(
        matches!(again, Err(StoreError::AlreadyExists { .. })),
        "{again:?}"
    );
}

pub(crate) async fn others_do_not_see_an_object(world: World) {
    let stored = sealed(&world, &content(1, 5)).await;
    let objects = world.store.objects();
    let other = world.other_project().await;
    let find = |scope| async move {
        let found = objects.find(&scope, &stored.id).await;
        found.expect("find").is_some()
    };
    assert!(find.clone()(Scope::Project(world.project())).await);
    assert!(find.clone()(Scope::Org(world.home.org.id.clone())).await);
    assert!(!find(Scope::Project(other.id)).await);
}

pub(crate) async fn equal_content_is_kept_once_until_nobody_refers_to_it(world: World) {
    let (first, second) = (content(1, 5), content(1, 5));
    let one = sealed(&world, &first).await;
    let two = sealed(&world, &second).await;
    assert_eq!(one.content.as_ref(), Some(&first.blob));
    assert_eq!(two.content, one.content, "the second copy is garbage");
    let objects = world.store.objects();
    let mut both = [first.blob.clone(), second.blob.clone()];
    both.sort();
    let known = objects.known(&both).await.expect("known");
    assert_eq!(known, HashSet::from([first.blob.clone()]));

    assert!(!objects.release(&first.blob).await.expect("in use"));
    objects.delete(&one.id, at(20)).await.expect("delete");
    assert!(!objects.release(&first.blob).await.expect("in use"));
    objects.delete(&two.id, at(21)).await.expect("delete");
    let unreferenced = objects.unreferenced(10).await.expect("list");
    assert_eq!(unreferenced, [first.blob.clone()]);
    assert!(objects.release(&first.blob).await.expect("free"));
    assert!(!objects.release(&first.blob).await.expect("gone"));
    assert!(objects.known(&both).await.expect("known").is_empty());
    assert!(objects.known(&[]).await.expect("known").is_empty());
}

pub(crate) async fn release_and_reference_at_once_never_both_win(world: World) {
    for round in 0..20_u8 {
        let first = content(round, 1);
        let before = sealed(&world, &first).await;
        let objects = world.store.objects();
        objects.delete(&before.id, at(20)).await.expect("delete");
        let again = content(round, 1);
        let (released, referring) =
            tokio::join!(objects.release(&first.blob), sealed(&world, &again));
        let released = released.expect("release");
        let kept = referring.content.expect("it has content");
        assert_eq!(kept == again.blob, released, "round {round}");
        let known = objects.known(&[kept.clone()]).await.expect("known");
        assert!(known.contains(&kept), "a row without its blob");
    }
}

pub(crate) async fn a_deletion_stands_and_keeps_the_facts(world: World) {
    let stored = sealed(&world, &content(1, 5)).await;
    let objects = world.store.objects();
    let deleted = objects.delete(&stored.id, at(20)).await.expect("delete");
    let deleted = deleted.expect("the first deletion");
    assert_eq!(deleted.state, ObjectState::Deleted);
    assert_eq!(deleted.deleted_at, Some(at(20)));
    assert_eq!((deleted.content, deleted.size_bytes), (None, Some(5)));
    let again = objects.delete(&stored.id, at(30)).await.expect("delete");
    assert_eq!(again, None);
    let kept = objects.get(&stored.id).await.expect("get").expect("kept");
    assert_eq!(kept.deleted_at, Some(at(20)));
    let late = objects.set_content(&stored.id, &content(2, 1)).await;
    assert_eq!(late.expect("no error"), None);
}

pub(crate) async fn an_upload_is_replaced_until_it_is_sealed(world: World) {
    let object = object(world.project(), ObjectState::Uploading);
    let objects = world.store.objects();
    let inserted = objects.insert(&object, None, None).await;
    assert_eq!(inserted.expect("recorded"), Inserted::New(object.clone()));
    let sealed = objects.seal(&object.id, at(20)).await.expect("seal");
    assert_eq!(sealed, None, "it has no content");
    for byte in [1, 2] {
        let content = content(byte, 4);
        let set = objects.set_content(&object.id, &content).await;
        let set = set.expect("set").expect("it is being uploaded");
        assert_eq!(set.content, Some(content.blob));
    }
    let sealed = objects.seal(&object.id, at(20)).await.expect("seal");
    let sealed = sealed.expect("it has content");
    assert_eq!(
        (sealed.state, sealed.sealed_at),
        (ObjectState::Sealed, Some(at(20)))
    );
    let late = objects.set_content(&object.id, &content(3, 4)).await;
    assert_eq!(late.expect("no error"), None);
    assert_eq!(objects.seal(&object.id, at(30)).await.expect("seal"), None);
}

pub(crate) async fn a_quota_of_bytes_is_filled_exactly(world: World) {
    bounded(&world, 10).await;
    let objects = world.store.objects();
    let project = world.project();
    let writers = (0..20_u8).map(|byte| {
        let object = object(project.clone(), ObjectState::Sealed);
        let content = content(byte, 2);
        async move { objects.insert(&object, Some(&content), None).await }
    });
    let done = futures::future::join_all(writers).await;
    let stored = done.iter().filter(|done| done.is_ok()).count();
    assert_eq!(stored, 5);
    for refused in done.into_iter().filter_map(Result::err) {
        assert!(
            matches!(
                refused,
                StoreError::QuotaExceeded {
                    limit: 10,
                    used: 10,
                    wanted: 2,
                    ..
                }
            ),
            "{refused:?}"
        );
    }
    let usage = objects.usage(&project).await.expect("usage");
    assert_eq!(usage, (10, Some(10)));
    let page = objects
        .list(&Scope::Project(project), &ObjectFilter::default(), &all())
        .await;
    let first = &page.expect("list").items[0];
    objects.delete(&first.id, at(20)).await.expect("delete");
    sealed(&world, &content(100, 2)).await;
}

pub(crate) async fn replacing_an_upload_counts_its_content_once(world: World) {
    bounded(&world, 10).await;
    let object = object(world.project(), ObjectState::Uploading);
    let objects = world.store.objects();
    objects.insert(&object, None, None).await.expect("recorded");
    for (byte, size, fits) in [(1, 8, true), (2, 10, true), (3, 11, false), (4, 1, true)] {
        let set = objects.set_content(&object.id, &content(byte, size)).await;
        assert_eq!(set.is_ok(), fits, "{size}");
    }
    let (used, _) = objects.usage(&world.project()).await.expect("usage");
    assert_eq!(used, 1);
}

pub(crate) async fn equal_requests_make_one_object(world: World) {
    let claim = |hash| Idempotency::new(&world.project(), None, "object.create", "k", hash);
    let objects = world.store.objects();
    assert_eq!(
        objects
            .replay(&claim([1; 32]), at(10))
            .await
            .expect("no key"),
        None
    );
    let first = object(world.project(), ObjectState::Sealed);
    let second = object(world.project(), ObjectState::Sealed);
    let (one, two) = (content(1, 5), content(1, 5));
    let made = objects
        .insert(&first, Some(&one), Some(&claim([1; 32])))
        .await;
    let made = made.expect("recorded").into_inner();
    let again = objects
        .insert(&second, Some(&two), Some(&claim([1; 32])))
        .await;
    assert_eq!(again.expect("replayed"), Inserted::Replay(made.clone()));
    let seen = objects.replay(&claim([1; 32]), at(11)).await;
    assert_eq!(seen.expect("replayed"), Some(made));
    let other = objects
        .insert(&second, Some(&two), Some(&claim([2; 32])))
        .await;
    assert!(
        matches!(other, Err(StoreError::IdempotencyConflict)),
        "{other:?}"
    );
    let other = objects.replay(&claim([2; 32]), at(11)).await;
    assert!(
        matches!(other, Err(StoreError::IdempotencyConflict)),
        "{other:?}"
    );
    let forgotten = objects.replay(&claim([1; 32]), seconds(25 * 3600)).await;
    assert_eq!(forgotten.expect("too old"), None);
}

pub(crate) async fn lists_of_objects_filter_and_page(world: World) {
    let objects = world.store.objects();
    let scope = Scope::Project(world.project());
    let sandbox = SandboxId::generate();
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut object = object(world.project(), ObjectState::Uploading);
        object.created_at = at(number);
        object.name = format!("n{}", number % 2);
        object.source = (number == 3).then(|| ObjectSource {
            sandbox: sandbox.clone(),
            path: None,
        });
        objects.insert(&object, None, None).await.expect("recorded");
        ids.push(object.id);
    }
    objects.delete(&ids[4], at(50)).await.expect("delete");
    let list = |filter: ObjectFilter, page: PageRequest| {
        let scope = scope.clone();
        async move { objects.list(&scope, &filter, &page).await.expect("list") }
    };
    let found = |page: pinfold_store::Page<Object>| -> Vec<ObjectId> {
        page.items.into_iter().map(|object| object.id).collect()
    };
    let newest: Vec<_> = ids[..4].iter().rev().cloned().collect();
    assert_eq!(found(list(ObjectFilter::default(), all()).await), newest);
    let states = |states| ObjectFilter {
        states,
        ..ObjectFilter::default()
    };
    assert_eq!(found(list(states(ObjectStates::All), all()).await).len(), 5);
    let deleted = ObjectStates::Only(ObjectState::Deleted);
    assert_eq!(found(list(states(deleted), all()).await), [ids[4].clone()]);
    let named = ObjectFilter {
        name: Some("n1".into()),
        ..ObjectFilter::default()
    };
    assert_eq!(
        found(list(named, all()).await),
        [ids[3].clone(), ids[1].clone()]
    );
    let of_sandbox = ObjectFilter {
        sandbox: Some(sandbox),
        ..ObjectFilter::default()
    };
    assert_eq!(found(list(of_sandbox, all()).await), [ids[3].clone()]);
    let first = list(ObjectFilter::default(), PageRequest::new(3, None)).await;
    let rest = list(
        ObjectFilter::default(),
        PageRequest::new(3, first.next.clone()),
    )
    .await;
    let walked = [found(first), found(rest)].concat();
    assert_eq!(walked, newest);
}

pub(crate) async fn what_is_overdue_is_found(world: World) {
    let objects = world.store.objects();
    let mut kept = object(world.project(), ObjectState::Sealed);
    kept.expires_at = Some(at(100));
    let mut over = object(world.project(), ObjectState::Sealed);
    over.expires_at = Some(at(50));
    let mut abandoned = object(world.project(), ObjectState::Uploading);
    abandoned.created_at = at(1);
    for object in [&kept, &over, &abandoned] {
        objects.insert(object, None, None).await.expect("recorded");
    }
    let overdue = objects.overdue(at(50), at(5), 10).await.expect("list");
    assert_eq!(overdue, [over.id.clone(), abandoned.id.clone()]);
    let kept = objects.delete_overdue(&kept.id, at(60)).await;
    assert_eq!(kept.expect("nothing to do"), None);
    for id in [&over.id, &abandoned.id] {
        let deleted = objects.delete_overdue(id, at(60)).await.expect("delete");
        assert_eq!(deleted.expect("due").state, ObjectState::Deleted);
    }
    let overdue = objects.overdue(at(50), at(0), 10).await.expect("list");
    assert!(overdue.is_empty());
}
