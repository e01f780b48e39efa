//! Images, their names, and what their deletion waits for.

use std::collections::HashSet;

use pinfold_model::{Digest, Image, ImageId, ImageName, SandboxState};
use pinfold_store::{PageRequest, StoreError, Transition, Withdrawal};
use tokio::task::JoinSet;

use crate::world::{World, all, at, image, sandbox};

fn name(text: &str) -> ImageName {
    text.parse().expect("a good name")
}

async fn insert(world: &World, image: &Image) {
    world.store.images().insert(image).await.expect("insert");
}

async fn resolve(world: &World, text: &str) -> Option<ImageId> {
    let found = world
        .store
        .images()
        .resolve(&world.project(), &name(text))
        .await;
    found.expect("resolve").map(|image| image.id)
}

pub(crate) async fn an_image_comes_back_as_it_went_in(world: World) {
    let images = world.store.images();
    let named = image(
        Some(world.project()),
        &["a:1", "a:2", "host.example:5000/team/b:latest"],
    );
    let bare = image(None, &[]);
    for image in [&named, &bare] {
        insert(&world, image).await;
        assert_eq!(
            images.get(&image.id).await.expect("get").as_ref(),
            Some(image)
        );
    }
    let found = images
        .resolve(&world.project(), &name("a:2"))
        .await
        .expect("resolve");
    assert_eq!(found.as_ref(), Some(&named), "with all its names");
    let again = images.insert(&bare).await;
    assert!(
        matches!(again, Err(StoreError::AlreadyExists { .. })),
        "{again:?}"
    );
    assert_eq!(images.get(&ImageId::generate()).await.expect("get"), None);
}

pub(crate) async fn a_name_moves_to_the_new_image(world: World) {
    let images = world.store.images();
    let (old, new) = (image(None, &["py"]), image(None, &["py", "py:3"]));
    insert(&world, &old).await;
    insert(&world, &new).await;
    assert_eq!(resolve(&world, "py").await, Some(new.id.clone()));
    assert_eq!(
        images
            .get(&old.id)
            .await
            .expect("get")
            .expect("it stays")
            .names,
        []
    );
    images.set_name(&old.id, &name("py")).await.expect("set");
    assert_eq!(resolve(&world, "py").await, Some(old.id.clone()));
    images.remove_name(None, &name("py")).await.expect("remove");
    assert_eq!(resolve(&world, "py").await, None);
    assert_eq!(resolve(&world, "py:3").await, Some(new.id));
    let gone = images.remove_name(None, &name("py")).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    let nobody = images.set_name(&ImageId::generate(), &name("py")).await;
    assert!(
        matches!(nobody, Err(StoreError::NotFound { .. })),
        "{nobody:?}"
    );
}

pub(crate) async fn a_project_s_own_name_wins_over_a_shared_one(world: World) {
    let other = world.other_project().await;
    let shared = image(None, &["py"]);
    let own = image(Some(world.project()), &["py"]);
    let foreign = image(Some(other.id.clone()), &["py", "theirs"]);
    for image in [&own, &shared, &foreign] {
        insert(&world, image).await;
    }
    assert_eq!(resolve(&world, "py").await, Some(own.id.clone()));
    assert_eq!(resolve(&world, "theirs").await, None);
    world
        .store
        .images()
        .remove_name(Some(&world.project()), &name("py"))
        .await
        .expect("remove");
    assert_eq!(resolve(&world, "py").await, Some(shared.id));
}

pub(crate) async fn an_image_in_use_is_not_deleted(world: World) {
    let images = world.store.images();
    let image = image(None, &["used"]);
    insert(&world, &image).await;
    let user = sandbox(world.project(), image.id.clone());
    world.insert(&user).await;
    let refused = images.delete(&image.id, at(50)).await;
    assert!(
        matches!(&refused, Err(StoreError::InUse { by, .. }) if by == user.id.as_str()),
        "{refused:?}"
    );
    let end = Transition::new(SandboxState::Destroyed, at(60));
    world
        .store
        .sandboxes()
        .transition(&user.id, &[user.state], &end)
        .await
        .expect("transition");
    images.delete(&image.id, at(70)).await.expect("free now");
    assert_eq!(images.get(&image.id).await.expect("get"), None);
    assert_eq!(resolve(&world, "used").await, None);
    assert!(
        world
            .store
            .sandboxes()
            .get(&user.id)
            .await
            .expect("get")
            .is_some()
    );
    let gone = images.delete(&image.id, at(80)).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    let late = world
        .store
        .sandboxes()
        .insert(&sandbox(world.project(), image.id), None)
        .await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
}

