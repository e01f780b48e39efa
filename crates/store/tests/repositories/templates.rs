//! Templates and their versions.

use std::collections::{BTreeMap, BTreeSet};

use pinfold_model::template::TemplateSpec;
use pinfold_model::{ProjectId, Resources, Template, TemplateVersionId};
use pinfold_store::{PageRequest, StoreError};
use tokio::task::JoinSet;

use crate::world::{World, all, at};

fn spec(workdir: &str) -> TemplateSpec {
    TemplateSpec {
        image: "host".parse().expect("a good name"),
        resources: Resources::default(),
        network: pinfold_model::NetworkMode::None,
        network_policy: pinfold_model::NetworkPolicy::default(),
        env: BTreeMap::new(),
        workdir: Some(workdir.into()),
        user: None,
        ttl: None,
        idle_timeout: None,
    }
}

async fn set(world: &World, project: Option<&ProjectId>, name: &str, workdir: &str) -> Template {
    let set = world
        .store
        .templates()
        .set(project, name, &spec(workdir), at(30))
        .await;
    set.expect("set")
}

async fn latest(world: &World, name: &str) -> Option<Template> {
    world
        .store
        .templates()
        .latest(&world.project(), name)
        .await
        .expect("latest")
}

pub(crate) async fn setting_again_makes_the_next_version(world: World) {
    let first = set(&world, None, "default", "/a").await;
    let second = set(&world, None, "default", "/b").await;
    assert_eq!((first.version, second.version), (1, 2));
    assert_eq!(first.id, second.id);
    assert_eq!(latest(&world, "default").await, Some(second.clone()));
    let templates = world.store.templates();
    let pinned = templates.get_version(&first.version_id).await.expect("get");
    assert_eq!(pinned, Some(first));
    let unknown = templates
        .get_version(&TemplateVersionId::generate())
        .await
        .expect("get");
    assert_eq!(unknown, None);
    let page = templates
        .list(&world.project(), &all())
        .await
        .expect("list");
    assert_eq!(page.items, [second]);
}

pub(crate) async fn racing_setters_get_different_versions(world: World) {
    let mut racing = JoinSet::new();
    for n in 0..20 {
        let store = world.store.clone();
        racing.spawn(async move {
            let set = store
                .templates()
                .set(None, "raced", &spec(&format!("/{n}")), at(n))
                .await;
            set.expect("set").version
        });
    }
    let versions: BTreeSet<u32> = racing.join_all().await.into_iter().collect();
    assert_eq!(versions, (1..=20).collect());
}

pub(crate) async fn a_project_s_own_template_wins_over_a_shared_one(world: World) {
    let other = world.other_project().await;
    let shared = set(&world, None, "default", "/shared").await;
    let own = set(&world, Some(&world.project()), "default", "/own").await;
    set(&world, Some(&other.id), "theirs", "/theirs").await;
    assert_eq!(own.version, 1, "numbers count within a scope");
    assert_eq!(latest(&world, "default").await, Some(own));
    assert_eq!(latest(&world, "theirs").await, None);
    let deleted = world
        .store
        .templates()
        .delete(Some(&world.project()), "default", at(40))
        .await;
    deleted.expect("delete");
    assert_eq!(latest(&world, "default").await, Some(shared));
}

pub(crate) async fn a_deleted_template_still_resolves_by_version(world: World) {
    let templates = world.store.templates();
    let old = set(&world, None, "gone", "/old").await;
    templates
        .delete(None, "gone", at(40))
        .await
        .expect("delete");
    assert_eq!(latest(&world, "gone").await, None);
    let page = templates
        .list(&world.project(), &all())
        .await
        .expect("list");
    assert_eq!(page.items, []);
    let pinned = templates.get_version(&old.version_id).await.expect("get");
    assert_eq!(pinned.as_ref(), Some(&old));
    let again = templates.delete(None, "gone", at(41)).await;
    assert!(
        matches!(again, Err(StoreError::NotFound { .. })),
        "{again:?}"
    );
    let reborn = set(&world, None, "gone", "/new").await;
    assert_eq!(reborn.version, 1);
    assert_ne!(reborn.id, old.id);
}

pub(crate) async fn versions_are_found_by_number_and_name_or_id(world: World) {
    let first = set(&world, None, "default", "/a").await;
    let second = set(&world, None, "default", "/b").await;
    let (project, templates) = (world.project(), world.store.templates());
    for name in ["default", first.id.as_str()] {
        let found = templates
            .numbered(&project, name, 1)
            .await
            .expect("numbered");
        assert_eq!(found, Some(first.clone()));
        let found = templates.latest(&project, name).await.expect("latest");
        assert_eq!(found, Some(second.clone()));
        assert_eq!(
            templates
                .numbered(&project, name, 3)
                .await
                .expect("numbered"),
            None
        );
    }
    set(&world, Some(&project), "default", "/mine").await;
    let hidden = templates
        .numbered(&project, "default", 2)
        .await
        .expect("numbered");
    assert_eq!(
        hidden, None,
        "the project's own template hides the shared one"
    );
}

pub(crate) async fn versions_are_listed_newest_first_and_pinned_by_id(world: World) {
    let templates = world.store.templates();
    let mut set_so_far = Vec::new();
    for n in 0..5 {
        set_so_far.push(set(&world, None, "python:3.12", &format!("/{n}")).await);
    }
    set(&world, None, "other", "/x").await;
    let id = set_so_far[0].id.clone();
    let first = templates.versions(&id, &PageRequest::new(3, None)).await;
    let first = first.expect("a page");
    let second = PageRequest::new(3, first.next.clone());
    let second = templates.versions(&id, &second).await.expect("a page");
    assert_eq!(second.next, None);
    let walked: Vec<_> = first.items.into_iter().chain(second.items).collect();
    set_so_far.reverse();
    assert_eq!(walked, set_so_far);

    let other = world.other_project().await;
    let own = set(&world, Some(&other.id), "own", "/own").await;
    let pinned = |project: ProjectId, version: TemplateVersionId| async move {
        let pinned = templates.pinned(&project, &version).await;
        pinned.expect("pinned").is_some()
    };
    let old = set_so_far[4].version_id.clone();
    assert!(pinned(world.project(), old.clone()).await);
    assert!(pinned(other.id.clone(), own.version_id.clone()).await);
    assert!(!pinned(world.project(), own.version_id).await, "foreign");
    templates
        .delete(None, "python:3.12", at(40))
        .await
        .expect("delete");
    assert!(!pinned(world.project(), old).await, "deleted");
}
