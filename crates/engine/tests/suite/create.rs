//! Creating and destroying sandboxes.

use std::sync::Arc;

use pinfold_engine::{CreateSandbox, ImageOrTemplate, Origin, QuotaChange, Share, Wait};
use pinfold_model::sandbox::{EndReason, HostMount, MountAccess};
use pinfold_model::{Code, CommandState, ExitStatus, SandboxState};
use tokio::task::JoinSet;

use super::place::{Place, small};

#[test]
fn a_sandbox_runs_a_command_and_leaves_nothing_when_destroyed() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.create(small()).await;
        assert_eq!(sandbox.state, SandboxState::Running);
        let output = life
            .sh(&sandbox.id, "echo out; echo err >&2; pwd; exit 3")
            .await;
        assert_eq!(
            output.command.state,
            CommandState::Exited(ExitStatus::Code(3))
        );
        assert_eq!(output.stdout, b"out\n/workspace\n");
        assert_eq!(output.stderr, b"err\n");
        let destroyed = life
            .engine
            .destroy_sandbox(&life.ctx, &sandbox.id)
            .await
            .expect("destroy");
        assert_eq!(destroyed.state, SandboxState::Destroyed);
        assert_eq!(destroyed.reason, Some(EndReason::Requested));
        let again = life
            .engine
            .destroy_sandbox(&life.ctx, &sandbox.id)
            .await
            .expect("again");
        assert_eq!(again.ended_at, destroyed.ended_at);
        let gone = life.try_sh(&sandbox.id, "true").await.expect_err("gone");
        assert_eq!(gone.code(), Code::SandboxGone);
        life.driver.settle().await;
        place.assert_no_sandbox_is_left();
    });
    life.clean_up(&place);
}

#[test]
fn a_hundred_equal_creates_make_one_sandbox() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let mut creates = JoinSet::new();
        for _ in 0..100 {
            let (engine, ctx) = (life.engine.clone(), life.ctx.clone());
            creates.spawn(async move { engine.create_sandbox(&ctx, small(), Some("k")).await });
        }
        let created: Vec<_> = creates
            .join_all()
            .await
            .into_iter()
            .map(|one| one.expect("create"))
            .collect();
        let new = created
            .iter()
            .filter(|one| one.origin == Origin::New)
            .count();
        assert_eq!(new, 1);
        assert!(
            created
                .iter()
                .all(|one| one.value.id == created[0].value.id)
        );
        assert!(
            created
                .iter()
                .all(|one| one.value.state == SandboxState::Running)
        );
        let other = CreateSandbox {
            name: Some("another".into()),
            ..small()
        };
        let conflict = life
            .engine
            .create_sandbox(&life.ctx, other, Some("k"))
            .await;
        assert_eq!(
            conflict.expect_err("conflict").code(),
            Code::IdempotencyConflict
        );
        assert_eq!(life.listed().await.len(), 1);
    });
    life.clean_up(&place);
}

#[test]
fn a_repeated_create_is_the_same_sandbox_also_when_its_template_is_gone() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let base = engine.get_template(ctx, "base", None).await;
        let spec = base.expect("shipped").spec;
        let set = engine.set_template(ctx, "passing", spec, Share::Project);
        set.await.expect("set");
        let request = || CreateSandbox {
            from: ImageOrTemplate::Named("passing".into()),
            ..small()
        };
        let first = engine.create_sandbox(ctx, request(), Some("k")).await;
        let first = first.expect("made").value;
        engine
            .remove_template(ctx, "passing")
            .await
            .expect("removed");
        let again = engine.create_sandbox(ctx, request(), Some("k")).await;
        let again = again.expect("replayed");
        assert_eq!((again.origin, again.value.id), (Origin::Replay, first.id));
        let fresh = engine.create_sandbox(ctx, request(), Some("other")).await;
        assert_eq!(fresh.expect_err("gone").code(), Code::ImageNotFound);
        let another = CreateSandbox {
            name: Some("another".into()),
            ..request()
        };
        let conflict = engine.create_sandbox(ctx, another, Some("k")).await;
        let conflict = conflict.expect_err("another request");
        assert_eq!(conflict.code(), Code::IdempotencyConflict);
    });
    life.clean_up(&place);
}

