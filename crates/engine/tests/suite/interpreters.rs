//! Interpreters of code contexts: dying, replaced, waited for, interrupted, and outliving the engine.

use pinfold_engine::{CodeEvent, CodeRunState, CreateCodeContext, RunCode};
use pinfold_model::command::CancelMode;
use pinfold_model::{Code, CodeLanguage};
use std::time::Duration;

use super::code::{context, python, text, try_run, within};
use super::place::Place;

#[test]
fn an_interpreter_that_dies_is_told_and_replaced() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let run = python(&life, &sandbox, "print('before')\nimport os\nos._exit(7)").await;
        assert_eq!(
            (run.state, run.state_kept),
            (CodeRunState::Died, Some(false))
        );
        assert_eq!(run.stdout.concat(), "before\n");
        assert!(run.error.expect("why").message.contains("code 7"));
        let run = python(&life, &sandbox, "import ctypes; ctypes.string_at(0)").await;
        assert!(run.restarted);
        assert!(run.error.expect("why").message.contains("SIGSEGV"));
        // Its parent, too.
        let run = python(
            &life,
            &sandbox,
            "import os; os.kill(os.getppid(), 9); os._exit(1)",
        )
        .await;
        assert_eq!(run.state, CodeRunState::Died);
        let run = python(&life, &sandbox, "'back'").await;
        assert!(run.restarted, "{run:?}");
        assert_eq!(text(&run), "'back'");
    });
    life.clean_up(&place);
}

#[test]
fn an_interpreter_that_cannot_be_reached_is_replaced() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let hide = "import glob, os\nfor base in ('/dev/shm', '/tmp'):\n\
                    \x20   for path in glob.glob(base + '/.pinfold-*/socket'): os.remove(path)";
        let run = python(&life, &sandbox, hide).await;
        assert_eq!(run.state, CodeRunState::Succeeded, "{run:?}");
        let run = python(&life, &sandbox, "1").await;
        assert_eq!(
            (run.state, run.state_kept),
            (CodeRunState::Died, Some(false))
        );
        let run = python(&life, &sandbox, "'back'").await;
        assert!(run.restarted, "{run:?}");
        assert_eq!(text(&run), "'back'");
    });
    life.clean_up(&place);
}

#[test]
fn a_context_whose_interpreter_could_not_start_recovers() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        life.sh(&sandbox, "mkdir /tmp/w").await;
        let request = CreateCodeContext {
            cwd: Some("/tmp/w".to_owned()),
            ..CreateCodeContext::new(CodeLanguage::Python)
        };
        let made = life
            .engine
            .create_code_context(&life.ctx, &sandbox, request, None);
        let own = made.await.expect("a context").value;
        let end = "import os\nos.rmdir('/tmp/w')\nos.kill(os.getppid(), 9)\nos._exit(1)";
        let run = try_run(&life, &sandbox, within(end, &own)).await;
        assert_eq!(run.expect("a run").state, CodeRunState::Died);
        let refused = try_run(&life, &sandbox, within("1", &own)).await;
        assert_eq!(
            refused.expect_err("no directory").code(),
            Code::InvalidArgument
        );
        life.sh(&sandbox, "mkdir /tmp/w").await;
        let run = try_run(&life, &sandbox, within("1", &own)).await;
        assert!(run.expect("a run").restarted);
    });
    life.clean_up(&place);
}

#[test]
fn runs_begin_in_the_order_in_which_they_were_accepted() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        for (language, first, shown) in [
            (CodeLanguage::Python, "order = []", "str(order)"),
            (
                CodeLanguage::Javascript,
                "let order = [];",
                "order.join(', ')",
            ),
        ] {
            let made = CreateCodeContext::new(language);
            let engine = &life.engine;
            let own = engine.create_code_context(&life.ctx, &sandbox, made, None);
            let own = own.await.expect("a context").value;
            let begun = try_run(&life, &sandbox, within(first, &own)).await;
            begun.expect("a run");
            let add = ["order.append", "order.push"][usize::from(first.starts_with("let"))];
            for n in 0..24 {
                let request = within(&format!("{add}({n})"), &own);
                let run = engine.start_code(&life.ctx, &sandbox, request, None);
                run.await.expect("start");
            }
            let last = try_run(&life, &sandbox, within(shown, &own)).await;
            let numbers: Vec<String> = (0..24).map(|n: u32| n.to_string()).collect();
            let last = last.expect("a run");
            assert!(text(&last).contains(&numbers.join(", ")), "{last:?}");
        }
    });
    life.clean_up(&place);
}

