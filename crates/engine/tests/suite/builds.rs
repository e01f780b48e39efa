//! Builds of images over real sandboxes. The image `host` has a shell and what it needs.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_engine::{
    BuildEvent, BuildFilter, CreateBuild, CreateSandbox, ImageOrTemplate, Origin, PageRequest,
};
use pinfold_model::build::{BuildCache, BuildFault, BuildState};
use pinfold_model::pipeline::StepState;
use pinfold_model::{Build, BuildId, Code, Ctx, NetworkMode, Object, Result, SecretEnv};

use super::access::stranger;
use super::images::{import, tar_of_a_root};
use super::objects::put;
use super::place::{Life, Place, small};

pub(super) fn build_of(dockerfile: &str) -> CreateBuild {
    CreateBuild {
        network: Some(NetworkMode::None),
        memory_mib: Some(256),
        disk_mib: Some(64),
        ..CreateBuild::new("made:1".parse().expect("a name"), dockerfile)
    }
}

async fn create(life: &Life, request: CreateBuild) -> Result<Build> {
    let created = life.engine.create_build(&life.ctx, request, None).await;
    created.map(|accepted| accepted.value)
}

pub(super) async fn ended(life: &Life, id: &BuildId) -> Build {
    loop {
        let build = life
            .engine
            .wait_build(&life.ctx, id, Duration::from_secs(5))
            .await
            .expect("there");
        if build.state.is_terminal() {
            return build;
        }
    }
}

async fn built(life: &Life, request: CreateBuild) -> Build {
    let build = create(life, request).await.expect("accepted");
    let build = ended(life, &build.id).await;
    assert_eq!(
        build.state,
        BuildState::Complete,
        "{:?}\n{}",
        build.failure,
        log(life, &build.id).await
    );
    build
}

async fn failed(life: &Life, request: CreateBuild) -> Build {
    let build = create(life, request).await.expect("accepted");
    let build = ended(life, &build.id).await;
    assert_eq!(build.state, BuildState::Failed, "{build:?}");
    build
}

/// Everything that the steps wrote.
pub(super) async fn log(life: &Life, id: &BuildId) -> String {
    let mut reader = life
        .engine
        .follow_build(&life.ctx, id, 0)
        .await
        .expect("log");
    let mut text = String::new();
    while let Some((_, event)) = reader.next().await.expect("event") {
        if let BuildEvent::Output { bytes, .. } = event {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    text
}

/// What a line prints in a sandbox of the image.
async fn says(life: &Life, image: &str, line: &str) -> String {
    let request = CreateSandbox {
        from: ImageOrTemplate::Image(image.to_owned()),
        ..small()
    };
    let sandbox = life.create(request).await;
    let output = life.sh(&sandbox.id, line).await;
    life.engine
        .destroy_sandbox(&life.ctx, &sandbox.id)
        .await
        .expect("gone");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn context_tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        header.set_uid(4321);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes())
            .expect("entry");
    }
    tar.into_inner().expect("tar")
}

async fn context(life: &Life, files: &[(&str, &str)]) -> Object {
    put(life, "context", &context_tar(files)).await
}

#[test]
fn a_build_does_what_its_dockerfile_says() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let context = context(&life, &[("a.txt", "one"), ("d/b.txt", "two"), (".dockerignore", "*.log"), ("x.log", "no")]).await;
        let dockerfile = "ARG WHO=world\nFROM host AS base\nARG WHO\nENV GREETING=\"hello $WHO\"\nWORKDIR /srv/app\n\
            RUN echo \"$GREETING\" > said && id -u >> said && pwd >> said\n\
            RUN [\"/bin/sh\", \"-c\", \"echo exec >> said\"]\n\
            RUN <<EOF\necho script >> said\ncat <<INNER >> said\n$GREETING again\nINNER\nEOF\n\
            COPY a.txt d /data/\nCOPY --chown=7:8 --chmod=604 *.txt owned\nCOPY <<F here/\nof $WHO\nF\n\
            USER nobody\nRUN id -un > /tmp/user\n\
            FROM base\nCOPY --from=base /srv/app/said /tmp/user /copied/\nLABEL v=1\nEXPOSE 80\nCMD [\"x\"]\n";
        let request = CreateBuild {
            context: Some(context.id.clone()),
            args: BTreeMap::from([("WHO".into(), "you".into()), ("NOBODYS".into(), "1".into())]),
            files: BTreeMap::from([("/etc/given/file".into(), "given\n".into())]),
            setup: vec!["cat /etc/given/file > /tmp/set-up; id -un >> /tmp/set-up".into()],
            setup_user: Some("root".into()),
            labels: BTreeMap::from([("by".into(), "test".into())]),
            ..build_of(dockerfile)
        };
        let build = built(&life, request.clone()).await;
        assert_eq!(build.warnings, ["no ARG takes the argument NOBODYS"]);
        let said = "hello you\n0\n/srv/app\nexec\nscript\nhello you again\n";
        let shown = says(&life, "made:1", "cat /copied/said /copied/user /tmp/set-up; cat owned here/F; \
            stat -c '%u %g %a' owned /data/a.txt; ls -A /data; pwd; id -un; echo $GREETING").await;
        let expected = format!("{said}nobody\ngiven\nroot\noneof you\n7 8 604\n0 0 640\na.txt\nb.txt\n/srv/app\nnobody\nhello you\n");
        assert_eq!(shown, expected);
        let image = life.engine.get_image(&life.ctx, "made:1").await.expect("there");
        assert_eq!(Some(&image.id), build.image.as_ref());
        let config = &image.config;
        assert_eq!((&*config.labels["v"], &*config.labels["by"]), ("1", "test"));
        assert_eq!((config.cmd.as_slice(), config.exposed_ports.as_slice()), (&["x".to_owned()][..], &["80/tcp".to_owned()][..]));

        // The same again is taken from the cache: no sandbox is made, and the name moves on.
        let before = sandboxes_made(&life).await;
        let again = built(&life, request).await;
        assert_eq!(sandboxes_made(&life).await, before);
        assert!(again.steps.iter().filter(|step| !step.text.starts_with("FROM")).all(|step| step.cached));
        assert_ne!(again.image, build.image);
        assert_eq!(says(&life, "made:1", "cat /copied/user").await, "nobody\n");
        let listed = life.engine.list_images(&life.ctx, &PageRequest::default()).await.expect("list");
        assert_eq!(listed.items.len(), 3, "host and the two: {listed:?}");
    });
    life.clean_up(&place);
}

