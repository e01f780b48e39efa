//! Builds, their endings, and the images that their steps leave.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_model::build::{
    BuildCache, BuildFailure, BuildFault, BuildSpec, BuildState, BuildStep,
};
use pinfold_model::pipeline::StepRun;
use pinfold_model::{
    Build, BuildId, Image, ImageId, ImageSource, NetworkMode, NetworkPolicy, ProjectId, Resources,
    SandboxId, SecretEnv,
};
use pinfold_store::{
    BuildBounds, BuildFilter, Idempotency, Inserted, PageRequest, QuotaKind, Scope, StoreError,
};

use crate::world::{World, all, at, image};

const ANY: BuildBounds = BuildBounds {
    unended: u64::MAX,
    images: u64::MAX,
};

fn new_build(world: &World, name: &str) -> Build {
    let secrets = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
    Build {
        id: BuildId::generate(),
        org: world.home.org.id.clone(),
        project: world.project(),
        spec: BuildSpec {
            name: name.parse().expect("a name"),
            dockerfile: "FROM scratch\n".into(),
            context: None,
            target: None,
            args: BTreeMap::from([("A".into(), "1".into())]),
            secrets: SecretEnv::new(secrets),
            setup: vec!["true".into()],
            setup_secrets: Default::default(),
            setup_anew_from: None,
            setup_user: Some("u".into()),
            files: BTreeMap::new(),
            home: None,
            labels: BTreeMap::new(),
            cache: BuildCache::Ignore,
            resources: Resources::default(),
            network: NetworkMode::Open,
            network_policy: NetworkPolicy::default(),
            timeout: Duration::from_secs(9),
            key: None,
        },
        state: BuildState::Queued,
        steps: vec![BuildStep {
            stage: "0".into(),
            line: Some(1),
            text: "FROM scratch".into(),
            cached: false,
            run: StepRun::pending(),
        }],
        warnings: vec!["w".into()],
        sandboxes: Vec::new(),
        image: None,
        failure: None,
        cancel: false,
        created_at: at(1),
        started_at: None,
        ended_at: None,
    }
}

async fn recorded(world: &World, name: &str) -> Build {
    let build = new_build(world, name);
    let inserted = world.store.builds().insert(&build, None, ANY).await;
    assert!(matches!(inserted, Ok(Inserted::New(_))), "{inserted:?}");
    build
}

async fn found(world: &World, id: &BuildId) -> Build {
    let found = world.store.builds().get(id).await.expect("get");
    found.expect("there")
}

pub(crate) async fn a_build_comes_back_as_it_went_in_and_its_ending_stays(world: World) {
    let mut build = recorded(&world, "a:1").await;
    let read = found(&world, &build.id).await;
    assert!(read.spec.secrets.is_withheld(), "no value is recorded");
    build.spec.secrets = read.spec.secrets.clone();
    assert_eq!(read, build);
    build.state = BuildState::Building;
    build.sandboxes = vec![SandboxId::generate()];
    build.started_at = Some(at(2));
    assert!(!world.store.builds().save(&build).await.expect("save"));
    assert_eq!(
        world.store.builds().list_unfinished().await.expect("list"),
        [build.clone()]
    );
    build.state = BuildState::Failed;
    build.failure = Some(BuildFailure {
        step: Some(0),
        ..BuildFailure::new(BuildFault::Lost, "gone")
    });
    build.ended_at = Some(at(3));
    world.store.builds().save(&build).await.expect("save");
    let other = Build {
        state: BuildState::Complete,
        ..build.clone()
    };
    world.store.builds().save(&other).await.expect("save");
    assert_eq!(found(&world, &build.id).await, build);
    assert!(
        world
            .store
            .builds()
            .delete(&build.id)
            .await
            .expect("delete")
    );
    assert!(
        !world
            .store
            .builds()
            .delete(&build.id)
            .await
            .expect("delete")
    );
}

pub(crate) async fn a_cancel_and_a_save_of_a_build_do_not_undo_each_other(world: World) {
    let mut build = recorded(&world, "a:1").await;
    assert!(
        !world
            .store
            .builds()
            .delete(&build.id)
            .await
            .expect("delete"),
        "it has not ended"
    );
    world
        .store
        .builds()
        .request_cancel(&build.id)
        .await
        .expect("cancel");
    build.state = BuildState::Building;
    assert!(world.store.builds().save(&build).await.expect("save"));
    let read = found(&world, &build.id).await;
    assert_eq!((read.cancel, read.state), (true, BuildState::Building));
}

