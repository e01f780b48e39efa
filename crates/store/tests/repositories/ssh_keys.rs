//! Keys that open one sandbox over SSH.

use pinfold_model::{Sandbox, SandboxState, SshKey, SshKeyId, Time};
use pinfold_store::{Inserted, QuotaKind, StoreError, Thing, Transition};
use tokio::task::JoinSet;

use crate::world::{World, all, at};

pub(crate) fn ssh_key(sandbox: &Sandbox, fingerprint: &str, created_at: Time) -> SshKey {
    SshKey {
        id: SshKeyId::generate(),
        sandbox: sandbox.id.clone(),
        project: sandbox.project.clone(),
        public_key: "ssh-ed25519 AAAA".to_owned(),
        fingerprint: fingerprint.to_owned(),
        created_at,
        expires_at: None,
        created_by: None,
    }
}

async fn new(world: &World, key: &SshKey) {
    let inserted = world.store.ssh_keys().insert(key, 10).await;
    assert_eq!(inserted.expect("insert"), Inserted::New(key.clone()));
}

pub(crate) async fn an_ssh_key_comes_back_as_it_went_in_until_it_is_deleted(world: World) {
    let (sandbox, keys) = (world.stored_sandbox().await, world.store.ssh_keys());
    let maker = world.key();
    world
        .store
        .keys()
        .insert(&maker, [7; 32])
        .await
        .expect("key");
    let key = SshKey {
        expires_at: Some(at(90)),
        created_by: Some(maker.id),
        ..ssh_key(&sandbox, "SHA256:a", at(10))
    };
    new(&world, &key).await;
    let plain = ssh_key(&sandbox, "SHA256:A", at(11));
    new(&world, &plain).await;
    for key in [&key, &plain] {
        let found = keys.get(&sandbox.id, &key.id).await.expect("get");
        assert_eq!(found.as_ref(), Some(key));
        let found = keys.by_fingerprint(&sandbox.id, &key.fingerprint).await;
        assert_eq!(found.expect("find").as_ref(), Some(key));
    }
    let listed = keys.list(&sandbox.id, at(89), &all()).await.expect("list");
    assert_eq!(listed.items, [plain.clone(), key.clone()]);
    let listed = keys.list(&sandbox.id, at(90), &all()).await.expect("list");
    assert_eq!(listed.items, [plain], "the other one has expired");
    keys.delete(&sandbox.id, &key.id).await.expect("deleted");
    assert_eq!(keys.get(&sandbox.id, &key.id).await.expect("get"), None);
    let again = keys.delete(&sandbox.id, &key.id).await;
    assert!(
        matches!(
            again,
            Err(StoreError::NotFound {
                thing: Thing::SshKey,
                ..
            })
        ),
        "{again:?}"
    );
}

pub(crate) async fn a_key_is_of_one_sandbox_and_once_in_it(world: World) {
    let (one, two) = (world.stored_sandbox().await, world.stored_sandbox().await);
    let keys = world.store.ssh_keys();
    let mine = ssh_key(&one, "SHA256:a", at(1));
    new(&world, &mine).await;
    let again = keys.insert(&ssh_key(&one, "SHA256:a", at(2)), 1).await;
    let again = again.expect("a full sandbox answers with the key that it has");
    assert_eq!(again, Inserted::Replay(mine.clone()));
    let elsewhere = keys.by_fingerprint(&two.id, "SHA256:a").await;
    assert_eq!(elsewhere.expect("find"), None);
    assert_eq!(keys.get(&two.id, &mine.id).await.expect("get"), None);
    assert!(keys.delete(&two.id, &mine.id).await.is_err());
    new(&world, &ssh_key(&two, "SHA256:a", at(3))).await;
    let brief = SshKey {
        expires_at: Some(at(9)),
        ..ssh_key(&one, "SHA256:b", at(4))
    };
    new(&world, &brief).await;
    new(&world, &ssh_key(&one, "SHA256:b", at(9))).await;
}

pub(crate) async fn a_sandbox_has_no_more_ssh_keys_than_its_bound(world: World) {
    let sandbox = world.stored_sandbox().await;
    let mut racing = JoinSet::new();
    for n in 0..20 {
        let (store, key) = (
            world.store.clone(),
            ssh_key(&sandbox, &format!("SHA256:{n}"), at(1)),
        );
        racing.spawn(async move { store.ssh_keys().insert(&key, 5).await });
    }
    let results = racing.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    for refused in results.into_iter().filter_map(Result::err) {
        let StoreError::QuotaExceeded { quota, limit, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((quota, limit), (QuotaKind::SshKeys, 5));
    }
}

pub(crate) async fn an_ended_sandbox_gets_no_ssh_key_and_those_it_had_are_purged(world: World) {
    let (ended, live) = (world.stored_sandbox().await, world.stored_sandbox().await);
    let keys = world.store.ssh_keys();
    let key = ssh_key(&ended, "SHA256:a", at(1));
    let kept = ssh_key(&live, "SHA256:a", at(1));
    let brief = SshKey {
        expires_at: Some(at(70)),
        ..ssh_key(&live, "SHA256:b", at(1))
    };
    for key in [&key, &kept, &brief] {
        new(&world, key).await;
    }
    let end = Transition::new(SandboxState::Destroyed, at(50));
    let sandboxes = world.store.sandboxes();
    let transition = sandboxes.transition(&ended.id, &SandboxState::ALL, &end);
    transition.await.expect("transition");
    let refused = keys.insert(&ssh_key(&ended, "SHA256:c", at(60)), 10).await;
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
    let listed = keys.list(&ended.id, at(60), &all()).await.expect("list");
    assert!(listed.items.is_empty());
    assert_eq!(keys.purge(at(69), at(49)).await.expect("purge"), 0);
    let found = keys.get(&ended.id, &key.id).await.expect("get");
    assert_eq!(found, Some(key), "who knocks is told that it has ended");
    assert_eq!(keys.purge(at(70), at(50)).await.expect("purge"), 2);
    let left = keys.list(&live.id, at(60), &all()).await.expect("list");
    assert_eq!(left.items, [kept]);
}
