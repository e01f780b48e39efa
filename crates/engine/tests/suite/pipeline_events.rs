//! Following runs of pipelines: from anywhere, through crashes, after their end.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{
    CreateKey, CreateSandbox, EngineConfig, PageRequest, QuotaChange, ReportBounds, RunEvent,
    RunReader, SubmitRun,
};
use pinfold_model::pipeline::{OnFailure, RunState, Step, StepState};
use pinfold_model::{Code, Ctx, KeyKind, Role, RunId, SandboxState};

use super::clock::ManualClock;
use super::place::{DEADLINE, Life, Place, small};

type Told = (u64, RunEvent);

fn step(script: &str, on_failure: OnFailure) -> Step {
    Step {
        name: script.chars().take(8).collect(),
        script: script.to_owned(),
        timeout: None,
        on_failure,
    }
}

fn run_of(scripts: &[&str]) -> SubmitRun {
    SubmitRun {
        steps: scripts
            .iter()
            .map(|script| step(script, OnFailure::Stop))
            .collect(),
        timeout: None,
        sandbox: small(),
    }
}

async fn submitted(life: &Life, request: SubmitRun) -> RunId {
    let accepted = life.engine.submit_run(&life.ctx, request, None).await;
    accepted.expect("accepted").value.id
}

async fn reader(life: &Life, id: RunId, after_seq: u64) -> RunReader {
    let reader = life.engine.follow_run(&life.ctx, id, after_seq).await;
    reader.expect("a run")
}

async fn next(reader: &mut RunReader) -> Option<Told> {
    let next = tokio::time::timeout(DEADLINE, reader.next()).await;
    next.expect("in time").expect("an event")
}

async fn all(mut reader: RunReader) -> Vec<Told> {
    let mut told = Vec::new();
    while let Some(event) = next(&mut reader).await {
        told.push(event);
    }
    told
}

/// One line an event, with neighbouring output of a stream joined.
fn lines(told: &[Told]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (_, event) in told {
        let line = match event {
            RunEvent::StepStarted { step, .. } => format!("{step} started"),
            RunEvent::Output {
                step,
                stream,
                bytes,
                ..
            } => {
                let (head, text) = (
                    format!("{step} {stream:?} "),
                    String::from_utf8_lossy(bytes),
                );
                match lines.last_mut() {
                    Some(last) if last.starts_with(&head) => {
                        last.push_str(&text);
                        continue;
                    }
                    _ => format!("{head}{text}"),
                }
            }
            RunEvent::Truncated { step } => format!("{step} truncated"),
            RunEvent::StepEnded { step, result, .. } => {
                format!("{step} {:?} {:?}", result.state, result.exit_code)
            }
            RunEvent::Ended(run) => format!("{:?}", run.state),
        };
        lines.push(line);
    }
    lines
}

#[test]
fn a_run_is_told_in_order_and_can_be_taken_up_behind_every_event() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let mut request = run_of(&["echo one", "echo two >&2; exit 3", "exit 7", "echo never"]);
        request.steps[1].on_failure = OnFailure::Continue;
        let id = submitted(&life, request).await;
        // From before anything happened.
        let told = all(reader(&life, id, 0).await).await;
        let expected = [
            "0 started",
            "0 Stdout one\n",
            "0 Passed Some(0)",
            "1 started",
            "1 Stderr two\n",
            "1 Failed Some(3)",
            "2 started",
            "2 Failed Some(7)",
            "3 Skipped None",
            "Failed",
        ];
        assert_eq!(lines(&told), expected);
        assert!(
            told.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "{told:?}"
        );
        let RunEvent::Ended(run) = &told.last().expect("an end").1 else {
            panic!("{told:?}");
        };
        assert!(run.ended_at.is_some());
        for (at, (seq, _)) in told.iter().enumerate().take(told.len() - 1) {
            assert_eq!(all(reader(&life, id, *seq).await).await, told[at + 1..]);
        }
        // Behind the end there is the end.
        for beyond in [told.last().expect("an end").0, 1 << 52] {
            let again = all(reader(&life, id, beyond).await).await;
            assert_eq!(lines(&again), ["Failed"]);
            assert!(again[0].0 > beyond);
        }
    });
    life.clean_up(&place);
}

