//! Runs of pipelines and commands that belong to whoever waits for them, with engines that die.

use std::time::Duration;

use pinfold_engine::{Origin, QuotaChange, SubmitRun};
use pinfold_model::pipeline::{OnFailure, RunState, Step};
use pinfold_model::{Code, CommandState, Ctx, PipelineRun, RunId};

use super::place::{Life, Place, shell, small};

fn run_of(scripts: &[&str]) -> SubmitRun {
    let step = |script: &&str| Step {
        name: "step".to_owned(),
        script: (*script).to_owned(),
        timeout: None,
        on_failure: OnFailure::Stop,
    };
    SubmitRun {
        steps: scripts.iter().map(step).collect(),
        timeout: None,
        sandbox: small(),
    }
}

async fn ended(life: &Life, id: RunId) -> PipelineRun {
    loop {
        let run = life.engine.get_run(&life.ctx, id).await.expect("a run");
        if run.state.is_terminal() {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_run_that_was_refused_can_be_asked_for_again_with_its_key() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let bound = QuotaChange {
            live_sandboxes: Some(Some(1)),
            ..QuotaChange::default()
        };
        let project = life.engine.create_project(&life.ctx, "tight", bound).await;
        let mut ctx: Ctx = life.ctx.clone();
        ctx.principal.project = project.expect("a project").id;
        let engine = &life.engine;
        let first = engine.create_sandbox(&ctx, small(), None).await;
        let first = first.expect("within the bound").value;

        let refused = engine.submit_run(&ctx, run_of(&["true"]), Some("k")).await;
        assert_eq!(refused.expect_err("full").code(), Code::QuotaExceeded);
        engine.destroy_sandbox(&ctx, &first.id).await.expect("room");
        let again = engine.submit_run(&ctx, run_of(&["true"]), Some("k")).await;
        let again = again.expect("accepted");
        assert_eq!(again.origin, Origin::New);
        let run = loop {
            let run = engine.get_run(&ctx, again.value.id).await.expect("a run");
            if run.state.is_terminal() {
                break run;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(run.state, RunState::Completed, "{run:?}");
    });
    life.clean_up(&place);
}

#[test]
fn a_run_goes_on_behind_a_kill_and_no_step_runs_twice() {
    let place = Place::new();
    let life = place.live();
    let id = life.run(async {
        let steps = [
            "echo first >> /tmp/log",
            "echo second >> /tmp/log; touch /tmp/begun; sleep 1",
            "test \"$(cat /tmp/log)\" = \"$(printf 'first\\nsecond')\"",
        ];
        let accepted = life
            .engine
            .submit_run(&life.ctx, run_of(&steps), None)
            .await;
        let run = accepted.expect("accepted").value;
        loop {
            let seen = life.try_sh(&run.sandbox, "test -e /tmp/begun").await;
            if seen.is_ok_and(|seen| {
                seen.command
                    .state
                    .exit_status()
                    .is_some_and(|it| it.success())
            }) {
                break run.id;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    life.crash();
    let life = place.live();
    life.run(async {
        let run = ended(&life, id).await;
        assert_eq!(run.state, RunState::Completed, "{run:?}");
        assert!(life.listed().await.iter().all(|it| !it.state.is_live()));
    });
    life.clean_up(&place);
}

#[test]
fn a_command_that_nobody_waits_for_is_killed_also_by_the_next_engine() {
    let place = Place::new();
    let life = place.live();
    let (sandbox, left) = life.run(async {
        let sandbox = life.sandbox().await;
        let attend = |line| {
            life.engine
                .attend_command(&life.ctx, &sandbox, shell(line), None)
        };
        let dropped = attend("sleep 1000").await.expect("started");
        let id = dropped.id().clone();
        drop(dropped);
        let state = life.wait(&id).await.state;
        assert!(matches!(state, CommandState::Cancelled(_)), "{state:?}");

        let left = attend("sleep 1001").await.expect("started");
        let id = left.id().clone();
        // Held until the crash, which carries out nothing that a drop begins.
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(left);
        });
        (sandbox, id)
    });
    life.crash();
    let life = place.live();
    life.run(async {
        let state = life.wait(&left).await.state;
        assert!(matches!(state, CommandState::Cancelled(_)), "{state:?}");
        let inside = life.sh(&sandbox, "pgrep -x sleep || echo none").await;
        assert_eq!(String::from_utf8_lossy(&inside.stdout), "none\n");
    });
    life.clean_up(&place);
}
