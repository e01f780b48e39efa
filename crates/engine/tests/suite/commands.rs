//! Commands: once, with their output, ended in every way.

use std::time::Duration;

use pinfold_engine::{LogsRequest, Origin, PageRequest, RunOptions};
use pinfold_model::command::CancelMode;
use pinfold_model::journal::{RecordBody, Stream};
use pinfold_model::{Code, CommandSpec, CommandState, ExitStatus, Program, StdinMode};
use tokio::task::JoinSet;

use super::place::{Place, shell, small};

#[test]
fn a_hundred_equal_starts_run_one_process() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let mut starts = JoinSet::new();
        for _ in 0..100 {
            let (engine, ctx, sandbox) = (life.engine.clone(), life.ctx.clone(), sandbox.clone());
            let spec = shell("echo run >> /tmp/runs; cat /tmp/runs");
            starts.spawn(async move {
                engine
                    .run_command(&ctx, &sandbox, spec, Some("k"), Default::default())
                    .await
            });
        }
        let runs: Vec<_> = starts
            .join_all()
            .await
            .into_iter()
            .map(|r| r.expect("run"))
            .collect();
        assert_eq!(
            runs.iter().filter(|run| run.origin == Origin::New).count(),
            1
        );
        for run in &runs {
            assert_eq!(run.command.id, runs[0].command.id);
            assert_eq!(run.stdout, b"run\n");
            assert_eq!(run.command.state, CommandState::Exited(ExitStatus::Code(0)));
        }
        let run = async |sandbox, line| {
            let options = RunOptions::default();
            life.engine
                .run_command(&life.ctx, sandbox, shell(line), Some("k"), options)
                .await
        };
        let other = run(&sandbox, "echo x").await.expect_err("conflict");
        assert_eq!(other.code(), Code::IdempotencyConflict);
        // The key is of its operation and its sandbox.
        let another = life.sandbox().await;
        assert_eq!(run(&another, "echo x").await.expect("run").stdout, b"x\n");
        let started = life
            .engine
            .start_command(&life.ctx, &sandbox, shell("echo x"), Some("k"))
            .await;
        assert_eq!(started.expect("started").origin, Origin::New);
    });
    life.clean_up(&place);
}

#[test]
fn a_cancel_reaches_grandchildren_gracefully_and_by_force() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let polite = life
            .start(&sandbox, shell("sleep 1000 & sleep 1000; wait"))
            .await;
        let stubborn = shell("trap '' TERM; echo ready; while :; do sleep 1000; done");
        let stubborn = life.start(&sandbox, stubborn).await;
        let mut reader = life
            .engine
            .reader(&life.ctx, &stubborn, 0)
            .await
            .expect("reader");
        reader.next().await.expect("record").expect("it is ready");

        cancel(&life, &polite, CancelMode::Graceful).await;
        let ended = life.wait(&polite).await;
        assert!(
            matches!(ended.state, CommandState::Cancelled(_)),
            "{:?}",
            ended.state
        );
        assert_eq!(ended.cancel, Some(CancelMode::Graceful));

        cancel(&life, &stubborn, CancelMode::Graceful).await;
        let still = life
            .engine
            .get_command(&life.ctx, &stubborn)
            .await
            .expect("get");
        assert!(!still.state.is_terminal());
        cancel(&life, &stubborn, CancelMode::Force).await;
        let ended = life.wait(&stubborn).await;
        assert_eq!(ended.state, CommandState::Cancelled(ExitStatus::Signal(9)));
        cancel(&life, &stubborn, CancelMode::Graceful).await;
        // A command has ended when its own process has; the others were told, and end by themselves.
        let none_left = "for _ in $(seq 1000); do pgrep sleep || exit 0; done; exit 1";
        let left = life.sh(&sandbox, none_left).await;
        assert_eq!(
            left.command.state,
            CommandState::Exited(ExitStatus::Code(0))
        );
    });
    life.clean_up(&place);
}