pub(crate) async fn builds_are_listed_by_scope_state_and_name(world: World) {
    let mut made = Vec::new();
    for name in ["a:1", "b:1", "a:2"] {
        made.push(recorded(&world, name).await.id);
    }
    made.sort();
    made.reverse();
    let mut failed = found(&world, &made[1]).await;
    failed.state = BuildState::Failed;
    failed.ended_at = Some(at(3));
    world.store.builds().save(&failed).await.expect("save");
    let own = Scope::Project(world.project());
    let org = Scope::Org(world.home.org.id.clone());
    let list = async |scope: &Scope, filter: &BuildFilter, page: &PageRequest| {
        let page = world
            .store
            .builds()
            .list(scope, filter, page)
            .await
            .expect("list");
        let ids: Vec<_> = page.items.into_iter().map(|build| build.id).collect();
        (ids, page.next)
    };
    for scope in [&own, &org] {
        let every = BuildFilter::default();
        let (first, next) = list(scope, &every, &PageRequest::new(2, None)).await;
        let (rest, end) = list(scope, &every, &PageRequest::new(2, next)).await;
        assert_eq!([first, rest].concat(), made);
        assert_eq!(end, None);
        let state = Some(BuildState::Failed);
        let (only, _) = list(scope, &BuildFilter { state, name: None }, &all()).await;
        assert_eq!(only, [made[1].clone()]);
        let name = Some("a".to_owned());
        let (named, _) = list(scope, &BuildFilter { state: None, name }, &all()).await;
        assert_eq!(named.len(), 2);
    }
    let elsewhere = Scope::Project(ProjectId::generate());
    assert!(
        list(&elsewhere, &BuildFilter::default(), &all())
            .await
            .0
            .is_empty()
    );
}

pub(crate) async fn a_key_makes_one_build(world: World) {
    let claim =
        |hash: u8| Idempotency::new(&world.project(), None, "build.create", "k", [hash; 32]);
    let builds = world.store.builds();
    let first = new_build(&world, "a:1");
    let made = builds
        .insert(&first, Some(&claim(1)), ANY)
        .await
        .expect("insert");
    assert!(matches!(made, Inserted::New(_)));
    let again = builds
        .insert(&new_build(&world, "a:1"), Some(&claim(1)), ANY)
        .await;
    assert!(matches!(again, Ok(Inserted::Replay(known)) if known.id == first.id));
    let other = builds
        .insert(&new_build(&world, "a:1"), Some(&claim(2)), ANY)
        .await;
    assert!(matches!(other, Err(StoreError::IdempotencyConflict)));
}

fn step_image(project: ProjectId) -> Image {
    let mut step = image(Some(project), &[]);
    step.source = ImageSource::Build {
        build: BuildId::generate(),
        base: None,
        on_host: false,
        disk: Some(step.id.clone()),
    };
    step
}

fn over_disk(disk: &ImageId, project: ProjectId, name: &str) -> Image {
    Image {
        source: ImageSource::Build {
            build: BuildId::generate(),
            base: None,
            on_host: false,
            disk: Some(disk.clone()),
        },
        ..image(Some(project), &[name])
    }
}

pub(crate) async fn a_build_completes_with_its_image_or_not_at_all(world: World) {
    let (images, builds) = (world.store.images(), world.store.builds());
    let mut build = recorded(&world, "done:1").await;
    let step = step_image(world.project());
    let made = over_disk(&step.id, world.project(), "done:1");
    build.state = BuildState::Complete;
    build.image = Some(made.id.clone());
    build.ended_at = Some(at(5));
    let missing = builds.complete(&build, &made).await;
    assert!(missing.is_err(), "the copy of a disk is no image's");
    assert_eq!(found(&world, &build.id).await.state, BuildState::Queued);
    assert_eq!(images.get(&made.id).await.expect("get"), None);
    images.insert_step(&step, "key").await.expect("insert");
    builds.complete(&build, &made).await.expect("complete");
    assert_eq!(found(&world, &build.id).await.image, Some(made.id.clone()));
    let twice = builds
        .complete(&build, &over_disk(&step.id, world.project(), "x"))
        .await;
    assert!(twice.is_err(), "it has ended");
    images.delete(&step.id, at(6)).await.expect("delete");
    assert!(images.disk_is_used(&step.id).await.expect("look"));
    images.delete(&made.id, at(6)).await.expect("delete");
    assert!(!images.disk_is_used(&step.id).await.expect("look"));
}

pub(crate) async fn steps_are_found_by_what_they_were_made_from_and_listed_nowhere(world: World) {
    let images = world.store.images();
    let (old, mut new) = (step_image(world.project()), step_image(world.project()));
    new.created_at = at(9);
    images.insert_step(&old, "k").await.expect("insert");
    images.insert_step(&new, "k").await.expect("insert");
    let find = async |project: &ProjectId, key: &str| {
        let found = images.find_step(project, key).await.expect("find");
        found.map(|image| image.id)
    };
    assert_eq!(find(&world.project(), "k").await, Some(new.id.clone()));
    assert_eq!(find(&world.project(), "other").await, None);
    assert_eq!(find(&ProjectId::generate(), "k").await, None);
    let listed = images.list(&world.project(), &all()).await.expect("list");
    assert!(
        listed
            .items
            .iter()
            .all(|image| image.id != old.id && image.id != new.id)
    );
    assert!(images.step_used(&old.id, at(20)).await.expect("used"));
    let steps = images.list_steps().await.expect("list");
    let order: Vec<_> = steps
        .iter()
        .map(|step| (step.id.clone(), step.used_at))
        .collect();
    assert_eq!(order, [(old.id.clone(), at(20)), (new.id.clone(), at(9))]);
    images.delete(&new.id, at(21)).await.expect("delete");
    assert!(
        !images.step_used(&new.id, at(22)).await.expect("used"),
        "it is gone"
    );
    assert_eq!(find(&world.project(), "k").await, Some(old.id));
}

