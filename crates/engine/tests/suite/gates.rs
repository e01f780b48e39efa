//! Commands whose process is made before their record is: what happens when the record comes late,
//! never, or behind a crash.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{Accepted, CreateSandbox, Drain, Origin, PageRequest};
use pinfold_model::command::CancelMode;
use pinfold_model::{
    Code, Command, CommandSpec, CommandState, ExitStatus, Result, SandboxId, StdinMode,
};
use tokio::task::{JoinHandle, JoinSet};

use super::crash::link;
use super::place::{Life, Place, shell, small};

const RUN: &str = "echo ran >> /tmp/runs; cat /tmp/runs";

/// A place, a life, a running sandbox, and its guest's number on this machine.
struct Scene {
    // Dropped before its place, which it has locked.
    life: Arc<Life>,
    place: Place,
    sandbox: SandboxId,
    guest: String,
}

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        let life = Arc::new(place.live());
        let (sandbox, guest) = life.run(async {
            let sandbox = life.sandbox().await;
            let guest = link(&life, &sandbox).await.pid().expect("a pid");
            // The engine has its link again.
            life.sh(&sandbox, "true").await;
            (sandbox, guest.as_raw_nonzero().to_string())
        });
        Self {
            place,
            life,
            sandbox,
            guest,
        }
    }

    /// A case of one life; nothing is left behind it.
    fn play(case: impl AsyncFnOnce(&Self)) {
        let scene = Self::new();
        scene.life.run(case(&scene));
        scene.end();
    }

    /// Processes that the guest started and that have not ended.
    fn processes(&self) -> usize {
        let listed = std::fs::read_dir("/proc").expect("processes");
        let parents = listed.filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            let mut fields = rest.split(' ');
            (fields.next()? != "Z").then_some(())?;
            fields.next().map(str::to_owned)
        });
        parents.filter(|parent| *parent == self.guest).count()
    }

    async fn until_processes(&self, enough: impl Fn(usize) -> bool) {
        let waited = async {
            while !enough(self.processes()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waited).await;
        assert!(waited.is_ok(), "there are {} processes", self.processes());
    }

    /// Asks for it in a task of its own.
    fn start(&self, spec: CommandSpec, key: &str) -> JoinHandle<Result<Accepted<Command>>> {
        let (engine, ctx) = (self.life.engine.clone(), self.life.ctx.clone());
        let (sandbox, key) = (self.sandbox.clone(), key.to_owned());
        tokio::spawn(async move { engine.start_command(&ctx, &sandbox, spec, Some(&key)).await })
    }

    async fn runs(&self) -> String {
        let run = self.life.sh(&self.sandbox, "cat /tmp/runs 2> /dev/null");
        String::from_utf8(run.await.stdout).expect("text")
    }

    fn end(self) {
        let Self { place, life, .. } = self;
        let life = Arc::into_inner(life).expect("nobody else has it");
        life.clean_up(&place);
    }
}

/// Nothing is recorded while this is there.
struct Hold(Child);