async fn cancel(life: &super::place::Life, command: &pinfold_model::CommandId, mode: CancelMode) {
    life.engine
        .cancel_command(&life.ctx, command, mode)
        .await
        .expect("cancel");
}

#[test]
fn a_timeout_kills_and_says_so() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let spec = CommandSpec {
            timeout: Some(Duration::from_millis(200)),
            ..shell("echo before; sleep 1000")
        };
        let command = life.start(&sandbox, spec).await;
        let ended = life.wait(&command).await;
        assert_eq!(ended.state, CommandState::TimedOut(ExitStatus::Signal(9)));
        assert_eq!(life.output(&command).await, "before\n");
    });
    life.clean_up(&place);
}

#[test]
fn what_cannot_be_started_ends_with_a_reason() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let missing = CommandSpec::new(Program::Argv(vec!["/no/such/program".into()]));
        let run = life
            .engine
            .run_command(&life.ctx, &sandbox, missing, None, Default::default())
            .await
            .expect("run");
        assert_eq!(
            run.command.state,
            CommandState::Exited(ExitStatus::Code(127))
        );
        assert!(!run.stderr.is_empty());
        let nobody = CommandSpec {
            user: Some("no-such-user".into()),
            ..shell("true")
        };
        let run = life
            .engine
            .run_command(&life.ctx, &sandbox, nobody, None, Default::default())
            .await
            .expect("run");
        assert_eq!(
            run.command.state,
            CommandState::Exited(ExitStatus::Code(126))
        );
        assert!(
            String::from_utf8_lossy(&run.stderr).contains("no-such-user"),
            "{run:?}"
        );
    });
    life.clean_up(&place);
}

#[test]
fn stdin_is_fed_and_closed_and_then_refused() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let spec = CommandSpec {
            stdin: StdinMode::Open,
            ..shell("cat; echo end")
        };
        let command = life.start(&sandbox, spec).await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        engine
            .write_stdin(ctx, &command, b"one\n")
            .await
            .expect("write");
        engine
            .write_stdin(ctx, &command, b"two\n")
            .await
            .expect("write");
        engine.close_stdin(ctx, &command).await.expect("close");
        let ended = life.wait(&command).await;
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));
        assert_eq!(life.output(&command).await, "one\ntwo\nend\n");
        let late = engine
            .write_stdin(ctx, &command, b"x")
            .await
            .expect_err("ended");
        assert_eq!(late.code(), Code::CommandEnded);
        let deaf = life.start(&sandbox, shell("sleep 1000")).await;
        let refused = engine
            .write_stdin(ctx, &deaf, b"x")
            .await
            .expect_err("no stdin");
        assert_eq!(refused.code(), Code::StdinNotOpen);
    });
    life.clean_up(&place);
}

#[test]
fn a_command_ends_although_a_background_child_holds_its_output() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let line = "(while ! test -e /tmp/go; do sleep 0.05; done; echo late) & echo now";
        let output = life.sh(&sandbox, line).await;
        assert_eq!(output.stdout, b"now\n");
        life.sh(&sandbox, "touch /tmp/go").await;
        let id = output.command.id;
        let mut reader = life
            .engine
            .reader(&life.ctx, &id, 0)
            .await
            .expect("reader")
            .past_end();
        let mut text = Vec::new();
        while let Some(record) = reader.next().await.expect("record") {
            if let RecordBody::Output { bytes, .. } = record.body {
                text.extend(bytes);
            }
        }
        assert_eq!(text, b"now\nlate\n");
    });
    life.clean_up(&place);
}

