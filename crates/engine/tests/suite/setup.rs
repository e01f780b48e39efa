//! Setups: what is done inside before a sandbox counts as ready, once and at each start, also by
//! the next server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{CreateSandbox, EngineConfig, MasterKey, SecretsKey, SystemClock, Wait};
use pinfold_model::sandbox::{EndReason, SandboxExtras, TtlCounts};
use pinfold_model::setup::{Account, SetupFile, SetupObject};
use pinfold_model::{
    Code, ObjectId, Program, Sandbox, SandboxId, SandboxState, SecretEnv, Setup, limits,
};

use super::clock::ManualClock;
use super::objects::put;
use super::place::{Life, Place, small};

pub(super) fn with(setup: Setup) -> CreateSandbox {
    CreateSandbox {
        more: SandboxExtras {
            setup,
            ..SandboxExtras::default()
        },
        ..small()
    }
}

pub(super) fn line(text: &str) -> Program {
    Program::Shell(text.to_owned())
}

/// Waits until its setup is over, or it has ended.
pub(super) async fn set_up(life: &Life, id: &SandboxId) -> Sandbox {
    let mut watch = life
        .engine
        .watch_sandbox(&life.ctx, id)
        .await
        .expect("watch");
    while let Some(sandbox) = watch.next().await {
        let running = sandbox.state == SandboxState::Running;
        if (running && !sandbox.spec.more.setup.is_pending()) || !sandbox.state.is_live() {
            return sandbox;
        }
    }
    panic!("it ended in {:?}", life.state(id).await);
}

pub(super) async fn text(life: &Life, sandbox: &SandboxId, line: &str) -> String {
    String::from_utf8_lossy(&life.sh(sandbox, line).await.stdout).into_owned()
}

#[test]
fn each_part_of_a_setup_is_there_when_it_is_over() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let object = put(&life, "data.bin", b"of an object").await;
        let request = CreateSandbox {
            user: Some("1234:1234".to_owned()),
            workdir: Some("/home/dev".to_owned()),
            ..with(Setup {
                account: Some(Account {
                    name: "dev".to_owned(),
                    uid: 1234,
                    home: "/home/dev".to_owned(),
                }),
                files: vec![
                    SetupFile {
                        path: "a/b".to_owned(),
                        content: "of a file\n".to_owned(),
                    },
                    SetupFile {
                        path: "/opt/far".to_owned(),
                        content: String::new(),
                    },
                ],
                objects: vec![SetupObject {
                    object: object.id,
                    path: "data".to_owned(),
                }],
                once: vec![line("cat a/b data > joined")],
                each_start: vec![line("id -un >> joined")],
                ..Setup::default()
            })
        };
        let made = life.create(request).await;
        let done = set_up(&life, &made.id).await;
        assert_eq!(done.state, SandboxState::Running, "{:?}", done.failure);
        let joined = text(
            &life,
            &made.id,
            "cat joined; echo $HOME; stat -c %U a/b /opt/far",
        );
        assert_eq!(
            joined.await,
            "of a file\nof an objectdev\n/home/dev\ndev\nroot\n"
        );
        assert!(
            done.spec.more.setup.files.is_empty(),
            "what was done is not kept"
        );
    });
    life.clean_up(&place);
}

#[test]
fn a_setup_that_fails_ends_the_sandbox_and_says_why() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        // It may fail before anybody has seen it run.
        let request = CreateSandbox {
            wait: Wait::No,
            ..with(Setup {
                each_start: vec![line("true"), line("echo too bad >&2; exit 3")],
                ..Setup::default()
            })
        };
        let made = life.create(request).await;
        let failed = set_up(&life, &made.id).await;
        assert_eq!(failed.state, SandboxState::Failed);
        assert_eq!(failed.reason, Some(EndReason::BootFailed));
        let why = failed.failure.expect("a reason");
        assert!(why.contains("status 3") && why.contains("too bad"), "{why}");
        // What it was to be set up with is kept no longer than it is of use.
        assert!(failed.spec.more.setup.each_start.is_empty());
        let recorded = life.state(&made.id).await.spec.more.setup;
        assert_eq!(recorded, failed.spec.more.setup);
    });
    life.clean_up(&place);
}

#[test]
fn what_a_setup_needs_is_looked_for_at_once() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let missing = SetupObject {
            object: ObjectId::generate(),
            path: "/a".to_owned(),
        };
        let request = with(Setup {
            objects: vec![missing],
            ..Setup::default()
        });
        let refused = life.engine.create_sandbox(&life.ctx, request, None).await;
        assert_eq!(refused.expect_err("no object").code(), Code::ObjectNotFound);
        let mut request = small();
        request.more.secrets = BTreeMap::from([("TOKEN".to_owned(), "nobodys".to_owned())]);
        let refused = life.engine.create_sandbox(&life.ctx, request, None).await;
        assert_eq!(refused.expect_err("no secret").code(), Code::SecretNotFound);
        assert!(life.listed().await.is_empty());
    });
    life.clean_up(&place);
}

