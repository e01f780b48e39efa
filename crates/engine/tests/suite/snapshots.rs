//! Snapshots of disks, and forks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{
    CreateSandbox, DescribeSnapshot, EngineConfig, ImageOrTemplate, PageRequest, Share,
    SystemClock, TakeSnapshot,
};
use pinfold_model::build::BuildState;
use pinfold_model::template::TemplateSpec;
use pinfold_model::{
    Code, CommandState, Ctx, ExitStatus, ImageId, ImageSource, ProjectId, SandboxState, Scopes,
};

use super::builds::{build_of, ended};
use super::images::{import, tar_of_a_root};
use super::place::{DEADLINE, Life, Place, shell, small};

fn named(name: &str) -> TakeSnapshot {
    TakeSnapshot {
        name: Some(name.parse().expect("a name")),
        labels: BTreeMap::from([("stage".to_owned(), "one".to_owned())]),
    }
}

fn from_image(name: impl Into<String>) -> CreateSandbox {
    CreateSandbox {
        from: ImageOrTemplate::Image(name.into()),
        ..small()
    }
}

async fn text(life: &Life, sandbox: &pinfold_model::SandboxId, line: &str) -> String {
    let output = life.sh(sandbox, line).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_snapshot_takes_its_own_scope_whichever_way_it_is_come_to() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let origin = life.create(small()).await;
        let taken = engine.snapshot_sandbox(ctx, &origin.id, named("deps:1"));
        taken.await.expect("taken");
        let mut narrow = ctx.clone();
        let scopes = Scopes::parse(&["images:write", "sandboxes:write"]);
        narrow.principal.scopes = scopes.expect("scopes");

        let base = engine.get_template(ctx, "base", None).await;
        let spec = TemplateSpec {
            image: "deps:1".parse().expect("a name"),
            ..base.expect("shipped").spec
        };
        let template = engine.set_template(&narrow, "t", spec, Share::Project);
        let export = engine.export_image(&narrow, "deps:1");
        let removal = engine.remove_image(&narrow, "deps:1");
        for refused in [
            template.await.map(drop),
            export.await.map(drop),
            removal.await,
        ] {
            let refused = refused.expect_err("it needs the scope of snapshots");
            assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        }
        for (who, state) in [(&narrow, BuildState::Failed), (ctx, BuildState::Complete)] {
            let request = build_of("FROM deps:1\nRUN true\n");
            let build = engine.create_build(who, request, None).await;
            let build = ended(&life, &build.expect("accepted").value.id).await;
            assert_eq!(build.state, state, "{:?}", build.failure);
        }
    });
    life.clean_up(&place);
}

#[test]
fn a_snapshot_is_an_image_that_sandboxes_boot_from() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let request = CreateSandbox {
            env: BTreeMap::from([("TOKEN".to_owned(), "secret".to_owned())]),
            user: Some("nobody".to_owned()),
            ..small()
        };
        let origin = life.create(request).await;
        life.sh(&origin.id, "mkdir /tmp/deps").await;
        let snapshot = engine.snapshot_sandbox(ctx, &origin.id, named("deps:1"));
        let image = snapshot.await.expect("taken");
        let expected = ImageSource::Snapshot {
            sandbox: origin.id.clone(),
            base: origin.spec.image.clone(),
            on_host: true,
        };
        assert_eq!(image.source, expected);
        assert_eq!(image.config.labels["stage"], "one");
        assert!(!format!("{image:?}").contains("secret"));
        let listed = engine.list_images(ctx, &PageRequest::default()).await;
        assert!(listed.expect("listed").items.contains(&image));

        // It outlives its sandbox, and one made from it can be kept in turn.
        let ended = engine.destroy_sandbox(ctx, &origin.id).await;
        ended.expect("destroyed");
        let second = life.create(from_image("deps:1")).await;
        assert_eq!(second.spec.user, "nobody");
        assert_eq!(second.spec.workdir, origin.spec.workdir);
        let env = "ls -d /tmp/deps; echo ${TOKEN:-none}; touch /tmp/more";
        assert_eq!(text(&life, &second.id, env).await, "/tmp/deps\nnone\n");
        let used = engine.remove_image(ctx, "deps:1").await.expect_err("used");
        assert_eq!(used.code(), Code::InUse);
        let again = engine.snapshot_sandbox(ctx, &second.id, named("deps:2"));
        let again = again.await.expect("taken");
        let third = life.create(from_image(again.id.as_str())).await;
        let list = text(&life, &third.id, "ls -d /tmp/deps /tmp/more").await;
        assert_eq!(list, "/tmp/deps\n/tmp/more\n");
        assert_eq!(life.driver.snapshots().await.expect("list").len(), 2);
        for sandbox in [&second.id, &third.id] {
            engine.destroy_sandbox(ctx, sandbox).await.expect("gone");
        }
        for name in ["deps:1", "deps:2"] {
            engine.remove_image(ctx, name).await.expect("removed");
        }
        assert!(life.driver.snapshots().await.expect("list").is_empty());
    });
    life.clean_up(&place);
}

