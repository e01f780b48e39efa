//! Steps, their secrets and their logs.

use std::collections::BTreeMap;

use pinfold_engine::{BuildEvent, CreateBuild};
use pinfold_model::build::BuildFault;
use pinfold_model::pipeline::StepState;
use pinfold_model::{Code, SecretEnv};

use super::super::place::Place;
use super::{build_of, built, failed, log, says};

#[test]
fn a_step_that_fails_fails_the_build_with_its_log() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let dockerfile = "FROM host\nRUN echo fine\nRUN echo broken >&2; exit 3\nRUN echo never\n";
        let build = failed(&life, build_of(dockerfile)).await;
        let failure = build.failure.as_ref().expect("why");
        assert_eq!(
            (failure.fault, failure.step),
            (BuildFault::StepFailed, Some(2))
        );
        assert!(
            failure.message.contains("exited with code 3"),
            "{}",
            failure.message
        );
        let states: Vec<_> = build.steps.iter().map(|step| step.run.state).collect();
        use StepState::{Failed, Passed, Skipped};
        assert_eq!(states, [Passed, Passed, Failed, Skipped]);
        assert_eq!(log(&life, &build.id).await, "fine\nbroken\n");
        let image = life.engine.get_image(&life.ctx, "made:1").await;
        assert_eq!(image.expect_err("none").code(), Code::ImageNotFound);
        // What went well is taken by the next one.
        let mended = dockerfile.replace("exit 3", "exit 0");
        assert!(built(&life, build_of(&mended)).await.steps[1].cached);

        for (dockerfile, fault, word) in [
            ("FROM absent:9\n", BuildFault::BaseImage, "absent"),
            (
                "FROM --platform=linux/s390x host\n",
                BuildFault::Dockerfile,
                "s390x",
            ),
            ("FROM host\nCOPY a /\n", BuildFault::Context, "no context"),
            (
                "FROM host\nCOPY --from=host /no/such /x\n",
                BuildFault::StepFailed,
                "no/such",
            ),
            (
                "FROM host\nCOPY --chown=nosuch <<E /x\nE\n",
                BuildFault::StepFailed,
                "nosuch",
            ),
            (
                "FROM host\nUSER nosuch\nRUN true\n",
                BuildFault::StepFailed,
                "",
            ),
            (
                "FROM host\nRUN head -c 200M /dev/zero > /big\n",
                BuildFault::StepFailed,
                "exited",
            ),
        ] {
            let build = failed(&life, build_of(dockerfile)).await;
            let failure = build.failure.expect("why");
            assert_eq!(failure.fault, fault, "{dockerfile}: {failure:?}");
            assert!(failure.message.contains(word), "{failure:?}");
        }
    });
    life.clean_up(&place);
}

#[test]
fn secrets_are_in_the_environment_and_nowhere_else() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let secrets =
            |value: &str| SecretEnv::new(BTreeMap::from([("TOKEN".to_owned(), value.to_owned())]));
        let dockerfile = "FROM host\nRUN test \"${#TOKEN}\" = 7 && env | grep -c TOKEN > /seen\n";
        let request = CreateBuild {
            secrets: secrets("hunter2"),
            ..build_of(dockerfile)
        };
        assert!(!format!("{request:?}").contains("hunter2"));
        let build = built(&life, request).await;
        assert!(!format!("{build:?}").contains("hunter2"));
        assert_eq!(
            says(&life, "made:1", "cat /seen; echo ${TOKEN:-none}").await,
            "1\nnone\n"
        );
        // Another value makes no other image.
        let other = CreateBuild {
            secrets: secrets("other"),
            ..build_of(dockerfile)
        };
        assert!(built(&life, other).await.steps[1].cached);
        let database = std::fs::read(place.path().join("pinfold.db")).expect("database");
        let wal = std::fs::read(place.path().join("pinfold.db-wal")).unwrap_or_default();
        for bytes in [database, wal] {
            assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
        }
    });
    life.clean_up(&place);
}

#[test]
fn a_log_is_taken_up_behind_any_event() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let dockerfile =
            "FROM host\nRUN echo one; sleep 0.1; echo two\nCOPY <<E /x\nE\nRUN echo three\n";
        let build = built(&life, build_of(dockerfile)).await;
        let events = async |after| {
            let mut reader = life
                .engine
                .follow_build(&life.ctx, &build.id, after)
                .await
                .expect("log");
            let mut events = Vec::new();
            while let Some(event) = reader.next().await.expect("event") {
                events.push(event);
            }
            events
        };
        let all = events(0).await;
        assert!(matches!(all.last(), Some((_, BuildEvent::Ended(ended))) if **ended == build));
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (at, (seq, _)) in all.iter().enumerate().take(all.len() - 1) {
            assert_eq!(events(*seq).await, all[at + 1..]);
        }
    });
    life.clean_up(&place);
}
