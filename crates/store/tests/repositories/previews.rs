//! Previews and the links that open them once.

use pinfold_model::{
    Preview, PreviewAccess, PreviewId, PreviewState, Sandbox, SandboxState, Slug, Time,
};
use pinfold_store::{
    Inserted, KeptPreview, PreviewFilter, PreviewLink, QuotaKind, StoreError, Thing, Transition,
};
use tokio::task::JoinSet;

use crate::world::{World, all, at};

pub(crate) fn kept(sandbox: &Sandbox, port: u16, created_at: Time) -> KeptPreview {
    KeptPreview {
        preview: Preview {
            id: PreviewId::generate(),
            slug: Slug::from_random(rand::random()),
            sandbox: sandbox.id.clone(),
            project: sandbox.project.clone(),
            port,
            access: PreviewAccess::Token,
            created_at,
            expires_at: None,
            revoked_at: None,
            sandbox_ended_at: None,
        },
        token_hash: Some(rand::random()),
    }
}

async fn new(world: &World, kept: &KeptPreview) {
    let inserted = world.store.previews().insert(kept, 10).await;
    assert_eq!(inserted.expect("insert"), Inserted::New(kept.clone()));
}

pub(crate) async fn a_preview_comes_back_as_it_went_in(world: World) {
    let sandbox = world.stored_sandbox().await;
    let mut kept = kept(&sandbox, 8080, at(10));
    kept.preview.expires_at = Some(at(90));
    new(&world, &kept).await;
    let plain = KeptPreview {
        token_hash: None,
        ..self::kept(&sandbox, 65535, at(11))
    };
    new(&world, &plain).await;
    let previews = world.store.previews();
    for kept in [&kept, &plain] {
        let preview = &kept.preview;
        let found = previews.by_slug(&preview.slug).await.expect("find");
        assert_eq!(found.as_ref(), Some(kept));
        let found = previews.get(&preview.id).await.expect("get");
        assert_eq!(found.as_ref(), Some(preview));
    }
    let unknown = Slug::from_random([0; 20]);
    assert_eq!(previews.by_slug(&unknown).await.expect("find"), None);
}

pub(crate) async fn of_fifty_parallel_creations_of_a_port_one_is_new(world: World) {
    let sandbox = world.stored_sandbox().await;
    let mut racing = JoinSet::new();
    for _ in 0..50 {
        let (store, kept) = (world.store.clone(), kept(&sandbox, 80, at(1)));
        racing.spawn(async move { store.previews().insert(&kept, 1).await.expect("insert") });
    }
    let mut slugs = Vec::new();
    let mut made = 0;
    for inserted in racing.join_all().await {
        match inserted {
            Inserted::New(kept) => {
                made += 1;
                slugs.push(kept.preview.slug);
            }
            Inserted::Replay(kept) => slugs.push(kept.preview.slug),
        }
    }
    assert_eq!(made, 1);
    assert!(slugs.iter().all(|slug| *slug == slugs[0]));
}