#[test]
fn a_deleted_snapshot_serves_its_sandboxes_to_their_end_and_nobody_else() {
    let place = Place::with_kept_disks();
    let config = EngineConfig {
        reconcile_every: Duration::from_millis(50),
        ..EngineConfig::default()
    };
    let life = place.live_with(config.clone(), Arc::new(SystemClock));
    let (deleted, user) = life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let origin = life.create(small()).await;
        life.sh(&origin.id, "echo kept > /tmp/kept").await;
        let said = DescribeSnapshot::default();
        let taken = engine.describe_sandbox_snapshot(ctx, &origin.id, said, None);
        let image = taken.await.expect("taken").value.image;
        let user = life.create(from_image(image.as_str())).await.id;
        for _ in 0..2 {
            engine.delete_snapshot(ctx, &image).await.expect("deleted");
        }
        let refused = [
            engine.get_image(ctx, image.as_str()).await.map(drop),
            engine.remove_image(ctx, image.as_str()).await,
            engine.export_image(ctx, image.as_str()).await.map(drop),
            engine
                .create_sandbox(ctx, from_image(image.as_str()), None)
                .await
                .map(drop),
        ];
        for refused in refused {
            assert_eq!(refused.expect_err("nobody's").code(), Code::ImageNotFound);
        }
        let listed = engine.list_images(ctx, &PageRequest::default()).await;
        assert!(
            listed
                .expect("listed")
                .items
                .iter()
                .all(|one| one.id != image)
        );
        engine.stop_sandbox(ctx, &user).await.expect("stopped");
        (image, user)
    });
    life.crash();

    let life = place.live_with(config, Arc::new(SystemClock));
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        engine.start_sandbox(ctx, &user).await.expect("started");
        assert_eq!(text(&life, &user, "cat /tmp/kept").await, "kept\n");
        // What is made of such a sandbox stands on its own.
        let again = engine.snapshot_sandbox(ctx, &user, named("again:1"));
        again.await.expect("taken");
        let fork = CreateSandbox {
            from: ImageOrTemplate::Sandbox(user.clone()),
            ..CreateSandbox::default()
        };
        let fork = life.create(fork).await.id;
        assert_eq!(text(&life, &fork, "cat /tmp/kept").await, "kept\n");
        let copies = async || life.driver.snapshots().await.expect("list");
        engine.destroy_sandbox(ctx, &user).await.expect("gone");
        assert!(copies().await.contains(&deleted), "a fork needs it");
        engine.destroy_sandbox(ctx, &fork).await.expect("gone");
        let gone = async {
            while copies().await.contains(&deleted) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, gone).await.expect("removed");
        assert_eq!(copies().await.len(), 1);
    });
    life.clean_up(&place);
}

#[test]
fn a_snapshot_needs_its_base_no_more_than_its_layers() {
    let place = Place::with_kept_disks();
    let config = EngineConfig {
        reconcile_every: Duration::from_millis(50),
        ..EngineConfig::default()
    };
    let life = place.live_with(config, Arc::new(SystemClock));
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let imported = import(&life, "mine:1", &tar_of_a_root(&place)).await;
        imported.expect("imported");
        let origin = life.create(from_image("mine:1")).await;
        let snapshot = engine.snapshot_sandbox(ctx, &origin.id, named("kept"));
        let image = snapshot.await.expect("taken");
        engine
            .destroy_sandbox(ctx, &origin.id)
            .await
            .expect("destroyed");
        engine.remove_image(ctx, "mine:1").await.expect("removed");

        // What no image tells of is swept; the layers below the snapshot are told of.
        let stray = ImageId::generate();
        let other = life.create(from_image("kept")).await;
        let moment = pinfold_runtime::driver::Moment::Frozen;
        let copied = life
            .driver
            .snapshot(&other.id, &stray, moment, &other.spec.resources)
            .await;
        copied.expect("copied");
        let swept = async {
            while life.driver.snapshots().await.expect("list").len() > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let swept = tokio::time::timeout(DEADLINE, swept).await;
        swept.expect("the stray copy is swept");
        assert_eq!(
            life.driver.snapshots().await.expect("list"),
            [image.id.clone()]
        );
        let late = life.create(from_image("kept")).await;
        let read = engine.stat_file(ctx, &late.id, "/etc/hello").await;
        read.expect("of the layer below");
    });
    life.clean_up(&place);
}

