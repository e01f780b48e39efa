//! Secrets: names of a project, and what was sealed under them.

use pinfold_model::{ProjectId, Secret, SecretId};
use pinfold_store::{Result, StoreError, Thing};
use tokio::task::JoinSet;

use crate::world::{World, all, at};

fn secret(project: &ProjectId, name: &str) -> Secret {
    Secret {
        id: SecretId::generate(),
        project: project.clone(),
        name: name.into(),
        created_at: at(40),
        updated_at: at(40),
        created_by: None,
    }
}

pub(crate) async fn put(
    world: &World,
    project: &ProjectId,
    name: &str,
    sealed: &[u8],
) -> Result<Option<Secret>> {
    let secret = secret(project, name);
    world.store.secrets().put(&secret, sealed, 1000).await
}

pub(crate) async fn a_secret_comes_back_as_it_went_in_and_is_replaced_in_place(world: World) {
    let (secrets, project) = (world.store.secrets(), world.project());
    assert_eq!(secrets.last_sealed().await.expect("a look"), None);
    let key = world.key();
    world.store.keys().insert(&key, [7; 32]).await.expect("key");
    let first = Secret {
        created_by: Some(key.id),
        ..secret(&project, "TOKEN")
    };
    let sealed = [0, 1, 2, 255];
    let put = secrets.put(&first, &sealed, 1000).await.expect("put");
    assert_eq!(put.as_ref(), Some(&first));
    assert_eq!(secrets.get(&project, "TOKEN").await.expect("get"), put);
    let again = Secret {
        created_at: at(90),
        updated_at: at(90),
        created_by: None,
        ..first.clone()
    };
    let replaced = secrets.put(&again, b"other", 1000).await.expect("put");
    let replaced = replaced.expect("of the same id");
    assert_eq!(
        replaced,
        Secret {
            updated_at: at(90),
            ..first
        }
    );
    let found = secrets.sealed(&project, "TOKEN").await.expect("sealed");
    assert_eq!(found, Some((replaced.clone(), b"other".to_vec())));
    let last = secrets.last_sealed().await.expect("a look");
    assert_eq!(last.as_deref(), Some(b"other".as_slice()));
    let page = secrets.list(&project, &all()).await.expect("list");
    assert_eq!(page.items, [replaced]);
}

pub(crate) async fn a_name_is_one_projects_own(world: World) {
    let (secrets, own) = (world.store.secrets(), world.project());
    let other = world.other_project().await.id;
    let mine = put(&world, &own, "TOKEN", b"mine").await.expect("put");
    assert_eq!(secrets.get(&other, "TOKEN").await.expect("get"), None);
    assert_eq!(secrets.sealed(&other, "TOKEN").await.expect("get"), None);
    assert!(
        secrets
            .list(&other, &all())
            .await
            .expect("list")
            .items
            .is_empty()
    );
    let theirs = put(&world, &other, "TOKEN", b"theirs").await.expect("put");
    assert_ne!(mine, theirs);
    secrets.delete(&other, "TOKEN").await.expect("deleted");
    let (_, sealed) = secrets
        .sealed(&own, "TOKEN")
        .await
        .expect("get")
        .expect("there");
    assert_eq!(sealed, b"mine");
    // Names are told apart by case on both databases.
    assert_eq!(secrets.get(&own, "token").await.expect("get"), None);
    let nowhere = put(&world, &ProjectId::generate(), "TOKEN", b"x").await;
    assert!(matches!(
        nowhere,
        Err(StoreError::NotFound {
            thing: Thing::Project,
            ..
        })
    ));
}

pub(crate) async fn what_is_sealed_for_another_id_replaces_nothing(world: World) {
    let (secrets, project) = (world.store.secrets(), world.project());
    let first = put(&world, &project, "TOKEN", b"first").await.expect("put");
    let second = put(&world, &project, "TOKEN", b"second")
        .await
        .expect("no error");
    assert_eq!(second, None);
    let kept = secrets.sealed(&project, "TOKEN").await.expect("get");
    assert_eq!(kept, first.map(|first| (first, b"first".to_vec())));
}

pub(crate) async fn of_racing_first_puts_one_is_kept_whole(world: World) {
    let project = world.project();
    let mut racing = JoinSet::new();
    for n in 0..20_u8 {
        let (store, secret) = (world.store.clone(), secret(&project, "TOKEN"));
        racing.spawn(async move {
            let put = store.secrets().put(&secret, &[n], 1000).await.expect("put");
            put.map(|put| (put, vec![n]))
        });
    }
    let put: Vec<_> = racing.join_all().await.into_iter().flatten().collect();
    let kept = world.store.secrets().sealed(&project, "TOKEN").await;
    assert_eq!(put, [kept.expect("get").expect("there")]);
}

pub(crate) async fn a_project_keeps_so_many_secrets(world: World) {
    let (secrets, project) = (world.store.secrets(), world.project());
    let mut kept = Vec::new();
    for n in 0..3 {
        let secret = secret(&project, &format!("S{n}"));
        kept.extend(secrets.put(&secret, b"x", 2).await.expect("put"));
    }
    assert_eq!(kept.len(), 2);
    assert_eq!(secrets.count(&project).await.expect("count"), 2);
    let replaced = secrets.put(&kept[0], b"y", 2).await.expect("put");
    assert!(replaced.is_some(), "a full project can still replace");
    let other = world.other_project().await.id;
    let theirs = secrets
        .put(&secret(&other, "S"), b"x", 2)
        .await
        .expect("put");
    assert!(theirs.is_some(), "the bound is each project's own");
}

pub(crate) async fn a_deleted_secret_leaves_nothing(world: World) {
    let (secrets, project) = (world.store.secrets(), world.project());
    let first = put(&world, &project, "TOKEN", b"first").await.expect("put");
    secrets.delete(&project, "TOKEN").await.expect("deleted");
    assert_eq!(secrets.sealed(&project, "TOKEN").await.expect("get"), None);
    assert_eq!(secrets.last_sealed().await.expect("a look"), None);
    let again = secrets.delete(&project, "TOKEN").await;
    assert!(matches!(
        again,
        Err(StoreError::NotFound {
            thing: Thing::Secret,
            ..
        })
    ));
    let second = put(&world, &project, "TOKEN", b"second")
        .await
        .expect("put");
    assert!(
        second.is_some() && second != first,
        "the name is free again"
    );
}