impl Hold {
    fn of(place: &Place) -> Self {
        let program = "import sqlite3, sys\n\
                       db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
                       db.execute('BEGIN IMMEDIATE')\n\
                       print('held', flush=True)\n\
                       sys.stdin.read()\n";
        let mut child = std::process::Command::new("python3")
            .args(["-c", program])
            .arg(place.path().join("pinfold.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("it speaks");
        assert_eq!(line, "held\n");
        Self(child)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Broken by opening the gate before the record, or by telling what the guest says before it.
#[test]
fn nothing_runs_and_nothing_is_told_before_the_record() {
    Scene::play(async |scene| {
        let hold = Hold::of(&scene.place);
        let good = scene.start(shell(RUN), "good");
        scene.until_processes(|count| count == 1).await;
        let missing = CommandSpec {
            cwd: Some("/no/such".into()),
            ..shell(RUN)
        };
        let missing = scene.start(missing, "missing");
        let closed = CommandSpec {
            stdin: StdinMode::Open,
            ..shell("read line; echo $line")
        };
        let reads = scene.start(closed, "reads");
        scene.until_processes(|count| count == 2).await;
        assert!(!good.is_finished() && !missing.is_finished() && !reads.is_finished());
        drop(hold);
        let good = good.await.expect("task").expect("started");
        assert_eq!(good.origin, Origin::New);
        assert_eq!(scene.life.output(&good.value.id).await, "ran\n");
        let missing = missing.await.expect("task").expect("accepted").value.id;
        let ended = scene.life.wait(&missing).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(126)));
        let reads = reads.await.expect("task").expect("started").value.id;
        let (engine, ctx) = (&scene.life.engine, &scene.life.ctx);
        engine.write_stdin(ctx, &reads, b"x\n").await.expect("open");
        assert_eq!(scene.life.output(&reads).await, "x\n");
        assert_eq!(scene.runs().await, "ran\n");
    });
}

/// Broken by opening the gate whatever the store says, or by keeping it open behind a refusal.
#[test]
fn a_record_that_is_refused_runs_nothing_and_leaves_no_process() {
    Scene::play(async |scene| {
        let first = scene.start(shell("echo first"), "k").await;
        let first = first.expect("task").expect("started").value;
        scene.life.wait(&first.id).await;
        scene.until_processes(|count| count == 0).await;
        let hold = Hold::of(&scene.place);
        let conflict = scene.start(shell(RUN), "k");
        let replay = scene.start(shell("echo first"), "k");
        scene.until_processes(|count| count == 2).await;
        drop(hold);
        let conflict = conflict.await.expect("task").expect_err("another payload");
        assert_eq!(conflict.code(), Code::IdempotencyConflict);
        let replay = replay.await.expect("task").expect("the same");
        assert_eq!(
            (replay.value.id, replay.origin),
            (first.id.clone(), Origin::Replay)
        );
        scene.until_processes(|count| count == 0).await;
        assert_eq!(scene.runs().await, "");
        // Nothing is left of it at the guest, and nothing in the list.
        let kept = loop {
            // The engine takes its link back at once.
            let guest = link(&scene.life, &scene.sandbox).await;
            if let Ok(kept) = guest.commands().await {
                break kept;
            }
        };
        assert!(kept.iter().all(|command| command.exited.is_some()));
        let page = PageRequest::default();
        let (engine, ctx) = (&scene.life.engine, &scene.life.ctx);
        let listed = engine.list_commands(ctx, &scene.sandbox, &page).await;
        let listed = listed.expect("list").items;
        let lines = listed.iter().filter(|command| {
            matches!(&command.spec.program, pinfold_model::Program::Shell(line) if line == RUN)
        });
        assert_eq!(lines.count(), 0);
    });
}

/// Broken by a gate that is opened for a replay, or by a process for each of them: those of one
/// sandbox take of what it may have.
#[test]
fn a_hundred_equal_starts_at_their_gates_run_one() {
    Scene::play(async |scene| {
        let hold = Hold::of(&scene.place);
        let mut starts = JoinSet::new();
        for _ in 0..100 {
            let start = scene.start(shell(RUN), "k");
            starts.spawn(async { start.await.expect("task").expect("accepted") });
        }
        scene.until_processes(|count| count == 4).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(scene.processes(), 4, "no more wait at once");
        drop(hold);
        let answers = starts.join_all().await;
        let new = answers.iter().filter(|one| one.origin == Origin::New);
        assert_eq!(new.count(), 1);
        assert!(
            answers
                .iter()
                .all(|one| one.value.id == answers[0].value.id)
        );
        scene.life.wait(&answers[0].value.id).await;
        scene.until_processes(|count| count == 0).await;
        assert_eq!(scene.runs().await, "ran\n");
    });
}

/// Broken by taking the first word of a sandbox without room for the last one: what has taken it may
/// be repeated requests at their gates.
#[test]
fn a_command_that_finds_no_room_for_a_moment_begins_when_there_is_some() {
    Scene::play(async |scene| {
        let tight = CreateSandbox {
            pids: Some(8),
            ..small()
        };
        let sandbox = scene.life.create(tight).await.id;
        let (engine, ctx) = (&scene.life.engine, &scene.life.ctx);
        let full = CommandState::Exited(ExitStatus::Code(126));
        let mut running = Vec::new();
        loop {
            let sleeps = engine.start_command(ctx, &sandbox, shell("exec sleep 600"), None);
            let sleeps = sleeps.await.expect("accepted").value;
            if sleeps.state == full {
                break;
            }
            running.push(sleeps.id);
        }
        let next = engine.start_command(ctx, &sandbox, shell("true"), None);
        let leaves = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let cancelled = engine.cancel_command(ctx, &running[0], CancelMode::Force);
            cancelled.await.expect("cancel");
        };
        let (next, ()) = tokio::join!(next, leaves);
        let ended = scene.life.wait(&next.expect("accepted").value.id).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));
    });
}