#[test]
fn a_fork_has_the_disk_and_the_settings_of_its_original() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let request = CreateSandbox {
            env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            metadata: BTreeMap::from([("job".to_owned(), "7".to_owned())]),
            ttl: Some(Duration::from_secs(3600)),
            ..small()
        };
        let origin = life.create(request).await;
        let line = "i=0; while ! test -e /tmp/go; do i=$((i+1)); echo $i > /tmp/count; done";
        let running = life.start(&origin.id, shell(line)).await;
        let counts = "while ! test -s /tmp/count; do sleep 0.02; done; echo mine > /tmp/file";
        life.sh(&origin.id, counts).await;
        let fork_of = |id: &pinfold_model::SandboxId| CreateSandbox {
            from: ImageOrTemplate::Sandbox(id.clone()),
            ..CreateSandbox::default()
        };
        let key = Some("once");
        let made = engine.create_sandbox(ctx, fork_of(&origin.id), key).await;
        let fork = made.expect("forked").value;
        assert_eq!(fork.spec.forked_from.as_ref(), Some(&origin.id));
        assert_eq!(fork.spec.resources, origin.spec.resources);
        assert_eq!((fork.spec.ttl, &fork.spec.env["A"][..]), (origin.ttl, "1"));
        assert!(fork.spec.metadata.is_empty());
        let replay = engine.create_sandbox(ctx, fork_of(&origin.id), key).await;
        assert_eq!(replay.expect("replayed").value.id, fork.id);
        // Its processes were not copied, and those of the original go on.
        let seen = "cat /tmp/file; echo ours > /tmp/file; pgrep -c bash || true; touch /tmp/go";
        assert!(text(&life, &fork.id, seen).await.starts_with("mine\n"));
        assert_eq!(
            text(
                &life,
                &origin.id,
                "cat /tmp/file; ls /tmp/go 2>&1 | wc -l; touch /tmp/go"
            )
            .await,
            "mine\n1\n"
        );
        let ended = life.wait(&running).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));

        // Of one that stands still too, and of a fork.
        engine
            .suspend_sandbox(ctx, &fork.id)
            .await
            .expect("suspended");
        let of_suspended = life.create(fork_of(&fork.id)).await;
        assert_eq!(life.state(&fork.id).await.state, SandboxState::Suspended);
        engine.resume_sandbox(ctx, &fork.id).await.expect("resumed");
        engine.stop_sandbox(ctx, &fork.id).await.expect("stopped");
        let of_stopped = life.create(fork_of(&fork.id)).await;
        for id in [&of_suspended.id, &of_stopped.id] {
            assert_eq!(text(&life, id, "cat /tmp/file").await, "ours\n");
        }
        engine.destroy_sandbox(ctx, &fork.id).await.expect("gone");
        let late = engine.create_sandbox(ctx, fork_of(&fork.id), None).await;
        assert_eq!(late.expect_err("gone").code(), Code::SandboxGone);
        let mut stranger: Ctx = ctx.clone();
        stranger.principal.project = ProjectId::generate();
        stranger.principal.role = pinfold_model::Role::Member;
        let theirs = engine.create_sandbox(&stranger, fork_of(&origin.id), None);
        let code = theirs.await.expect_err("not theirs").code();
        assert_eq!(code, Code::SandboxNotFound);
        let kept = engine.snapshot_sandbox(&stranger, &origin.id, TakeSnapshot::default());
        assert_eq!(
            kept.await.expect_err("nor this").code(),
            Code::SandboxNotFound
        );
    });
    life.clean_up(&place);
}

fn fork_of(origin: &pinfold_model::SandboxId) -> CreateSandbox {
    CreateSandbox {
        from: ImageOrTemplate::Sandbox(origin.clone()),
        ..small()
    }
}