#[test]
fn logs_are_paged_and_filtered_and_lists_show_what_is_true_now() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let run = life
            .sh(
                &sandbox,
                "echo a; sleep 0.05; echo b >&2; sleep 0.05; echo c",
            )
            .await;
        let mut request = LogsRequest {
            limit: 1,
            ..LogsRequest::default()
        };
        let mut seqs = Vec::new();
        loop {
            let page = life
                .engine
                .read_logs(&life.ctx, &run.command.id, request)
                .await;
            let page = page.expect("page");
            seqs.extend(page.records.iter().map(|record| record.seq));
            request.after_seq = page.next_after_seq;
            if page.at_end {
                break;
            }
        }
        let last = run.command.last_seq.expect("ended");
        assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
        let errors = LogsRequest {
            stream: Some(Stream::Stderr),
            ..LogsRequest::default()
        };
        let page = life
            .engine
            .read_logs(&life.ctx, &run.command.id, errors)
            .await
            .expect("page");
        assert_eq!(page.records.len(), 2, "one record and the end: {page:?}");
        let running = life.start(&sandbox, shell("sleep 1000")).await;
        let list = life
            .engine
            .list_commands(&life.ctx, &sandbox, &PageRequest::default())
            .await;
        let list = list.expect("list").items;
        assert_eq!(
            (&list[0].id, list[0].state),
            (&running, CommandState::Running)
        );
        assert_eq!(
            (&list[1].id, list[1].state),
            (&run.command.id, run.command.state)
        );
    });
    life.clean_up(&place);
}

#[test]
fn output_beyond_the_cap_is_cut_visibly_and_the_command_goes_on() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.create(small()).await.id;
        let spec = CommandSpec {
            output_cap_bytes: Some(1000),
            ..shell("head -c 500000 /dev/zero; echo done > /tmp/done")
        };
        let command = life.start(&sandbox, spec).await;
        let ended = life.wait(&command).await;
        assert!(ended.truncated);
        assert_eq!(ended.state, CommandState::Exited(ExitStatus::Code(0)));
        assert_eq!(life.output(&command).await.len(), 1000);
    });
    life.clean_up(&place);
}

#[test]
fn a_command_is_shown_with_its_output_once_it_has_ended() {
    let place = Place::new();
    let life = place.live();
    let (some, none) = life.run(async {
        let (engine, ctx, options) = (&life.engine, &life.ctx, RunOptions::default());
        let sandbox = life.sandbox().await;
        let line = "echo out; until test -e /tmp/go; do sleep 0.02; done";
        let running = life.start(&sandbox, shell(line)).await;
        let mut reader = engine.reader(ctx, &running, 0).await.expect("reader");
        reader.next().await.expect("record").expect("it has spoken");
        let shown = engine.command_output(ctx, &running, options).await;
        let shown = shown.expect("shown");
        assert!(!shown.command.state.is_terminal());
        assert!(shown.stdout.is_empty() && !shown.stdout_truncated);
        let silent = life.sh(&sandbox, "touch /tmp/go").await.command.id;
        life.wait(&running).await;
        let shown = engine.command_output(ctx, &running, options).await;
        assert_eq!(shown.expect("shown").stdout, b"out\n");
        let destroyed = engine.destroy_sandbox(ctx, &sandbox).await;
        destroyed.expect("destroy");
        (running, silent)
    });
    life.shut_down(pinfold_engine::Drain::DestroySandboxes);
    let journals = place.path().join("journals");
    std::fs::remove_file(journals.join(some.as_str())).expect("as after its retention");
    assert!(!journals.join(none.as_str()).exists());
    std::fs::remove_file(journals.join("silent")).expect("as after thousands of others");
    let life = place.live();
    life.run(async {
        for (id, lost) in [(&some, true), (&none, false)] {
            let options = RunOptions::default();
            let shown = life.engine.command_output(&life.ctx, id, options).await;
            let shown = shown.expect("shown");
            assert!(shown.stdout.is_empty() && shown.stderr.is_empty());
            assert_eq!(shown.stdout_truncated, lost, "{:?}", shown.command);
            assert_eq!(shown.stderr_truncated, lost);
        }
        let mut reader = (life.engine.reader(&life.ctx, &none, 0).await).expect("reader");
        let end = reader
            .next()
            .await
            .expect("record")
            .expect("its record tells");
        assert_eq!(end.seq, 1);
        assert!(matches!(end.body, RecordBody::End { .. }), "{end:?}");
        assert_eq!(reader.next().await.expect("the end"), None);
    });
    life.clean_up(&place);
}