/// The thread of the store may still write what was handed to it, so both are met here: a record
/// without its byte, and a process without its record. Broken by a guest that takes a process at a
/// gate for a command, or by one that starts anew what was let through.
#[test]
fn a_kill_while_it_waits_runs_it_once() {
    let mut scene = Scene::new();
    for round in 0..6 {
        let key = format!("k{round}");
        let spec = || {
            shell(&format!(
                "echo ran >> /tmp/runs{round}; cat /tmp/runs{round}"
            ))
        };
        let hold = Hold::of(&scene.place);
        scene.life.run(async {
            let start = scene.start(spec(), &key);
            scene.until_processes(|count| count == 1).await;
            start.abort();
        });
        let late = round % 2 == 0;
        let hold = late.then_some(hold);
        let Scene {
            place,
            life,
            sandbox,
            guest,
        } = scene;
        Arc::into_inner(life).expect("nobody else has it").crash();
        drop(hold);
        let life = Arc::new(place.live());
        scene = Scene {
            place,
            life,
            sandbox,
            guest,
        };
        scene.life.run(async {
            let started = scene.start(spec(), &key).await.expect("task");
            let started = started.expect("accepted").value;
            let ended = scene.life.wait(&started.id).await;
            assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));
            assert_eq!(scene.life.output(&started.id).await, "ran\n");
            scene.until_processes(|count| count == 0).await;
        });
    }
    scene.end();
}

#[test]
fn a_link_that_breaks_while_it_waits_changes_nothing() {
    Scene::play(async |scene| {
        let hold = Hold::of(&scene.place);
        let start = scene.start(shell(RUN), "k");
        scene.until_processes(|count| count == 1).await;
        // Its greeting alone takes the engine's link away. The answer is not waited for: who loses the
        // race for the guest hears of it later than a record may wait.
        let attach = scene.life.driver.attach(&scene.sandbox);
        let _ = tokio::time::timeout(Duration::from_secs(2), attach).await;
        drop(hold);
        let started = start.await.expect("task").expect("started").value;
        let ended = scene.life.wait(&started.id).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));
        assert_eq!(scene.life.output(&started.id).await, "ran\n");
    });
}

/// Broken by a gate that is held while its engine ends: the next one could not start it.
#[test]
fn an_engine_that_ends_while_one_waits_leaves_it_to_the_next() {
    let mut scene = Scene::new();
    let hold = Hold::of(&scene.place);
    scene.life.run(async {
        // Nobody waits for its answer.
        drop(scene.start(shell(RUN), "k"));
        scene.until_processes(|count| count == 1).await;
    });
    drop(hold);
    let Scene {
        place,
        life,
        sandbox,
        guest,
    } = scene;
    let life = Arc::into_inner(life).expect("nobody else has it");
    life.shut_down(Drain::KeepSandboxes);
    let life = Arc::new(place.live());
    scene = Scene {
        place,
        life,
        sandbox,
        guest,
    };
    scene.life.run(async {
        let started = scene.start(shell(RUN), "k").await.expect("task");
        let started = started.expect("accepted").value;
        scene.life.wait(&started.id).await;
        assert_eq!(scene.life.output(&started.id).await, "ran\n");
    });
    scene.end();
}

/// Whoever waits goes away before there is a record: it is recorded as what it is, and never ran.
#[test]
fn an_attended_command_that_nobody_waits_for_any_more_does_not_begin() {
    Scene::play(async |scene| {
        let hold = Hold::of(&scene.place);
        let (engine, ctx) = (scene.life.engine.clone(), scene.life.ctx.clone());
        let sandbox = scene.sandbox.clone();
        let attended = tokio::spawn(async move {
            let attended = engine
                .attend_command(&ctx, &sandbox, shell(RUN), None)
                .await;
            attended.map(drop)
        });
        scene.until_processes(|count| count == 1).await;
        attended.abort();
        scene.until_processes(|count| count == 0).await;
        drop(hold);
        let page = PageRequest::default();
        let (engine, ctx) = (&scene.life.engine, &scene.life.ctx);
        let command = loop {
            let listed = engine.list_commands(ctx, &scene.sandbox, &page).await;
            let found = listed.expect("list").items.into_iter().find(|command| {
                matches!(&command.spec.program, pinfold_model::Program::Shell(line) if line == RUN)
            });
            if let Some(command) = found {
                break command;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let ended = scene.life.wait(&command.id).await;
        assert_eq!(ended.state, CommandState::Cancelled(ExitStatus::Signal(9)));
        assert_eq!(scene.runs().await, "");
    });
}