pub(crate) async fn a_withdrawn_image_is_nobodys_and_goes_with_its_last_sandbox(world: World) {
    let images = world.store.images();
    let (unused, used) = (image(None, &["unused"]), image(None, &["used"]));
    for image in [&unused, &used] {
        insert(&world, image).await;
    }
    let user = sandbox(world.project(), used.id.clone());
    world.insert(&user).await;
    let withdraw = async |id, now| images.withdraw(id, at(now)).await;
    assert_eq!(
        withdraw(&unused.id, 50).await.expect("it is there"),
        Withdrawal::Deleted
    );
    for now in [50, 51] {
        assert_eq!(
            withdraw(&used.id, now).await.expect("it is there"),
            Withdrawal::Deferred
        );
    }
    assert_eq!(images.get(&unused.id).await.expect("get"), None);
    let kept = images.get(&used.id).await.expect("get").expect("in use");
    assert_eq!((kept.layers, kept.names), (used.layers, Vec::new()));
    assert_eq!(images.find(&used.id).await.expect("find"), None);
    assert_eq!(resolve(&world, "used").await, None);
    let listed = images.list(&world.project(), &PageRequest::default()).await;
    assert!(
        listed
            .expect("list")
            .items
            .iter()
            .all(|one| one.id != used.id)
    );
    assert!(images.withdrawn_unused().await.expect("list").is_empty());

    let end = Transition::new(SandboxState::Destroyed, at(60));
    world
        .store
        .sandboxes()
        .transition(&user.id, &[user.state], &end)
        .await
        .expect("transition");
    let left = images.withdrawn_unused().await.expect("list");
    assert_eq!(
        left.iter().map(|one| &one.id).collect::<Vec<_>>(),
        [&used.id]
    );
    images.delete(&used.id, at(70)).await.expect("free now");
    assert!(images.withdrawn_unused().await.expect("list").is_empty());
    let gone = withdraw(&used.id, 80).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

pub(crate) async fn deletion_and_creation_at_once_never_both_win(world: World) {
    let mut racing = JoinSet::new();
    for _ in 0..20 {
        let image = image(None, &[]);
        insert(&world, &image).await;
        let (deleting, creating) = (world.store.clone(), world.store.clone());
        let user = sandbox(world.project(), image.id.clone());
        racing.spawn(async move {
            let (images, sandboxes) = (deleting.images(), creating.sandboxes());
            let (deleted, created) = tokio::join!(
                images.delete(&image.id, at(50)),
                sandboxes.insert(&user, None)
            );
            (deleted.is_ok(), created.is_ok())
        });
    }
    for (deleted, created) in racing.join_all().await {
        assert_ne!(deleted, created, "exactly one of the two");
    }
}

pub(crate) async fn only_layers_of_present_images_are_referenced(world: World) {
    let layer = |n| Digest::from_sha256([n; 32]);
    let mut kept = image(Some(world.project()), &[]);
    kept.layers = vec![layer(2), layer(7)];
    let mut doomed = image(None, &[]);
    doomed.layers = vec![layer(7), layer(8)];
    insert(&world, &kept).await;
    insert(&world, &doomed).await;
    let images = world.store.images();
    let all = HashSet::from([1, 2, 7, 8].map(layer));
    assert_eq!(images.referenced_layers().await.expect("layers"), all);
    images.delete(&doomed.id, at(50)).await.expect("unused");
    let left = HashSet::from([1, 2, 7].map(layer));
    assert_eq!(images.referenced_layers().await.expect("layers"), left);
}

pub(crate) async fn lists_show_own_and_shared_images_once(world: World) {
    let other = world.other_project().await;
    let mut own = image(Some(world.project()), &["a", "b", "c"]);
    own.created_at = at(90);
    insert(&world, &own).await;
    insert(&world, &image(Some(other.id), &["theirs"])).await;
    let page = world
        .store
        .images()
        .list(&world.project(), &all())
        .await
        .expect("list");
    let ids: Vec<_> = page.items.iter().map(|image| &image.id).collect();
    assert_eq!(ids, [&own.id, &world.image]);
    assert_eq!(page.items[0], own);
    assert_eq!(page.next, None);
}
