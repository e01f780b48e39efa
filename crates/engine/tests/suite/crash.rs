//! An engine that is killed, and the next one over the same directories; and guests that are.

use std::time::Duration;

use pinfold_engine::{Drain, PageRequest, RunOptions};
use pinfold_model::collect::{Collect, CollectFile, CollectOn, CollectReport};
use pinfold_model::command::Input;
use pinfold_model::sandbox::EndReason;
use pinfold_model::{Code, CommandSpec, CommandState, ExitStatus, SandboxState, StdinMode};
use pinfold_runtime::driver::DriverError;
use pinfold_runtime::guest::Guest;

use super::place::{Life, Place, shell, small};

#[test]
fn a_killed_engine_loses_no_sandbox_no_state_and_no_byte() {
    let place = Place::new();
    let life = place.live();
    let (sandbox, counting, quick) = life.run(async {
        let sandbox = life.sandbox().await;
        let line = "for i in $(seq 1 2000); do echo line $i; done; \
                    while ! test -e /tmp/go; do sleep 0.02; done; \
                    for i in $(seq 2001 4000); do echo line $i; done; exit 7";
        let counting = life.start(&sandbox, shell(line)).await;
        let quick = life
            .start(
                &sandbox,
                shell("while ! test -e /tmp/go; do sleep 0.02; done; echo q"),
            )
            .await;
        let mut reader = life
            .engine
            .reader(&life.ctx, &counting, 0)
            .await
            .expect("reader");
        reader.next().await.expect("record").expect("some output");
        (sandbox, counting, quick)
    });
    life.crash();

    let life = place.live();
    life.run(async {
        let found = life.until(&sandbox, SandboxState::Running).await;
        assert_eq!(found.id, sandbox);
        life.sh(&sandbox, "touch /tmp/go").await;
        let ended = life.wait(&counting).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(7)));
        let expected: String = (1..=4000).map(|i| format!("line {i}\n")).collect();
        assert_eq!(life.output(&counting).await, expected);
        let ended = life.wait(&quick).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));
        assert_eq!(life.output(&quick).await, "q\n");
    });
    life.clean_up(&place);
}

/// A create answers before its record says that it runs.
#[test]
fn a_sandbox_that_was_seen_running_takes_commands_at_once_after_a_kill() {
    let place = Place::new();
    for _ in 0..4 {
        let life = place.live();
        let sandbox = life.run(life.sandbox());
        life.crash();
        let life = place.live();
        life.run(async {
            assert_eq!(life.sh(&sandbox, "echo here").await.stdout, b"here\n");
            let destroyed = life.engine.destroy_sandbox(&life.ctx, &sandbox).await;
            destroyed.expect("destroy");
        });
        life.crash();
    }
    place.live().clean_up(&place);
}

#[test]
fn commands_that_end_while_no_engine_is_there_are_found_as_they_ended() {
    let place = Place::new();
    let life = place.live();
    let (sandbox, command) = life.run(async {
        let sandbox = life.sandbox().await;
        let command = life
            .start(
                &sandbox,
                shell("sleep 0.3; echo bye; touch /tmp/ended; exit 4"),
            )
            .await;
        (sandbox, command)
    });
    life.crash();
    // With no engine to ask, time is all there is; too short a wait only makes the test easier.
    std::thread::sleep(Duration::from_millis(600));
    let life = place.live();
    life.run(async {
        let ended = life.wait(&command).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(4)));
        assert_eq!(life.output(&command).await, "bye\n");
        life.until(&sandbox, SandboxState::Running).await;
    });
    life.shut_down(Drain::KeepSandboxes);
    let life = place.live();
    life.run(async {
        let again = life
            .engine
            .get_command(&life.ctx, &command)
            .await
            .expect("get");
        assert_eq!(again.state, CommandState::Exited(ExitStatus::Code(4)));
    });
    life.clean_up(&place);
}

/// Kills the engine at whatever point it has reached after ever longer times, and checks each time
/// that nothing accepted is lost and nothing runs twice.
#[test]
fn a_kill_at_any_moment_leaves_every_accepted_request_whole() {
    let place = Place::new();
    for round in 0..12_u64 {
        let life = place.live();
        let key = format!("round {round}");
        let begun = life.run(async {
            tokio::time::timeout(Duration::from_millis(round * 12), once(&life, &key)).await
        });
        drop(begun);
        life.crash();
        let life = place.live();
        life.run(async {
            let sandbox = life
                .engine
                .create_sandbox(&life.ctx, small(), Some(&key))
                .await;
            let sandbox = sandbox.expect("the same sandbox").value;
            assert_eq!(sandbox.state, SandboxState::Running, "{sandbox:?}");
            let ran = once(&life, &key).await;
            assert_eq!(ran, "ran\n", "once, and only once");
            let page = PageRequest::default();
            let commands = life
                .engine
                .list_commands(&life.ctx, &sandbox.id, &page)
                .await;
            assert_eq!(commands.expect("list").items.len(), 1);
            life.engine
                .destroy_sandbox(&life.ctx, &sandbox.id)
                .await
                .expect("destroy");
        });
        life.crash();
    }
    place.live().clean_up(&place);
}

