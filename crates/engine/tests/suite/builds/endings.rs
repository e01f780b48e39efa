//! Builds that are cancelled, killed, queued and forgotten.

use std::collections::BTreeMap;

use pinfold_engine::{BuildFilter, CreateBuild, Origin, PageRequest};
use pinfold_model::build::{BuildFault, BuildState};
use pinfold_model::{BuildId, Code, Ctx, SandboxState, SecretEnv};

use super::super::access::stranger;
use super::super::place::{Life, Place};
use super::{begun, build_of, built, create, ended, log};

#[test]
fn builds_are_cancelled_listed_deleted_and_of_one_project() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let endless = build_of("FROM host\nRUN echo begun; sleep 1000\n");
        let first = engine
            .create_build(ctx, endless.clone(), Some("k"))
            .await
            .expect("accepted");
        let again = engine
            .create_build(ctx, endless, Some("k"))
            .await
            .expect("accepted");
        assert_eq!(
            (again.origin, &again.value.id),
            (Origin::Replay, &first.value.id)
        );
        let id = &first.value.id;
        begun(&life, id).await;
        let unfinished = engine.delete_build(ctx, id).await.expect_err("it runs");
        assert_eq!(unfinished.code(), Code::InUse);
        engine.cancel_build(ctx, id).await.expect("cancelled");
        let build = ended(&life, id).await;
        assert_eq!(
            build.failure.map(|failure| failure.fault),
            Some(BuildFault::Cancelled)
        );
        assert!(build.cancel && build.sandboxes.is_empty());
        let all = engine
            .list_builds(ctx, &BuildFilter::default(), &PageRequest::default())
            .await;
        assert_eq!(all.expect("list").items.len(), 1);

        let other: Ctx = stranger(&life).await;
        let unseen = engine
            .get_build(&other, id)
            .await
            .expect_err("another project's");
        assert_eq!(unseen.code(), Code::BuildNotFound);
        let unseen = engine
            .cancel_build(&other, id)
            .await
            .expect_err("another project's");
        assert_eq!(unseen.code(), Code::BuildNotFound);
        engine.delete_build(ctx, id).await.expect("deleted");
        let gone = engine.get_build(ctx, id).await.expect_err("gone");
        assert_eq!(gone.code(), Code::BuildNotFound);

        for (bad, field) in [
            (build_of("FROM host\nNOPE\n"), "dockerfile"),
            (build_of(&"# x\n".repeat(3 << 20)), "dockerfile"),
            (
                CreateBuild {
                    target: Some("none".into()),
                    ..build_of("FROM host\n")
                },
                "dockerfile",
            ),
            (
                CreateBuild {
                    setup: vec![String::new()],
                    ..build_of("FROM host\n")
                },
                "setup",
            ),
        ] {
            let error = create(&life, bad).await.expect_err(field);
            assert_eq!(error.details()["field"], field);
        }
        let hidden = CreateBuild::new("host".parse().expect("a name"), "FROM host\n");
        assert_eq!(
            create(&life, hidden).await.expect_err("taken").code(),
            Code::AlreadyExists
        );
    });
    life.clean_up(&place);
}

#[test]
fn a_killed_engine_leaves_nothing_half_made() {
    let place = Place::with_kept_disks();
    let life = place.live();
    let dockerfile = "FROM host\nRUN echo kept > /kept\nRUN echo begun; sleep 1000\n";
    let id = life.run(async {
        let id = create(&life, build_of(dockerfile))
            .await
            .expect("accepted")
            .id;
        begun(&life, &id).await;
        id
    });
    life.crash();

    let life = place.live();
    life.run(async {
        let build = ended(&life, &id).await;
        assert_eq!(
            build.failure.map(|failure| failure.fault),
            Some(BuildFault::Lost)
        );
        assert_eq!(log(&life, &id).await, "begun\n");
        let image = life.engine.get_image(&life.ctx, "made:1").await;
        assert_eq!(image.expect_err("none").code(), Code::ImageNotFound);
        life.driver.settle().await;
        let left = life.driver.survey().await.expect("survey");
        assert!(left.is_empty(), "{left:?}");
        // What was done by then is taken.
        let mended = dockerfile.replace("sleep 1000", "true");
        let build = built(&life, build_of(&mended)).await;
        assert!(build.steps[1].cached && !build.steps[2].cached);
    });
    life.clean_up(&place);
}

#[test]
fn a_build_that_is_cancelled_while_its_sandbox_is_made_leaves_none() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        for _ in 0..5 {
            let endless = build_of("FROM host\nRUN sleep 1000\n");
            let id = create(&life, endless).await.expect("accepted").id;
            while let build = life.engine.get_build(&life.ctx, &id).await.expect("there")
                && build.sandboxes.is_empty()
            {
                tokio::task::yield_now().await;
            }
            let cancelled = life.engine.cancel_build(&life.ctx, &id).await;
            cancelled.expect("cancelled");
            ended(&life, &id).await;
            let made = life.listed().await;
            assert!(
                made.iter().all(|it| it.state == SandboxState::Destroyed),
                "{made:?}"
            );
        }
    });
    life.clean_up(&place);
}

#[test]
fn a_build_that_was_queued_begins_with_the_next_engine() {
    let place = Place::with_kept_disks();
    let life = place.live();
    let named = |name: &str, dockerfile: &str| CreateBuild {
        name: name.parse().expect("a name"),
        ..build_of(dockerfile)
    };
    let fault = async |life: &Life, id: &BuildId| {
        let build = ended(life, id).await;
        build.failure.map(|failure| failure.fault)
    };
    let (working, queued, cancelled, secret) = life.run(async {
        let mut working = Vec::new();
        // As many as work for one project at a time.
        for at in 0..4 {
            let endless = named(
                &format!("w{at}:1"),
                "FROM host\nRUN echo begun; sleep 1000\n",
            );
            working.push(create(&life, endless).await.expect("accepted").id);
        }
        for id in &working {
            begun(&life, id).await;
        }
        let quick = "FROM host\nRUN echo done > /done\n";
        let queue = async |request| create(&life, request).await.expect("accepted").id;
        let queued = queue(named("q:1", quick)).await;
        let cancelled = queue(named("c:1", quick)).await;
        let secret = queue(CreateBuild {
            secrets: SecretEnv::new(BTreeMap::from([("TOKEN".to_owned(), "t".to_owned())])),
            ..named("s:1", quick)
        });
        let secret = secret.await;
        for id in [&queued, &cancelled, &secret] {
            let build = life.engine.get_build(&life.ctx, id).await.expect("there");
            assert_eq!(build.state, BuildState::Queued);
        }
        // Recorded, and not seen by an owner that is gone at the next moment.
        let store = life.engine.cancel_build(&life.ctx, &cancelled).await;
        store.expect("cancelled");
        (working, queued, cancelled, secret)
    });
    life.crash();

    let life = place.live();
    life.run(async {
        for id in &working {
            assert_eq!(fault(&life, id).await, Some(BuildFault::Lost));
        }
        assert_eq!(fault(&life, &secret).await, Some(BuildFault::Lost));
        assert_eq!(fault(&life, &cancelled).await, Some(BuildFault::Cancelled));
        let build = ended(&life, &queued).await;
        assert_eq!(build.state, BuildState::Complete, "{:?}", build.failure);
        let image = life.engine.get_image(&life.ctx, "q:1").await;
        assert_eq!(Some(image.expect("there").id), build.image);
    });
    life.clean_up(&place);
}