#[test]
fn a_start_repeats_what_is_for_each_start_and_nothing_else() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let request = with(Setup {
            once: vec![line("echo once >> /tmp/log")],
            each_start: vec![line("echo start >> /tmp/log")],
            ..Setup::default()
        });
        let id = life.create(request).await.id;
        set_up(&life, &id).await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        engine.stop_sandbox(ctx, &id).await.expect("stop");
        engine.start_sandbox(ctx, &id).await.expect("start");
        set_up(&life, &id).await;
        assert_eq!(
            text(&life, &id, "cat /tmp/log").await,
            "once\nstart\nstart\n"
        );
    });
    life.clean_up(&place);
}

#[test]
fn a_later_start_whose_setup_fails_keeps_the_disk_and_says_why() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let check = line("test ! -e /tmp/broken || exit 4");
        let request = with(Setup {
            each_start: vec![check],
            ..Setup::default()
        });
        let id = life.create(request).await.id;
        set_up(&life, &id).await;
        life.sh(&id, "touch /tmp/broken").await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        engine.stop_sandbox(ctx, &id).await.expect("stop");
        engine.start_sandbox(ctx, &id).await.expect("start");
        let stopped = life.until(&id, SandboxState::Stopped).await;
        assert!(stopped.failure.expect("why").contains("status 4"));
        let started = engine.start_sandbox(ctx, &id).await;
        started.expect("its disk is there");
    });
    life.clean_up(&place);
}

#[test]
fn what_a_suspend_interrupts_goes_on_behind_it() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let wait = "echo begun >> /tmp/log; while ! test -e /tmp/go; do sleep 0.02; done";
        let request = with(Setup {
            once: vec![line(wait), line("echo second >> /tmp/log")],
            ..Setup::default()
        });
        let id = life.create(request).await.id;
        while text(&life, &id, "cat /tmp/log 2>/dev/null").await != "begun\n" {}
        let (engine, ctx) = (&life.engine, &life.ctx);
        life.sh(&id, "(sleep 0.3; touch /tmp/go) > /dev/null 2>&1 &")
            .await;
        for _ in 0..3 {
            engine.suspend_sandbox(ctx, &id).await.expect("suspend");
            engine.resume_sandbox(ctx, &id).await.expect("resume");
        }
        let done = set_up(&life, &id).await;
        assert_eq!(done.state, SandboxState::Running, "{:?}", done.failure);
        assert_eq!(text(&life, &id, "cat /tmp/log").await, "begun\nsecond\n");
    });
    life.clean_up(&place);
}

#[test]
fn the_next_server_goes_on_with_a_setup_and_repeats_no_command() {
    goes_on_after(Duration::ZERO);
}

/// Longer than any idempotency key is kept.
#[test]
fn a_server_of_another_day_goes_on_with_a_setup_and_repeats_no_command() {
    goes_on_after(limits::IDEMPOTENCY_KEPT * 3);
}

fn goes_on_after(pause: Duration) {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    let id = life.run(async {
        let wait = "echo begun >> /tmp/log; while ! test -e /tmp/go; do sleep 0.02; done";
        let request = with(Setup {
            files: vec![SetupFile {
                path: "/tmp/log".to_owned(),
                content: String::new(),
            }],
            once: vec![line("echo first >> /tmp/log"), line(wait)],
            each_start: vec![line("echo last >> /tmp/log")],
            ..Setup::default()
        });
        let id = life.create(request).await.id;
        while text(&life, &id, "cat /tmp/log 2>/dev/null").await != "first\nbegun\n" {}
        id
    });
    life.crash();
    clock.forward(pause);
    let life = place.live_with(EngineConfig::default(), clock);
    life.run(async {
        assert!(life.state(&id).await.spec.more.setup.is_pending());
        life.sh(&id, "touch /tmp/go").await;
        let done = set_up(&life, &id).await;
        assert_eq!(done.state, SandboxState::Running, "{:?}", done.failure);
        assert_eq!(
            text(&life, &id, "cat /tmp/log").await,
            "first\nbegun\nlast\n"
        );
    });
    life.clean_up(&place);
}

#[test]
fn a_lifetime_that_counts_while_it_runs_spares_what_is_stopped() {
    const HOUR: Duration = Duration::from_secs(3600);
    let place = Place::with_kept_disks();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        let mut request = small();
        request.ttl = Some(HOUR);
        request.more.ttl_counts = TtlCounts::WhileRunning;
        let id = life.create(request).await.id;
        let (engine, ctx) = (&life.engine, &life.ctx);
        engine.stop_sandbox(ctx, &id).await.expect("stop");
        clock.forward(HOUR * 3);
        let started = engine.start_sandbox(ctx, &id).await.expect("it is there");
        assert_eq!(started.expires_at, Some(engine.now() + HOUR));
        clock.forward(HOUR / 2);
        let kept = engine.keep_sandbox_alive(ctx, &id).await.expect("kept");
        assert_eq!(kept.expires_at, Some(engine.now() + HOUR));
        clock.forward(HOUR);
        let ended = life.until(&id, SandboxState::Destroyed).await;
        assert_eq!(ended.reason, Some(EndReason::TtlExpired));
    });
    life.clean_up(&place);
}