pub(crate) async fn a_step_is_retired_only_where_nothing_has_used_it_since(world: World) {
    let images = world.store.images();
    let step = step_image(world.project());
    images.insert_step(&step, "k").await.expect("insert");
    let listed = async || {
        let steps = images.list_steps().await.expect("list");
        steps.into_iter().find(|found| found.id == step.id)
    };
    let before = listed().await.expect("there");
    images
        .step_passed(&world.project(), "k", at(20))
        .await
        .expect("passed");
    images
        .step_passed(&ProjectId::generate(), "k", at(30))
        .await
        .expect("another project's");
    assert!(!images.retire_step(&before, at(31)).await.expect("retire"));
    let now = listed().await.expect("there");
    assert_eq!(now.used_at, at(20));
    assert!(images.retire_step(&now, at(31)).await.expect("retire"));
    assert_eq!(listed().await, None);
    assert!(!images.retire_step(&now, at(32)).await.expect("retire"));
}

pub(crate) async fn a_project_has_so_many_builds_on_their_way_and_images_of_them(world: World) {
    let (builds, images) = (world.store.builds(), world.store.images());
    let insert = async |unended, images| {
        let bounds = BuildBounds { unended, images };
        builds.insert(&new_build(&world, "a:1"), None, bounds).await
    };
    let over = |done: Result<Inserted<Build>, StoreError>| match done {
        Err(StoreError::QuotaExceeded {
            quota, limit, used, ..
        }) => (quota, limit, used),
        other => panic!("{other:?}"),
    };
    let claim = Idempotency::new(&world.project(), None, "build.create", "k", [1; 32]);
    let only = BuildBounds {
        unended: 1,
        images: 1,
    };
    let first = new_build(&world, "a:1");
    builds
        .insert(&first, Some(&claim), only)
        .await
        .expect("the first");
    assert_eq!(over(insert(1, 9).await), (QuotaKind::UnendedBuilds, 1, 1));
    assert_eq!(over(insert(9, 1).await), (QuotaKind::BuiltImages, 1, 1));
    let again = builds.insert(&first, Some(&claim), only).await;
    assert!(matches!(again, Ok(Inserted::Replay(_))), "{again:?}");

    // What it leaves counts on, in its place; its steps do not.
    let step = step_image(world.project());
    images.insert_step(&step, "key").await.expect("insert");
    let made = over_disk(&step.id, world.project(), "a:1");
    let ended = Build {
        state: BuildState::Complete,
        image: Some(made.id.clone()),
        ended_at: Some(at(5)),
        ..found(&world, &first.id).await
    };
    builds.complete(&ended, &made).await.expect("complete");
    assert_eq!(over(insert(1, 1).await), (QuotaKind::BuiltImages, 1, 1));
    images.delete(&made.id, at(6)).await.expect("delete");
    insert(1, 1).await.expect("there is room again");
}

pub(crate) async fn ended_builds_are_purged_when_what_they_made_is_gone(world: World) {
    let (builds, images) = (world.store.builds(), world.store.images());
    let step = step_image(world.project());
    images.insert_step(&step, "key").await.expect("insert");
    let mut made = Vec::new();
    for _ in 0..2 {
        let image = over_disk(&step.id, world.project(), "a:1");
        let build = Build {
            state: BuildState::Complete,
            image: Some(image.id.clone()),
            ended_at: Some(at(5)),
            ..recorded(&world, "a:1").await
        };
        builds.complete(&build, &image).await.expect("complete");
        made.push((build.id, image.id));
    }
    let failed = Build {
        state: BuildState::Failed,
        ended_at: Some(at(5)),
        ..recorded(&world, "a:1").await
    };
    builds.save(&failed).await.expect("save");
    let on_its_way = recorded(&world, "a:1").await;
    images.delete(&made[1].1, at(6)).await.expect("delete");
    assert_eq!(builds.purge(at(5)).await.expect("purge"), 0);
    assert_eq!(builds.purge(at(6)).await.expect("purge"), 2);
    for (id, there) in [
        (&made[0].0, true),
        (&made[1].0, false),
        (&failed.id, false),
        (&on_its_way.id, true),
    ] {
        assert_eq!(builds.get(id).await.expect("get").is_some(), there);
    }
}