/// Creates and runs under one key; what the command found.
async fn once(life: &Life, key: &str) -> String {
    let created = life
        .engine
        .create_sandbox(&life.ctx, small(), Some(key))
        .await;
    let sandbox = created.expect("create").value.id;
    let spec = shell("echo ran >> /tmp/runs; cat /tmp/runs");
    let run = life
        .engine
        .run_command(&life.ctx, &sandbox, spec, Some(key), Default::default());
    let run = run.await.expect("run");
    String::from_utf8(run.stdout).expect("text")
}

/// What stdin begins with is part of the start: whenever the engine dies, the command reads all of
/// it, once, and then the end.
#[test]
fn a_kill_at_any_moment_leaves_the_input_of_a_command_whole() {
    let place = Place::new();
    let life = place.live();
    let sandbox = life.run(life.sandbox());
    life.crash();
    let input: Vec<u8> = (0..300_000_u32)
        .flat_map(u32::to_le_bytes)
        .take(1 << 20)
        .collect();
    for round in 0..10_u64 {
        let key = format!("round {round}");
        let spec = || CommandSpec {
            input: Some(Input::new(input.clone()).expect("it fits")),
            ..shell(
                "echo ran >> /tmp/$KEY; cat /tmp/$KEY; sleep 0.05; cmp - /tmp/input && echo whole",
            )
        };
        let life = place.live();
        let begun = life.run(async {
            let path = "/tmp/input";
            let mut upload = life
                .sh(&sandbox, &format!("test -e {path} || exit 1"))
                .await;
            if upload.command.state != CommandState::Exited(ExitStatus::Code(0)) {
                let fill = CommandSpec {
                    input: Some(Input::new(input.clone()).expect("it fits")),
                    ..shell(&format!("cat > {path}"))
                };
                let run =
                    life.engine
                        .run_command(&life.ctx, &sandbox, fill, None, Default::default());
                upload = run.await.expect("run");
            }
            assert_eq!(
                upload.command.state,
                CommandState::Exited(ExitStatus::Code(0))
            );
            let mut spec = spec();
            spec.env.insert("KEY".to_owned(), key.replace(' ', ""));
            let run =
                life.engine
                    .run_command(&life.ctx, &sandbox, spec, Some(&key), Default::default());
            tokio::time::timeout(Duration::from_millis(round * 9), run).await
        });
        drop(begun);
        life.crash();
        let life = place.live();
        life.run(async {
            let mut spec = spec();
            spec.env.insert("KEY".to_owned(), key.replace(' ', ""));
            let run =
                life.engine
                    .run_command(&life.ctx, &sandbox, spec, Some(&key), Default::default());
            let run = run.await.expect("run");
            assert_eq!(
                String::from_utf8_lossy(&run.stdout),
                "ran\nwhole\n",
                "{run:?}"
            );
        });
        life.crash();
    }
    let inputs = |place: &Place| -> Vec<_> {
        let entries = std::fs::read_dir(place.path().join("journals")).expect("list");
        let names = entries.map(|entry| entry.expect("entry").file_name());
        names
            .filter(|name| name.to_string_lossy().contains("input"))
            .collect()
    };
    let life = place.live();
    life.run(async {
        while !inputs(&place).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    life.clean_up(&place);
}

#[test]
fn input_that_a_command_has_not_read_yet_outlives_the_engine() {
    let place = Place::new();
    let life = place.live();
    let line = "while ! test -e /tmp/go; do sleep 0.02; done; cat";
    let (sandbox, closed, open) = life.run(async {
        let sandbox = life.sandbox().await;
        let with = |stdin| CommandSpec {
            stdin,
            input: Some(Input::new(b"given\n".to_vec()).expect("small")),
            ..shell(line)
        };
        let closed = life.start(&sandbox, with(StdinMode::Null)).await;
        let open = life.start(&sandbox, with(StdinMode::Open)).await;
        (sandbox, closed, open)
    });
    life.crash();
    let life = place.live();
    life.run(async {
        let more = life
            .engine
            .write_stdin(&life.ctx, &open, b"and more\n")
            .await;
        more.expect("still open");
        let none = life.engine.write_stdin(&life.ctx, &closed, b"x").await;
        assert_eq!(none.expect_err("never open").code(), Code::StdinNotOpen);
        life.sh(&sandbox, "touch /tmp/go").await;
        let ended = life.wait(&closed).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));
        assert_eq!(life.output(&closed).await, "given\n");
        life.engine
            .close_stdin(&life.ctx, &open)
            .await
            .expect("close");
        life.wait(&open).await;
        assert_eq!(life.output(&open).await, "given\nand more\n");
    });
    life.clean_up(&place);
}