/// With a key to what is sealed.
fn keyed(place: &Place, key: &MasterKey) -> Life {
    let config = EngineConfig {
        secrets_key: SecretsKey::Given(key.clone()),
        ..EngineConfig::default()
    };
    place.live_with(config, Arc::new(SystemClock))
}

/// What a command of a setup has that is sealed.
fn with_token(once: Vec<Program>, place: usize) -> CreateSandbox {
    let values = BTreeMap::from([("TOKEN".to_owned(), "hunter2-in-clear".to_owned())]);
    CreateSandbox {
        setup_secrets: BTreeMap::from([(place, SecretEnv::new(values))]),
        ..with(Setup {
            once,
            ..Setup::default()
        })
    }
}

/// Whether any file of the place has this text.
fn is_on_disk(place: &Place, text: &str) -> bool {
    let mut directories = vec![place.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let kind = entry.file_type().expect("a kind");
            // Sandboxes' own disks are not what is looked through here.
            if kind.is_dir() && entry.file_name() != "sandboxes" {
                directories.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                if bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
                {
                    return true;
                }
            }
        }
    }
    false
}

#[test]
fn what_one_command_of_a_setup_needs_is_for_it_alone_and_forgotten() {
    let (place, key) = (Place::new(), MasterKey::generate());
    let life = keyed(&place, &key);
    let id = life.run(async {
        let waits = "echo one ${#TOKEN} > /tmp/log; while ! test -e /tmp/go; do sleep 0.02; done";
        let request = with_token(vec![line(waits), line("echo two ${#TOKEN} >> /tmp/log")], 0);
        let id = life.create(request).await.id;
        while !text(&life, &id, "cat /tmp/log 2>/dev/null")
            .await
            .starts_with("one")
        {}
        let recorded = life.state(&id).await.spec.more.setup;
        assert_eq!(recorded.sealed.len(), 1);
        life.sh(&id, "touch /tmp/go").await;
        set_up(&life, &id).await;
        assert_eq!(
            text(&life, &id, "cat /tmp/log; echo ${#TOKEN}").await,
            "one 16\ntwo 0\n0\n"
        );
        let seen =
            "for one in /proc/[0-9]*; do tr '\\0' '\\n' < $one/environ; done | grep -c ^TOKEN=";
        assert_eq!(text(&life, &id, seen).await, "0\n");
        assert!(life.state(&id).await.spec.more.setup.sealed.is_empty());
        id
    });
    assert!(
        !is_on_disk(&place, "hunter2-in-clear"),
        "it is kept in clear"
    );
    assert!(
        is_on_disk(&place, id.as_str()),
        "the search finds what is there"
    );
    life.clean_up(&place);
}

#[test]
fn a_crash_at_any_moment_leaves_a_setup_with_its_secrets_to_the_next_server() {
    let (place, key) = (Place::new(), MasterKey::generate());
    for after_ms in [0, 1, 3, 6, 10, 15, 25, 40, 70, 120] {
        let life = keyed(&place, &key);
        let id = life.run(async {
            let once = vec![line("true"), line("sleep 0.02; echo ${#TOKEN} > /tmp/log")];
            let made = CreateSandbox {
                wait: Wait::No,
                ..with_token(once, 1)
            };
            let made = life.engine.create_sandbox(&life.ctx, made, None).await;
            let id = made.expect("accepted").value.id;
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            id
        });
        life.crash();
        let life = keyed(&place, &key);
        life.run(async {
            let done = set_up(&life, &id).await;
            assert_eq!(
                done.state,
                SandboxState::Running,
                "{after_ms}: {:?}",
                done.failure
            );
            assert_eq!(text(&life, &id, "cat /tmp/log").await, "16\n");
            let destroyed = life.engine.destroy_sandbox(&life.ctx, &id).await;
            destroyed.expect("destroy");
        });
        life.crash();
    }
    let life = keyed(&place, &key);
    life.clean_up(&place);
    assert!(
        !is_on_disk(&place, "hunter2-in-clear"),
        "it is kept in clear"
    );
}

#[test]
fn what_is_sealed_goes_with_a_sandbox_that_ends_amid() {
    let (place, key) = (Place::new(), MasterKey::generate());
    let life = keyed(&place, &key);
    life.run(async {
        let request = with_token(vec![line("exec sleep 600")], 0);
        let id = life.create(request).await.id;
        let destroyed = life.engine.destroy_sandbox(&life.ctx, &id).await;
        let destroyed = destroyed.expect("destroy");
        assert!(destroyed.spec.more.setup.sealed.is_empty());
        assert!(life.state(&id).await.spec.more.setup.sealed.is_empty());

        let request = with_token(vec![line("exit 3"), line("never")], 1);
        let id = life.create(request).await.id;
        // What ends it says so itself: nobody ever sees it ended with something left to do.
        let failed = life.until(&id, SandboxState::Failed).await;
        let setup = failed.spec.more.setup;
        assert!(setup.sealed.is_empty() && !setup.is_pending());
    });
    life.clean_up(&place);
}