pub(crate) async fn a_sandbox_has_no_more_active_previews_than_its_bound(world: World) {
    let (sandbox, other) = (world.stored_sandbox().await, world.stored_sandbox().await);
    let previews = world.store.previews();
    let mut racing = JoinSet::new();
    for port in 1..=20 {
        let (store, kept) = (world.store.clone(), kept(&sandbox, port, at(1)));
        racing.spawn(async move { store.previews().insert(&kept, 5).await });
    }
    let results = racing.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    for refused in results.into_iter().filter_map(Result::err) {
        let StoreError::QuotaExceeded { quota, limit, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((quota, limit), (QuotaKind::ActivePreviews, 5));
    }
    let elsewhere = previews.insert(&kept(&other, 1, at(1)), 5).await;
    elsewhere.expect("another sandbox has a bound of its own");
}

pub(crate) async fn a_revoked_or_expired_preview_frees_its_port(world: World) {
    let sandbox = world.stored_sandbox().await;
    let previews = world.store.previews();
    let first = kept(&sandbox, 80, at(0));
    new(&world, &first).await;
    let id = &first.preview.id;
    let revoked = previews.revoke(id, at(10)).await.expect("revoke");
    assert_eq!(revoked.revoked_at, Some(at(10)));
    let again = previews.revoke(id, at(20)).await.expect("revoke again");
    assert_eq!(again, revoked);
    let mut second = kept(&sandbox, 80, at(30));
    second.preview.expires_at = Some(at(40));
    new(&world, &second).await;
    let early = kept(&sandbox, 80, at(39));
    let replay = previews.insert(&early, 10).await.expect("insert");
    assert_eq!(replay, Inserted::Replay(second.clone()));
    let third = kept(&sandbox, 80, at(40));
    new(&world, &third).await;
    let active = PreviewFilter::ActiveAt(at(41));
    let listed = previews.list(&sandbox.id, active, &all()).await;
    assert_eq!(listed.expect("list").items, [third.preview.clone()]);
    let every = previews.list(&sandbox.id, PreviewFilter::All, &all()).await;
    let every = every.expect("list").items;
    assert_eq!(every, [third.preview, second.preview, revoked]);
    let missing = previews.revoke(&PreviewId::generate(), at(1)).await;
    assert!(
        matches!(
            missing,
            Err(StoreError::NotFound {
                thing: Thing::Preview,
                ..
            })
        ),
        "{missing:?}"
    );
}

pub(crate) async fn an_ended_sandbox_gets_no_preview_and_keeps_those_it_had(world: World) {
    let sandbox = world.stored_sandbox().await;
    let kept = kept(&sandbox, 80, at(0));
    new(&world, &kept).await;
    let end = Transition::new(SandboxState::Destroyed, at(50));
    let sandboxes = world.store.sandboxes();
    let ended = sandboxes.transition(&sandbox.id, &SandboxState::ALL, &end);
    ended.await.expect("transition");
    let previews = world.store.previews();
    let refused = previews.insert(&self::kept(&sandbox, 81, at(60)), 10).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NotFound {
                thing: Thing::Sandbox,
                ..
            })
        ),
        "{refused:?}"
    );
    let found = previews.get(&kept.preview.id).await.expect("get");
    let found = found.expect("it is there");
    assert_eq!(found.sandbox_ended_at, Some(at(50)));
    assert_eq!(found.state(at(60)), PreviewState::Ended);
    let page = all();
    let every = previews.list(&sandbox.id, PreviewFilter::All, &page).await;
    assert_eq!(every.expect("list").items, [found]);
    let active = PreviewFilter::ActiveAt(at(60));
    let active = previews.list(&sandbox.id, active, &page).await;
    assert!(active.expect("list").items.is_empty());
}

pub(crate) async fn a_link_is_taken_once(world: World) {
    let sandbox = world.stored_sandbox().await;
    let kept = kept(&sandbox, 80, at(0));
    new(&world, &kept).await;
    let previews = world.store.previews();
    let link = |byte| PreviewLink {
        secret_hash: [byte; 32],
        preview: kept.preview.id.clone(),
        key: None,
        expires_at: at(100),
    };
    previews.insert_link(&link(1)).await.expect("insert");
    previews.insert_link(&link(2)).await.expect("insert");
    let elsewhere = previews.take_link([1; 32], &PreviewId::generate()).await;
    assert_eq!(elsewhere.expect("take"), None);
    let mut racing = JoinSet::new();
    for _ in 0..10 {
        let (store, id) = (world.store.clone(), kept.preview.id.clone());
        racing.spawn(async move {
            store
                .previews()
                .take_link([1; 32], &id)
                .await
                .expect("take")
        });
    }
    let taken: Vec<_> = racing.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken, [link(1)]);
    assert_eq!(previews.purge_links(at(99)).await.expect("purge"), 0);
    assert_eq!(previews.purge_links(at(100)).await.expect("purge"), 1);
    let gone = previews.take_link([2; 32], &kept.preview.id).await;
    assert_eq!(gone.expect("take"), None);
}