#[test]
fn output_comes_while_a_step_runs_and_through_a_crash_nothing_is_missing_or_twice() {
    let place = Place::new();
    let life = place.live();
    let script = "echo begun; until test -e /tmp/go; do sleep 0.02; done; echo gone";
    let (id, mut told) = life.run(async {
        let id = submitted(&life, run_of(&[script, "echo after"])).await;
        let mut reader = reader(&life, id, 0).await;
        let first = next(&mut reader).await.expect("a start");
        let second = next(&mut reader).await.expect("output of a step that runs");
        assert_eq!(lines(std::slice::from_ref(&second)), ["0 Stdout begun\n"]);
        (id, vec![first, second])
    });
    life.crash();
    let life = place.live();
    life.run(async {
        // At once, when the journal may have no writer yet.
        let reader = reader(&life, id, told.last().expect("an event").0).await;
        let sandbox = life
            .engine
            .get_run(&life.ctx, id)
            .await
            .expect("a run")
            .sandbox;
        life.sh(&sandbox, "touch /tmp/go").await;
        told.extend(all(reader).await);
        let expected = [
            "0 started",
            "0 Stdout begun\ngone\n",
            "0 Passed Some(0)",
            "1 started",
            "1 Stdout after\n",
            "1 Passed Some(0)",
            "Completed",
        ];
        assert_eq!(lines(&told), expected);
    });
    life.clean_up(&place);
}

#[test]
fn a_step_that_ran_is_told_as_such_also_where_the_time_was_over_before_the_next_engine() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    let timeout = Duration::from_secs(60);
    let id = life.run(async {
        let request = SubmitRun {
            timeout: Some(timeout),
            ..run_of(&["echo begun; sleep 1000", "echo never"])
        };
        let id = submitted(&life, request).await;
        let mut reader = reader(&life, id, 0).await;
        next(&mut reader).await.expect("a start");
        let output = next(&mut reader).await.expect("output");
        assert_eq!(lines(&[output]), ["0 Stdout begun\n"]);
        id
    });
    life.crash();
    clock.forward(timeout);
    let life = place.live_with(EngineConfig::default(), clock);
    life.run(async {
        let expected = [
            "0 started",
            "0 Stdout begun\n",
            "0 Failed Some(124)",
            "1 Skipped None",
            "Failed",
        ];
        let told = all(reader(&life, id, 0).await).await;
        assert_eq!(lines(&told), expected);
    });
    life.clean_up(&place);
}

#[test]
fn a_cancel_ends_the_step_the_run_and_its_sandbox() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let id = submitted(&life, run_of(&["echo begun; sleep 1000", "echo never"])).await;
        let mut reader = reader(&life, id, 0).await;
        next(&mut reader).await.expect("a start");
        next(&mut reader).await.expect("output");
        let run = life.engine.cancel_run(&life.ctx, id).await.expect("a run");
        assert!(run.cancel);
        let told = lines(&all(reader).await);
        assert_eq!(told, ["0 Failed Some(137)", "1 Skipped None", "Cancelled"]);
        assert!(life.listed().await.iter().all(|it| !it.state.is_live()));
        let again = life.engine.cancel_run(&life.ctx, id).await.expect("a run");
        assert_eq!(again.state, RunState::Cancelled);
    });
    life.clean_up(&place);
}

#[test]
fn output_that_is_no_longer_kept_is_told_to_be_missing() {
    let place = Place::new();
    let life = place.live();
    let (id, command) = life.run(async {
        let id = submitted(&life, run_of(&["echo out"])).await;
        all(reader(&life, id, 0).await).await;
        let run = life.engine.get_run(&life.ctx, id).await.expect("a run");
        (id, run.steps[0].command.clone().expect("it ran"))
    });
    life.shut_down(pinfold_engine::Drain::DestroySandboxes);
    let journal = place.path().join("journals").join(command.as_str());
    std::fs::remove_file(journal).expect("as after its retention");
    let life = place.live();
    life.run(async {
        let told = all(reader(&life, id, 0).await).await;
        let expected = ["0 started", "0 truncated", "0 Passed Some(0)", "Completed"];
        assert_eq!(lines(&told), expected);
        let rest = all(reader(&life, id, told[1].0).await).await;
        assert_eq!(rest, told[2..]);
        let bounds = ReportBounds {
            stream_bytes: 10,
            total_bytes: 10,
        };
        let report = life.engine.report_run(&life.ctx, id, bounds).await;
        assert!(report.expect("a report").output[0].stdout_truncated);
    });
    life.clean_up(&place);
}

#[test]
fn a_report_holds_no_more_than_asked_for_and_says_so() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let id = submitted(&life, run_of(&["echo 12345; echo abc >&2", "echo 6789"])).await;
        all(reader(&life, id, 0).await).await;
        let output = async |stream_bytes, total_bytes| {
            let bounds = ReportBounds {
                stream_bytes,
                total_bytes,
            };
            let report = life.engine.report_run(&life.ctx, id, bounds).await;
            report.expect("a report").output
        };
        let whole = output(100, 100).await;
        assert_eq!(whole[0].stdout, b"12345\n");
        assert_eq!(whole[0].stderr, b"abc\n");
        assert!(!whole[0].stdout_truncated && !whole[1].stdout_truncated);
        let cut = output(3, 5).await;
        assert_eq!(
            (&*cut[0].stdout, &*cut[0].stderr),
            (&b"123"[..], &b"ab"[..])
        );
        assert!(cut[0].stdout_truncated && cut[0].stderr_truncated);
        assert!(cut[1].stdout.is_empty() && cut[1].stdout_truncated);
        assert!(!cut[1].stderr_truncated, "it wrote nothing there");
    });
    life.clean_up(&place);
}