#[test]
fn an_interrupt_that_comes_before_the_code_costs_no_variables() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        // Its next worker is a fresh one, which takes a while to come up.
        python(&life, &sandbox, "import os; os._exit(1)").await;
        let hasty = RunCode {
            timeout: Some(Duration::from_millis(1)),
            ..RunCode::new("import time; time.sleep(60)")
        };
        let run = try_run(&life, &sandbox, hasty).await.expect("a run");
        assert_eq!(
            (run.state, run.state_kept),
            (CodeRunState::TimedOut, Some(true)),
            "{run:?}"
        );
    });
    life.clean_up(&place);
}

#[test]
fn runs_of_a_context_wait_for_each_other_and_an_interrupt_ends_one() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let own = context(&life, &sandbox).await;
        let start = |code| {
            let request = within(code, &own);
            async {
                life.engine
                    .start_code(&life.ctx, &sandbox, request, None)
                    .await
                    .expect("start")
                    .value
            }
        };
        let first = start("import time\nprint('up', flush=True)\nn = 1\ntime.sleep(100)").await;
        let mut events = life
            .engine
            .code_events(&life.ctx, &first.id, 0)
            .await
            .expect("events");
        while let Some((_, event)) = events.next().await.expect("event") {
            if event == CodeEvent::Stdout("up\n".to_owned()) {
                break;
            }
        }
        let second = start("n + 1").await;
        let elsewhere = python(&life, &sandbox, "'not held up'").await;
        assert_eq!(text(&elsewhere), "'not held up'");
        let state = life
            .engine
            .get_code_run(&life.ctx, &second.id)
            .await
            .expect("get")
            .state;
        assert_eq!(state, CodeRunState::Queued);
        let stopped = life
            .engine
            .interrupt_code(&life.ctx, &first.id)
            .await
            .expect("stop");
        assert_eq!(stopped.state, CodeRunState::Interrupted);
        assert_eq!(stopped.state_kept, Some(true));
        life.wait(&second.id).await;
        let second = life
            .engine
            .get_code_run(&life.ctx, &second.id)
            .await
            .expect("get");
        assert_eq!(text(&second), "2");
        // A forced cancel of its command is an interrupt all the same.
        let third = start("import time; time.sleep(100)").await;
        let cancelled = life
            .engine
            .cancel_command(&life.ctx, &third.id, CancelMode::Force)
            .await;
        cancelled.expect("cancel");
        life.wait(&third.id).await;
        let last = try_run(&life, &sandbox, within("n", &own))
            .await
            .expect("a run");
        assert_eq!(text(&last), "1");
    });
    life.clean_up(&place);
}

#[test]
fn a_killed_engine_loses_no_context_and_no_run() {
    let place = Place::new();
    let life = place.live();
    let (sandbox, run) = life.run(async {
        let sandbox = life.sandbox().await;
        python(&life, &sandbox, "x = 41").await;
        let code = "import os, time\nprint('before', flush=True)\n\
                    while not os.path.exists('/tmp/go'): time.sleep(0.02)\nprint('after')\nx + 1";
        let run = RunCode::new(code);
        let run = life
            .engine
            .start_code(&life.ctx, &sandbox, run, Some("k"))
            .await;
        (sandbox, run.expect("start").value)
    });
    life.crash();
    let life = place.live();
    life.run(async {
        life.sh(&sandbox, "touch /tmp/go").await;
        life.wait(&run.id).await;
        let mut events = life
            .engine
            .code_events(&life.ctx, &run.id, 0)
            .await
            .expect("events");
        let mut seen = Vec::new();
        while let Some(event) = events.next().await.expect("event") {
            seen.push(event);
        }
        let mut rest = life
            .engine
            .code_events(&life.ctx, &run.id, 2)
            .await
            .expect("events");
        assert_eq!(rest.next().await.expect("event").as_ref(), seen.get(2));
        let beyond = life.engine.code_events(&life.ctx, &run.id, u64::MAX);
        let mut beyond = beyond.await.expect("events");
        assert_eq!(beyond.next().await.expect("event").as_ref(), seen.last());
        assert_eq!(beyond.next().await.expect("the end"), None);
        let done = life
            .engine
            .get_code_run(&life.ctx, &run.id)
            .await
            .expect("get");
        assert_eq!(done.stdout.concat(), "before\nafter\n");
        assert_eq!((text(&done), done.state), ("42", CodeRunState::Succeeded));
        assert_eq!(text(&python(&life, &sandbox, "x").await), "41");
    });
    life.clean_up(&place);
}
