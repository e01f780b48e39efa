//! Keys and the settings their hashes depend on.

use pinfold_model::{Key, KeyId, ProjectId};
use pinfold_store::{StoreError, Thing};
use tokio::task::JoinSet;

use crate::world::{World, all, at, seconds};

pub(crate) async fn keys_are_found_by_the_hash_of_their_secret(world: World) {
    let keys = world.store.keys();
    let key = world.key();
    keys.insert(&key, [7; 32]).await.expect("insert");
    assert_eq!(
        keys.by_secret_hash([7; 32]).await.expect("find"),
        Some(key.clone())
    );
    assert_eq!(keys.by_secret_hash([8; 32]).await.expect("find"), None);
    assert_eq!(keys.get(&key.id).await.expect("get"), Some(key.clone()));
    let twin = world.key();
    let refused = keys.insert(&twin, [7; 32]).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::AlreadyExists {
                thing: Thing::Key,
                ..
            })
        ),
        "{refused:?}"
    );
    let homeless = Key {
        project: ProjectId::generate(),
        ..twin
    };
    let refused = keys.insert(&homeless, [9; 32]).await;
    assert!(
        matches!(refused, Err(StoreError::NotFound { .. })),
        "{refused:?}"
    );
    assert_eq!(
        keys.list(&world.home.org.id, &all())
            .await
            .expect("list")
            .items,
        [key]
    );
}

pub(crate) async fn a_revocation_stands(world: World) {
    let keys = world.store.keys();
    let key = world.key();
    keys.insert(&key, [7; 32]).await.expect("insert");
    keys.revoke(&key.id, at(50)).await.expect("revoke");
    let again = keys.revoke(&key.id, at(60)).await.expect("revoke again");
    assert_eq!(again.revoked_at, Some(at(50)));
    assert_eq!(
        keys.by_secret_hash([7; 32]).await.expect("find"),
        Some(again)
    );
    let missing = keys.revoke(&KeyId::generate(), at(50)).await;
    assert!(
        matches!(missing, Err(StoreError::NotFound { .. })),
        "{missing:?}"
    );
}

pub(crate) async fn last_use_is_noted_once_a_minute(world: World) {
    let keys = world.store.keys();
    let fresh = world.key();
    keys.insert(&fresh, [7; 32]).await.expect("insert");
    for (now, noted) in [(100, 100), (159, 100), (160, 160)] {
        // With the key as first read, so that it is the database that decides.
        keys.touch(&fresh, seconds(now)).await.expect("touch");
        let key = keys
            .get(&fresh.id)
            .await
            .expect("get")
            .expect("it is there");
        assert_eq!(key.last_used_at, Some(seconds(noted)), "at {now} s");
    }
}

pub(crate) async fn a_secret_setting_is_made_once_by_racing_callers(world: World) {
    let mut racing = JoinSet::new();
    for _ in 0..20 {
        let store = world.store.clone();
        racing.spawn(async move { store.settings().secret("key_pepper").await.expect("secret") });
    }
    let secrets = racing.join_all().await;
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    assert_ne!(secrets[0], [0; 32]);
    let other = world
        .store
        .settings()
        .secret("other")
        .await
        .expect("secret");
    assert_ne!(other, secrets[0]);
}
