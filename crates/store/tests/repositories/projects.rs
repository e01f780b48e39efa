//! Orgs and projects.

use pinfold_model::{Org, OrgId, Project, ProjectId, Quota};
use pinfold_store::{StoreError, Thing};

use crate::world::{World, all, at};

pub(crate) async fn bootstrap_is_idempotent_and_race_free(world: World) {
    let other = world.place.open().await;
    let (a, b) = (world.store.projects(), other.projects());
    let (a, b, c) = tokio::join!(a.bootstrap(at(7)), b.bootstrap(at(8)), b.bootstrap(at(9)));
    for home in [a, b, c] {
        assert_eq!(home.expect("bootstrap"), world.home);
    }
}

pub(crate) async fn projects_and_orgs_are_found_again(world: World) {
    let projects = world.store.projects();
    let other = world.other_project().await;
    assert_eq!(
        projects.get(&other.id).await.expect("get"),
        Some(other.clone())
    );
    assert_eq!(
        projects.get(&ProjectId::generate()).await.expect("get"),
        None
    );
    let page = projects
        .list(&world.home.org.id, &all())
        .await
        .expect("list");
    assert_eq!(page.items, [other, world.home.project.clone()]);
    let org = projects.get_org(&world.home.org.id).await.expect("get");
    assert_eq!(org, Some(world.home.org.clone()));
}

pub(crate) async fn a_name_is_taken_once_in_an_org(world: World) {
    let projects = world.store.projects();
    let taken = Project {
        id: ProjectId::generate(),
        ..world.home.project.clone()
    };
    let refused = projects.insert(&taken).await;
    let same = |thing| matches!(thing, Thing::Project);
    assert!(
        matches!(refused, Err(StoreError::AlreadyExists { thing, .. }) if same(thing)),
        "{refused:?}"
    );
    let org = Org {
        id: OrgId::generate(),
        name: "second".into(),
        created_at: at(2),
    };
    projects.insert_org(&org).await.expect("a new name");
    let elsewhere = Project {
        org: org.id,
        ..taken.clone()
    };
    projects
        .insert(&elsewhere)
        .await
        .expect("free in another org");
    let nowhere = Project {
        id: ProjectId::generate(),
        org: OrgId::generate(),
        ..taken
    };
    let refused = projects.insert(&nowhere).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NotFound {
                thing: Thing::Org,
                ..
            })
        ),
        "{refused:?}"
    );
}

pub(crate) async fn quotas_are_kept(world: World) {
    let projects = world.store.projects();
    let quota = Quota {
        live_sandboxes: None,
        vcpu_millis: Some(u64::from(u32::MAX) + 1),
        memory_mib: Some(0),
        object_bytes: Some(1 << 40),
    };
    let set = projects
        .set_quota(&world.project(), quota)
        .await
        .expect("set");
    assert_eq!(set.quota, quota);
    assert_eq!(
        projects.get(&world.project()).await.expect("get"),
        Some(set)
    );
    let missing = projects.set_quota(&ProjectId::generate(), quota).await;
    assert!(
        matches!(missing, Err(StoreError::NotFound { .. })),
        "{missing:?}"
    );
}
