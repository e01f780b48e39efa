//! What earlier builds did, for as long as it is kept.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{CreateBuild, EngineConfig};
use pinfold_model::build::BuildCache;
use pinfold_model::{Build, Code, Object};

use super::super::clock::ManualClock;
use super::super::place::{Life, Place};
use super::{build_of, built, context, says};

#[test]
fn what_changed_is_done_again_and_what_did_not_is_taken() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let dockerfile = "FROM host\nRUN date +%N > /first\nCOPY a /a\nRUN cat /a > /second\n";
        let one = context(&life, &[("a", "1"), ("unused", "x")]).await;
        let with = |context: &Object| CreateBuild {
            context: Some(context.id.clone()),
            ..build_of(dockerfile)
        };
        built(&life, with(&one)).await;
        let first = says(&life, "made:1", "cat /first").await;
        let cached = |build: &Build| {
            build.steps[1..]
                .iter()
                .map(|step| step.cached)
                .collect::<Vec<_>>()
        };
        let other = context(&life, &[("a", "1"), ("unused", "changed")]).await;
        assert_eq!(
            cached(&built(&life, with(&other)).await),
            [true, true, true]
        );
        let two = context(&life, &[("a", "2")]).await;
        assert_eq!(
            cached(&built(&life, with(&two)).await),
            [true, false, false]
        );
        assert_eq!(
            says(&life, "made:1", "cat /first /second").await,
            format!("{first}2")
        );
        let anew = CreateBuild {
            cache: BuildCache::Ignore,
            ..with(&two)
        };
        assert_eq!(cached(&built(&life, anew).await), [false, false, false]);
        assert_ne!(says(&life, "made:1", "cat /first").await, first);
    });
    life.clean_up(&place);
}

/// Waits until so many copies of disks are kept. The clock goes on meanwhile: a reconciler that was at
/// work when it was moved has its next turn only then.
async fn kept(life: &Life, clock: &ManualClock, wanted: usize) {
    while life.driver.snapshots().await.expect("list").len() != wanted {
        tokio::time::sleep(Duration::from_millis(300)).await;
        clock.forward(EngineConfig::default().reconcile_every);
    }
}

#[test]
fn steps_that_nothing_used_for_long_go_and_so_do_builds_whose_image_is_gone() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let place = Place::with_kept_disks();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        let two_steps = "FROM host\nRUN echo one > /one\nRUN echo two > /two\n";
        let unused = CreateBuild {
            name: "unused:1".parse().expect("a name"),
            ..build_of("FROM host\nRUN echo unused > /unused\n")
        };
        let unused = built(&life, unused).await;
        let removed = life.engine.remove_image(&life.ctx, "unused:1").await;
        removed.expect("removed");
        let first = built(&life, build_of(two_steps)).await;
        kept(&life, &clock, 3).await;

        clock.forward(10 * DAY);
        built(&life, build_of(two_steps)).await;
        clock.forward(10 * DAY);
        // The step that was of no use for longest is looked at last.
        kept(&life, &clock, 2).await;
        let gone = life.engine.get_build(&life.ctx, &unused.id).await;
        assert_eq!(gone.expect_err("purged").code(), Code::BuildNotFound);
        let there = life.engine.get_build(&life.ctx, &first.id).await;
        assert_eq!(there.expect("its image is there").id, first.id);
        // Also the step that only stood before the one that was taken was of use ten days ago.
        let other = two_steps.replace("echo two", "echo other");
        let other = built(&life, build_of(&other)).await;
        assert!(other.steps[1].cached && !other.steps[2].cached);

        clock.forward(15 * DAY);
        // What images begin with stays: of two builds of the first kind, and of the other.
        kept(&life, &clock, 2).await;
        let anew = built(&life, build_of(two_steps)).await;
        assert!(!anew.steps[1].cached);
    });
    life.clean_up(&place);
}