async fn sandboxes_made(life: &Life) -> usize {
    let page = PageRequest::new(500, None);
    let all = life
        .engine
        .list_sandboxes(&life.ctx, &Default::default(), &page)
        .await;
    all.expect("list").items.len()
}

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

#[test]
fn scratch_and_imported_roots_are_built_on() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        import(&life, "mine:1", &tar_of_a_root(&place)).await.expect("imported");
        let dockerfile = "FROM host AS tools\nRUN mkdir -p /out/bin && printf '\\001' > /out/bin/tool && ln -s tool /out/bin/link\n\
            FROM mine:1 AS unused\nRUN exit 1\n\
            FROM scratch\nCOPY --from=tools /out/bin/ /bin/\nCOPY --from=mine:1 etc /mine\nCOPY <<X /etc/conf\nmade\nX\n";
        let build = built(&life, build_of(dockerfile)).await;
        assert!(build.steps.iter().all(|step| step.stage != "unused"), "{:?}", build.steps);
        let request = CreateSandbox { from: ImageOrTemplate::Image("made:1".into()), ..small() };
        let sandbox = life.create(request).await.id;
        let list = async |path: &str| {
            let listing = life.engine.list_directory(&life.ctx, &sandbox, path, 100).await.expect(path);
            listing.entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(list("/bin").await, ["link", "tool"]);
        let (_, content) = life.engine.read_whole_file(&life.ctx, &sandbox, "/etc/conf", 100).await.expect("read");
        assert_eq!(content, b"made\n");
        let target = CreateBuild { target: Some("tools".into()), ..build_of(dockerfile) };
        assert!(built(&life, target).await.steps[1].cached);
    });
    life.clean_up(&place);
}

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
        let mut reader = engine.follow_build(ctx, id, 0).await.expect("log");
        while !matches!(
            reader.next().await,
            Ok(Some((_, BuildEvent::Output { .. })))
        ) {}
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
        let mut reader = life
            .engine
            .follow_build(&life.ctx, &id, 0)
            .await
            .expect("log");
        while !matches!(
            reader.next().await,
            Ok(Some((_, BuildEvent::Output { .. })))
        ) {}
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
fn hostile_contexts_reach_nothing() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let evil = |name: &str, link: Option<&str>, kind: tar::EntryType| {
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(0);
            header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(link) = link {
                header.as_gnu_mut().expect("gnu").linkname[..link.len()].copy_from_slice(link.as_bytes());
            }
            header.set_cksum();
            tar.append(&header, &[][..]).expect("entry");
            tar.into_inner().expect("tar")
        };
        let refused = [
            evil("../up", None, tar::EntryType::Regular),
            evil("/etc/passwd", None, tar::EntryType::Regular),
            evil("dev", None, tar::EntryType::Block),
            evil("hard", Some("/etc/shadow"), tar::EntryType::Link),
            b"this is no tar but as long as the header of one would have to be".repeat(10),
        ];
        for tar in refused {
            let context = put(&life, "evil", &tar).await;
            let request = CreateBuild { context: Some(context.id), ..build_of("FROM host\nCOPY . /x\n") };
            let build = failed(&life, request).await;
            assert_eq!(build.failure.map(|failure| failure.fault), Some(BuildFault::Context));
        }
        // A link out of the context is a link within the sandbox, and what it names is not read.
        let tar = evil("link", Some("../../../etc/shadow"), tar::EntryType::Symlink);
        let context = put(&life, "link", &tar).await;
        let with = |dockerfile: &str| CreateBuild { context: Some(context.id.clone()), ..build_of(dockerfile) };
        let build = failed(&life, with("FROM host\nCOPY link /x\n")).await;
        assert_eq!(build.failure.map(|failure| failure.fault), Some(BuildFault::Context));
        built(&life, with("FROM host\nCOPY . /x/\n")).await;
        assert_eq!(says(&life, "made:1", "readlink /x/link").await, "../../../etc/shadow\n");
        // A stage's own links lead within that stage.
        let outside = "FROM host AS a\nRUN ln -s ../../../../../../etc/hostname /leak && echo inner > /etc/hostname\n\
                       FROM host\nCOPY --from=a /leak /got\n";
        built(&life, build_of(outside)).await;
        assert_eq!(says(&life, "made:1", "cat /got").await, "inner\n");
    });
    life.clean_up(&place);
}