#[test]
fn runs_of_other_projects_do_not_exist_and_lists_know_states() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let engine = &life.engine;
        let passed = submitted(&life, run_of(&["true"])).await;
        let failed = submitted(&life, run_of(&["false"])).await;
        for id in [passed, failed] {
            all(reader(&life, id, 0).await).await;
        }
        let page = PageRequest::default();
        let listed = async |ctx: &Ctx, state| {
            let found = engine.list_runs(ctx, state, &page).await.expect("a list");
            found.items.iter().map(|run| run.id).collect::<Vec<_>>()
        };
        assert_eq!(listed(&life.ctx, None).await, [failed, passed]);
        let only = Some(RunState::Failed);
        assert_eq!(listed(&life.ctx, only).await, [failed]);

        let other = engine
            .create_project(&life.ctx, "other", QuotaChange::default())
            .await;
        let mut stranger: Ctx = life.ctx.clone();
        stranger.principal.project = other.expect("a project").id;
        stranger.principal.role = Role::Member;
        assert!(listed(&stranger, None).await.is_empty());
        let code = |error: pinfold_model::Error| error.code();
        let bounds = ReportBounds {
            stream_bytes: 0,
            total_bytes: 0,
        };
        assert_eq!(
            [
                engine.get_run(&stranger, passed).await.map_err(code).err(),
                engine
                    .cancel_run(&stranger, passed)
                    .await
                    .map_err(code)
                    .err(),
                engine
                    .follow_run(&stranger, passed, 0)
                    .await
                    .map_err(code)
                    .err(),
                engine
                    .report_run(&stranger, passed, bounds)
                    .await
                    .map_err(code)
                    .err(),
            ],
            [Some(Code::RunNotFound); 4]
        );
    });
    life.clean_up(&place);
}

#[test]
fn the_sandbox_of_a_run_counts_for_the_quota_of_its_key_also_after_a_crash() {
    let place = Place::new();
    let life = place.live();
    let id = life.run(async {
        let bounded = bounded_key(&life).await;
        let engine = &life.engine;
        let request = run_of(&["until test -e /tmp/go; do sleep 0.02; done"]);
        let run = engine.submit_run(&bounded, request, None).await;
        let id = run.expect("within the quota").value.id;
        let second = engine.submit_run(&bounded, run_of(&["true"]), None).await;
        assert_eq!(second.expect_err("full").code(), Code::QuotaExceeded);
        let sandbox = engine.create_sandbox(&bounded, small(), None).await;
        assert_eq!(sandbox.expect_err("full").code(), Code::QuotaExceeded);
        id
    });
    life.crash();
    let life = place.live();
    life.run(async {
        let engine = &life.engine;
        let run = engine.get_run(&life.ctx, id).await.expect("a run");
        let key = run.spec.key.clone().expect("it came with a key");
        let mut bounded = life.ctx.clone();
        bounded.principal.key = Some(key);
        let more = engine.create_sandbox(&bounded, small(), None).await;
        assert_eq!(more.expect_err("still full").code(), Code::QuotaExceeded);
        // The run may have been a sandbox being made when its engine died.
        life.until(&run.sandbox, SandboxState::Running).await;
        life.sh(&run.sandbox, "touch /tmp/go").await;
        let told = all(reader(&life, id, 0).await).await;
        let (_, last) = told.last().expect("an end");
        assert!(matches!(last, RunEvent::Ended(run) if run.steps[0].state == StepState::Passed));
        // Whoever sees a run ended finds its room free.
        let request = CreateSandbox {
            wait: pinfold_engine::Wait::No,
            ..small()
        };
        let room = engine.create_sandbox(&bounded, request, None).await;
        room.expect("room again");
    });
    life.clean_up(&place);
}

/// A caller whose key may have one live sandbox.
async fn bounded_key(life: &Life) -> Ctx {
    let request = CreateKey {
        name: "bounded".to_owned(),
        role: Role::Member,
        kind: KeyKind::Agent,
        project: None,
        expires: None,
        scopes: pinfold_model::Scopes::All,
        quota: QuotaChange {
            live_sandboxes: Some(Some(1)),
            ..QuotaChange::default()
        },
    };
    let made = life.engine.create_key(&life.ctx, request).await;
    let secret = made.expect("a key").secret;
    let principal = life.engine.authenticate(&secret).await;
    Ctx::new(principal.expect("a good key"))
}
