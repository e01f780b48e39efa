//! Sandboxes that are booted before anybody asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{
    CreateSandbox, Drain, EngineConfig, ImageOrTemplate, QuotaChange, SystemClock,
};
use pinfold_model::{Code, SandboxId, SandboxState};

use super::clock::ManualClock;
use super::images::{import, tar_of_a_root};
use super::place::{DEADLINE, Life, Place, small};

fn warm(place: &Place, count: usize) -> Life {
    let config = EngineConfig {
        warm_sandboxes: count,
        ..EngineConfig::default()
    };
    place.live_with(config, Arc::new(SystemClock))
}

impl Life {
    /// Those that run on this machine and belong to nobody.
    async fn spare(&self) -> BTreeSet<SandboxId> {
        let owned: BTreeSet<_> = self.listed().await.into_iter().map(|one| one.id).collect();
        let found = self.driver.survey().await.expect("survey");
        let alive = found.into_iter().filter(|one| one.alive).map(|one| one.id);
        alive.filter(|id| !owned.contains(id)).collect()
    }

    async fn until_spare(&self, count: usize) -> BTreeSet<SandboxId> {
        let look = async {
            loop {
                let spare = self.spare().await;
                if spare.len() == count {
                    return spare;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, look).await;
        found.unwrap_or_else(|_| panic!("never {count} of them"))
    }
}

#[test]
fn what_was_asked_for_is_ready_the_next_time_and_used_once() {
    let place = Place::new();
    let life = warm(&place, 2);
    life.run(async {
        assert!(life.spare().await.is_empty(), "nobody has asked yet");
        let cold = life.sandbox().await;
        let mut seen = BTreeSet::from([cold.clone()]);
        for _ in 0..3 {
            let ready = life.until_spare(2).await;
            let sandbox = life.create(small()).await;
            assert!(ready.contains(&sandbox.id), "it was warm");
            assert!(seen.insert(sandbox.id.clone()), "and nobody's before");
            let told = life
                .sh(&sandbox.id, "hostname; ls /tmp; touch /tmp/mine")
                .await;
            let hostname = &sandbox.spec.hostname;
            assert_eq!(told.stdout, format!("{hostname}\n").into_bytes());
            assert!(hostname.ends_with(&sandbox.id.as_str()[24..]), "{hostname}");
        }
        assert_eq!(life.state(&cold).await.state, SandboxState::Running);
    });
    life.clean_up(&place);
}

#[test]
fn what_differs_in_anything_is_not_taken() {
    let place = Place::new();
    let life = warm(&place, 8);
    life.run(async {
        life.sandbox().await;
        let others = [
            CreateSandbox {
                memory_mib: Some(300),
                ..small()
            },
            CreateSandbox {
                workdir: Some("/elsewhere".to_owned()),
                ..small()
            },
            CreateSandbox {
                hostname: Some("named".to_owned()),
                ..small()
            },
        ];
        for (number, other) in others.into_iter().enumerate() {
            // A name is no shape of its own.
            let shapes = [1, 2, 3][number];
            let ready = life.until_spare((8 / shapes) * shapes).await;
            let sandbox = life.create(other).await;
            assert!(!ready.contains(&sandbox.id), "{number}");
        }
        let ready = life.until_spare(6).await;
        assert!(ready.contains(&life.create(small()).await.id));
    });
    life.clean_up(&place);
}

#[test]
fn shapes_share_the_limit_and_the_oldest_makes_room() {
    let place = Place::new();
    let life = warm(&place, 2);
    let of = |memory: u32| CreateSandbox {
        memory_mib: Some(memory),
        ..small()
    };
    life.run(async {
        for memory in [200, 201, 202] {
            life.create(of(memory)).await;
        }
        let ready = life.until_spare(2).await;
        // Time enough for a third, if there were to be one.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(life.spare().await, ready);
        assert!(ready.contains(&life.create(of(202)).await.id));
        assert!(ready.contains(&life.create(of(201)).await.id));
        assert!(
            !life
                .until_spare(2)
                .await
                .contains(&life.create(of(200)).await.id)
        );
    });
    life.clean_up(&place);
}

#[test]
fn what_nobody_asks_for_any_more_is_given_up() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let config = EngineConfig {
        warm_sandboxes: 1,
        ..EngineConfig::default()
    };
    let life = place.live_with(config, Arc::clone(&clock) as _);
    life.run(async {
        life.sandbox().await;
        life.until_spare(1).await;
        clock.forward(Duration::from_secs(601));
        life.until_spare(0).await;
    });
    life.clean_up(&place);
}

#[test]
fn one_that_died_is_not_handed_out() {
    let place = Place::new();
    let life = warm(&place, 1);
    life.run(async {
        life.sandbox().await;
        let ready = life.until_spare(1).await;
        let dead = ready.first().expect("one").clone();
        let guest = life.driver.attach(&dead).await.expect("attach");
        let guest = guest.expect("alive");
        let pid = guest.pid().expect("pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
        // The pool's own link breaks at the same time, and is told of that by another task.
        guest.closed().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sandbox = life.sandbox().await;
        assert_ne!(sandbox, dead);
        assert_eq!(life.sh(&sandbox, "echo here").await.stdout, b"here\n");
    });
    life.clean_up(&place);
}

#[test]
fn reconcilers_leave_them_alone_and_the_next_engine_does_not() {
    let place = Place::new();
    let config = EngineConfig {
        warm_sandboxes: 2,
        reconcile_every: Duration::from_millis(50),
        ..EngineConfig::default()
    };
    let life = place.live_with(config, Arc::new(SystemClock));
    let (owned, ready) = life.run(async {
        life.sandbox().await;
        let before = life.until_spare(2).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(life.spare().await, before, "they stand");
        let taken = life.create(small()).await.id;
        assert!(before.contains(&taken));
        (taken, life.until_spare(2).await)
    });
    life.crash();

    let life = place.live();
    life.run(async {
        life.until(&owned, SandboxState::Running).await;
        assert_eq!(life.sh(&owned, "echo on").await.stdout, b"on\n");
        life.until_spare(0).await;
        assert_eq!(ready.len(), 2);
    });
    life.clean_up(&place);
}

#[test]
fn they_end_with_the_engine_and_owned_ones_live_on() {
    let place = Place::new();
    let life = warm(&place, 2);
    let (first, second) = life.run(async {
        let first = life.sandbox().await;
        life.until_spare(2).await;
        let second = life.sandbox().await;
        life.until_spare(2).await;
        (first, second)
    });
    life.shut_down(Drain::KeepSandboxes);

    let life = place.live();
    life.run(async {
        assert!(life.spare().await.is_empty(), "none is left to clear");
        for id in [&first, &second] {
            life.until(id, SandboxState::Running).await;
        }
    });
    life.clean_up(&place);
}

#[test]
fn a_fork_of_a_warm_one_and_a_repeated_create_are_what_they_always_were() {
    let place = Place::with_kept_disks();
    let life = warm(&place, 1);
    life.run(async {
        life.sandbox().await;
        life.until_spare(1).await;
        let create = || async {
            let made = life
                .engine
                .create_sandbox(&life.ctx, small(), Some("once"))
                .await;
            made.expect("create").value.id
        };
        let original = create().await;
        life.until_spare(1).await;
        assert_eq!(create().await, original);
        life.sh(&original, "echo kept > /root/file").await;
        let fork = CreateSandbox {
            from: ImageOrTemplate::Sandbox(original),
            ..small()
        };
        let fork = life.create(fork).await.id;
        assert_eq!(life.sh(&fork, "cat /root/file").await.stdout, b"kept\n");
    });
    life.clean_up(&place);
}

#[test]
fn who_is_refused_takes_nothing_and_keeps_nothing_warm() {
    let place = Place::new();
    let life = warm(&place, 2);
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let create = || engine.create_sandbox(ctx, small(), Some("once"));
        let first = create().await.expect("create").value;
        let ready = life.until_spare(2).await;
        assert_eq!(create().await.expect("replay").value.id, first.id);
        let full = QuotaChange {
            live_sandboxes: Some(Some(1)),
            ..QuotaChange::default()
        };
        let project = &ctx.principal.project;
        engine
            .change_quota(ctx, project, full)
            .await
            .expect("quota");
        for memory in [256, 300, 301] {
            let request = CreateSandbox {
                memory_mib: Some(memory),
                ..small()
            };
            let refused = engine.create_sandbox(ctx, request, None).await;
            assert_eq!(refused.expect_err("full").code(), Code::QuotaExceeded);
        }
        // Time enough for others, if there were to be any.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(life.spare().await, ready);
    });
    life.clean_up(&place);
}

#[test]
fn an_image_that_comes_back_is_another_one() {
    let place = Place::new();
    let life = warm(&place, 1);
    let of = |image: &pinfold_model::Image| CreateSandbox {
        from: ImageOrTemplate::Image(image.id.to_string()),
        ..small()
    };
    life.run(async {
        let tar = tar_of_a_root(&place);
        let image = import(&life, "a:1", &tar).await.expect("imported");
        let first = life.create(of(&image)).await.id;
        let ready = life.until_spare(1).await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        engine.destroy_sandbox(ctx, &first).await.expect("gone");
        engine.remove_image(ctx, "a:1").await.expect("removed");
        let again = import(&life, "a:1", &tar).await.expect("imported");
        assert_eq!(again.layers, image.layers);
        assert!(!ready.contains(&life.create(of(&again)).await.id));
    });
    life.clean_up(&place);
}