#[test]
fn a_quota_bounds_live_sandboxes_and_is_freed_by_destroying() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let change = QuotaChange {
            live_sandboxes: Some(Some(2)),
            ..QuotaChange::default()
        };
        let project = &life.ctx.principal.project;
        life.engine
            .change_quota(&life.ctx, project, change)
            .await
            .expect("quota");
        let first = life.sandbox().await;
        life.sandbox().await;
        let third = life.engine.create_sandbox(&life.ctx, small(), None).await;
        assert_eq!(third.expect_err("over quota").code(), Code::QuotaExceeded);
        life.engine
            .destroy_sandbox(&life.ctx, &first)
            .await
            .expect("destroy");
        life.sandbox().await;
    });
    life.clean_up(&place);
}

#[test]
fn bad_requests_are_named_and_leave_nothing_behind() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let cases = [
            (
                CreateSandbox {
                    from: ImageOrTemplate::Image("no-such-image".into()),
                    ..small()
                },
                Code::ImageNotFound,
            ),
            (
                CreateSandbox {
                    from: ImageOrTemplate::Template {
                        template: "none".into(),
                        version: None,
                    },
                    ..small()
                },
                Code::TemplateNotFound,
            ),
            (
                CreateSandbox {
                    name: Some("x".repeat(300)),
                    ..small()
                },
                Code::InvalidArgument,
            ),
            (
                CreateSandbox {
                    memory_mib: Some(1),
                    ..small()
                },
                Code::InvalidArgument,
            ),
            (
                CreateSandbox {
                    mounts: vec![HostMount {
                        source: "/etc".into(),
                        target: "/mnt".into(),
                        access: MountAccess::ReadOnly,
                    }],
                    ..small()
                },
                Code::PermissionDenied,
            ),
        ];
        for (request, code) in cases {
            let refused = life
                .engine
                .create_sandbox(&life.ctx, request, Some("retry me"))
                .await;
            assert_eq!(refused.expect_err("refused").code(), code);
        }
        assert!(life.listed().await.is_empty());
    });
    life.clean_up(&place);
}

#[test]
fn shipped_templates_boot_and_a_caller_who_does_not_wait_is_answered_at_once() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let request = CreateSandbox {
            from: ImageOrTemplate::Template {
                template: "python".into(),
                version: None,
            },
            wait: Wait::No,
            ..small()
        };
        let sandbox = life.create(request).await;
        assert!(sandbox.spec.template_version.is_some());
        let origin = sandbox.spec.template.as_ref().expect("from a template");
        assert_eq!((origin.name.as_str(), origin.version), ("python", 1));
        // Work waits until it runs.
        assert_eq!(life.sh(&sandbox.id, "echo up").await.stdout, b"up\n");
        let running = life.state(&sandbox.id).await;
        assert_eq!(running.state, SandboxState::Running);
        assert!(running.running_since.is_some());
    });
    life.clean_up(&place);
}

#[test]
fn destroying_many_at_once_leaves_nothing() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let mut creates = JoinSet::new();
        for _ in 0..12 {
            let (engine, ctx) = (life.engine.clone(), life.ctx.clone());
            creates.spawn(async move { engine.create_sandbox(&ctx, small(), None).await });
        }
        let ids: Arc<Vec<_>> = Arc::new(
            creates
                .join_all()
                .await
                .into_iter()
                .map(|one| one.expect("create").value.id)
                .collect(),
        );
        let mut ends = JoinSet::new();
        // Each twice, to see that one end is enough.
        for at in 0..ids.len() * 2 {
            let (engine, ctx, ids) = (life.engine.clone(), life.ctx.clone(), Arc::clone(&ids));
            ends.spawn(async move { engine.destroy_sandbox(&ctx, &ids[at / 2]).await });
        }
        for end in ends.join_all().await {
            assert_eq!(end.expect("destroy").state, SandboxState::Destroyed);
        }
        life.driver.settle().await;
        place.assert_no_sandbox_is_left();
    });
    life.clean_up(&place);
}