#[test]
fn what_begins_with_a_disk_has_its_own_name_in_etc() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let origin = life.create(small()).await;
        let taken = engine.snapshot_sandbox(ctx, &origin.id, named("deps:1"));
        taken.await.expect("taken");
        let made = [
            life.create(from_image("deps:1")).await,
            life.create(fork_of(&origin.id)).await,
        ];
        for sandbox in made {
            let (id, name) = (&sandbox.id, &sandbox.spec.hostname);
            assert_ne!(*name, origin.spec.hostname);
            let seen = "cat /etc/hostname; tail -n 1 /etc/hosts; stat -c %a,%u:%g /etc/hosts";
            let told = format!("{name}\n127.0.1.1\t{name}\n644,0:0\n");
            assert_eq!(text(&life, id, seen).await, told);
            life.sh(id, "echo mine > /etc/hosts").await;
            engine.stop_sandbox(ctx, id).await.expect("stopped");
            engine.start_sandbox(ctx, id).await.expect("started");
            assert_eq!(text(&life, id, "cat /etc/hosts").await, "mine\n");
        }
    });
    life.clean_up(&place);
}

#[test]
fn what_a_disk_holds_in_place_of_etc_is_not_followed() {
    let place = Place::with_kept_disks();
    let life = place.live();
    let bait = place.path().join("bait");
    std::fs::create_dir(&bait).expect("a directory of this machine");
    let bait = bait.to_str().expect("UTF-8");
    life.run(async {
        let origin = life.sandbox().await;
        let line =
            format!("cd /etc && rm hosts hostname && ln -s {bait}/hosts . && mkdir hostname");
        assert_eq!(
            text(&life, &origin, &format!("{line} && echo done")).await,
            "done\n"
        );
        let fork = life.create(fork_of(&origin)).await.id;
        let seen = "stat -c %F /etc/hosts /etc/hostname";
        assert_eq!(text(&life, &fork, seen).await, "regular file\ndirectory\n");

        let line = format!("rm -rf /etc; ln -s {bait} /etc && readlink /etc");
        assert_eq!(text(&life, &origin, &line).await, format!("{bait}\n"));
        let fork = life.create(fork_of(&origin)).await.id;
        assert_eq!(
            text(&life, &fork, "readlink /etc").await,
            format!("{bait}\n")
        );

        let line = "rm /etc; echo file > /etc; cat /etc";
        assert_eq!(text(&life, &origin, line).await, "file\n");
        let fork = life.create(fork_of(&origin)).await.id;
        assert_eq!(text(&life, &fork, "cat /etc").await, "file\n");
    });
    assert_eq!(std::fs::read_dir(bait).expect("list").count(), 0);
    life.clean_up(&place);
}

#[test]
fn an_engine_that_dies_amid_a_copy_leaves_no_sandbox_frozen() {
    let place = Place::with_kept_disks();
    let life = place.live();
    let sandbox = life.run(async {
        let sandbox = life.sandbox().await;
        life.driver.freeze(&sandbox).await.expect("frozen");
        sandbox
    });
    life.crash();
    let life = place.live();
    life.run(async {
        assert_eq!(text(&life, &sandbox, "echo on").await, "on\n");
    });
    life.clean_up(&place);
}

#[test]
fn a_fork_that_a_crash_cut_short_is_taken_again() {
    let place = Place::with_kept_disks();
    let life = place.live();
    let (origin, fork) = life.run(async {
        let origin = life.sandbox().await;
        life.sh(&origin, "echo theirs > /tmp/file").await;
        // The crash comes before it runs, or somewhere on the way.
        let request = CreateSandbox {
            from: ImageOrTemplate::Sandbox(origin.clone()),
            wait: pinfold_engine::Wait::No,
            ..CreateSandbox::default()
        };
        (origin, life.create(request).await.id)
    });
    life.crash();
    let life = place.live();
    life.run(async {
        life.until(&fork, SandboxState::Running).await;
        assert_eq!(text(&life, &fork, "cat /tmp/file").await, "theirs\n");
        assert_eq!(text(&life, &origin, "cat /tmp/file").await, "theirs\n");
    });
    life.clean_up(&place);
}

#[test]
fn where_disks_are_in_memory_a_copy_is_refused_in_words() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let request = TakeSnapshot::default();
        let refused = life.engine.snapshot_sandbox(&life.ctx, &sandbox, request);
        let error = refused.await.expect_err("refused");
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.message().contains("in memory"), "{error:?}");
        assert_eq!(life.listed().await.len(), 1);
    });
    life.clean_up(&place);
}