#[test]
fn a_killed_guest_loses_its_commands_and_fails_its_sandbox() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let command = life.start(&sandbox, shell("echo before; sleep 1000")).await;
        let mut reader = life
            .engine
            .reader(&life.ctx, &command, 0)
            .await
            .expect("reader");
        reader.next().await.expect("record").expect("some output");
        kill_guest(&life, &sandbox).await;
        let lost = life.wait(&command).await;
        assert_eq!(lost.state, CommandState::Lost);
        assert_eq!(lost.state.exit_status(), None);
        assert_eq!(life.output(&command).await, "before\n");
        let failed = life.until(&sandbox, SandboxState::Failed).await;
        assert_eq!(failed.reason, Some(EndReason::Lost));
        life.engine
            .destroy_sandbox(&life.ctx, &sandbox)
            .await
            .expect("destroy");
    });
    life.clean_up(&place);
}

#[test]
fn a_guest_that_dies_while_no_engine_is_there_is_found_lost() {
    let place = Place::new();
    let life = place.live();
    let (sandbox, command) = life.run(async {
        let sandbox = life.sandbox().await;
        let command = life.start(&sandbox, shell("sleep 1000")).await;
        (sandbox, command)
    });
    let guest = life.run(link(&life, &sandbox));
    let pid = guest.pid().expect("a pid");
    life.crash();
    drop(guest);
    kill(pid);
    let life = place.live();
    life.run(async {
        assert_eq!(life.wait(&command).await.state, CommandState::Lost);
        let failed = life.until(&sandbox, SandboxState::Failed).await;
        assert_eq!(failed.reason, Some(EndReason::Lost));
    });
    life.clean_up(&place);
}

/// A second link takes the place of the engine's, which takes it back at once: whoever comes late
/// tries again.
pub(crate) async fn link(life: &Life, sandbox: &pinfold_model::SandboxId) -> Guest {
    loop {
        match life.driver.attach(sandbox).await {
            Ok(guest) => return guest.expect("alive"),
            Err(DriverError::Guest(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn kill_guest(life: &Life, sandbox: &pinfold_model::SandboxId) {
    kill(link(life, sandbox).await.pid().expect("a pid"));
}

fn kill(pid: rustix::process::Pid) {
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
}

#[test]
fn a_link_that_breaks_is_restored_and_commands_go_on() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let line = "while ! test -e /tmp/go; do sleep 0.02; done; echo done";
        let command = life.start(&sandbox, shell(line)).await;
        // The guest greets one host at a time: this breaks the engine's link.
        drop(link(&life, &sandbox).await);
        life.sh(&sandbox, "touch /tmp/go").await;
        let ended = life.wait(&command).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));
        assert_eq!(life.output(&command).await, "done\n");
    });
    life.clean_up(&place);
}

#[test]
fn what_no_record_knows_is_destroyed_at_the_next_start() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        life.sandbox().await;
    });
    life.crash();
    place.forget_records();
    let life = place.live();
    life.run(async {
        while !life.driver.survey().await.expect("survey").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    life.clean_up(&place);
}

#[test]
fn files_to_collect_are_collected_when_somebody_looks_if_a_crash_came_between() {
    let place = Place::new();
    let life = place.live();
    let (sandbox, command) = life.run(async {
        let sandbox = life.sandbox().await;
        let collect = Collect {
            files: vec![CollectFile {
                path: "/tmp/out".to_owned(),
                name: None,
            }],
            on: CollectOn::Success,
            within: None,
        };
        let line = "while ! test -e /tmp/go; do sleep 0.02; done; echo kept > /tmp/out";
        let spec = CommandSpec {
            collect: Some(collect),
            ..shell(line)
        };
        let command = life.start(&sandbox, spec).await;
        (sandbox, command)
    });
    life.crash();

    let life = place.live();
    life.run(async {
        life.sh(&sandbox, "touch /tmp/go").await;
        life.wait(&command).await;
        let looks = std::iter::repeat_with(|| {
            let options = RunOptions { inline_bytes: 100 };
            life.engine.command_output(&life.ctx, &command, options)
        });
        for look in looks.take(600) {
            if let Some(report) = look.await.expect("output").collect {
                let expected = CollectReport::Done {
                    stored: 1,
                    failed: vec![],
                };
                assert_eq!(report, expected);
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let page = PageRequest::new(10, None);
        let objects = life.engine.list_objects_of(&life.ctx, &sandbox, &page);
        assert_eq!(objects.await.expect("objects").items.len(), 1);
    });
    life.clean_up(&place);
}
