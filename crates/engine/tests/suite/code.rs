//! Code contexts: what a run keeps, tells and refuses.

use std::time::Duration;

use pinfold_engine::{
    CodeEvent, CodeRun, CodeRunState, CreateCodeContext, CreateSandbox, Origin, PageRequest,
    RunCode, ShownForm,
};
use pinfold_model::{Code, CodeContext, CodeLanguage, CommandId, Result, SandboxId};

use super::place::{Life, Place, small};

pub(super) async fn try_run(life: &Life, sandbox: &SandboxId, request: RunCode) -> Result<CodeRun> {
    let run = life.engine.run_code(&life.ctx, sandbox, request, None);
    Ok(run.await?.value)
}

pub(super) async fn python(life: &Life, sandbox: &SandboxId, code: &str) -> CodeRun {
    let run = try_run(life, sandbox, RunCode::new(code)).await;
    run.expect("a run")
}

pub(super) async fn context(life: &Life, sandbox: &SandboxId) -> CodeContext {
    let request = CreateCodeContext::new(CodeLanguage::Python);
    let made = life
        .engine
        .create_code_context(&life.ctx, sandbox, request, None);
    made.await.expect("a context").value
}

pub(super) fn within(code: &str, context: &CodeContext) -> RunCode {
    RunCode {
        context: Some(context.id.clone()),
        ..RunCode::new(code)
    }
}

/// The text of the run's first output.
pub(super) fn text(run: &CodeRun) -> &str {
    let output = run.outputs.first();
    let text = output.and_then(|output| output.data.get("text/plain"));
    text.and_then(serde_json::Value::as_str)
        .unwrap_or_else(|| panic!("no text in {run:?}"))
}

pub(super) fn error(run: &CodeRun) -> &str {
    &run.error
        .as_ref()
        .unwrap_or_else(|| panic!("no error in {run:?}"))
        .name
}

#[test]
fn variables_last_from_run_to_run_and_contexts_do_not_share_them() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let first = python(&life, &sandbox, "import math\nx = 20").await;
        assert_eq!(first.state, CodeRunState::Succeeded, "{first:?}");
        assert_eq!((first.execution_count, first.restarted), (Some(1), false));
        let second = python(&life, &sandbox, "print('é\\u2028'); x + math.floor(1.5)").await;
        assert_eq!(text(&second), "21");
        assert!(second.outputs[0].is_result);
        assert_eq!(second.stdout.concat(), "é\u{2028}\n");
        assert_eq!(second.execution_count, Some(2));
        assert_eq!(first.context, second.context);

        let own = context(&life, &sandbox).await;
        let other = try_run(&life, &sandbox, within("x", &own)).await;
        assert_eq!(error(&other.expect("a run")), "NameError");
        let listed = life.engine.list_code_contexts(&life.ctx, &sandbox).await;
        let listed = listed.expect("list");
        let defaults: Vec<_> = listed.iter().map(|context| context.is_default).collect();
        assert_eq!(defaults, [true, false]);

        let page = PageRequest::default();
        let commands = life.engine.list_commands(&life.ctx, &sandbox, &page).await;
        assert!(
            commands.expect("list").items.is_empty(),
            "they are no commands of people"
        );
    });
    life.clean_up(&place);
}

#[test]
fn an_error_tells_its_story_with_the_codes_own_frames() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let run = python(
            &life,
            &sandbox,
            "def f():\n    return 1 / 0\nprint('a')\nf()",
        )
        .await;
        assert_eq!(run.state, CodeRunState::Failed);
        assert_eq!(run.stdout.concat(), "a\n");
        let raised = run.error.expect("an error");
        assert_eq!(raised.name, "ZeroDivisionError");
        assert_eq!(raised.message, "division by zero");
        assert!(
            raised.traceback.contains("return 1 / 0"),
            "{}",
            raised.traceback
        );
        assert!(
            !raised.traceback.contains("<string>"),
            "{}",
            raised.traceback
        );
        let run = python(&life, &sandbox, "a = = 1").await;
        assert_eq!(
            (error(&run), run.state),
            ("SyntaxError", CodeRunState::Failed)
        );
        let run = python(&life, &sandbox, "import sys; sys.exit(3)").await;
        assert_eq!((error(&run), run.state_kept), ("SystemExit", Some(true)));
        let run = python(&life, &sandbox, "input('name? ')").await;
        assert_eq!(error(&run), "EOFError");
        let run = python(&life, &sandbox, "f").await;
        assert_eq!(
            run.state,
            CodeRunState::Succeeded,
            "the interpreter lives on"
        );
    });
    life.clean_up(&place);
}

#[test]
fn outputs_keep_their_order_and_every_form_that_fits() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let code = "import os, sys\n\
            class Rich:\n\
            \x20   def _repr_png_(self): return b'\\x89PNG'\n\
            \x20   def _repr_html_(self): return '<b>'\n\
            \x20   def _repr_json_(self): return {'a': [1, None]}\n\
            \x20   def _repr_svg_(self): raise RuntimeError('no')\n\
            print('one')\n\
            print('two', file=sys.stderr)\n\
            print('and')\n\
            os.write(1, b'three \\xff\\n')\n\
            os.system('echo four')\n\
            display(5)\n\
            print('six')\n\
            Rich()";
        let run = python(&life, &sandbox, code).await;
        let mut events = life
            .engine
            .code_events(&life.ctx, &run.id, 0)
            .await
            .expect("events");
        let mut told = Vec::new();
        while let Some((_, event)) = events.next().await.expect("event") {
            match event {
                CodeEvent::Stdout(text) | CodeEvent::Stderr(text) => told.push(text),
                CodeEvent::Output(output) => told.push(output.data["text/plain"].to_string()),
                _ => {}
            }
        }
        let told = told.concat();
        assert!(
            told.starts_with("one\ntwo\nand\nthree \u{fffd}\nfour\n\"5\"six\n"),
            "{told}"
        );
        let rich = run.outputs.last().expect("an output");
        assert_eq!(rich.data["image/png"], "iVBORw==");
        assert_eq!(rich.data["text/html"], "<b>");
        assert_eq!(rich.data["application/json"]["a"][0], 1);
        assert_eq!(rich.rejected[0].format, "image/svg+xml");
        let run = python(&life, &sandbox, "'x' * (3 << 20)").await;
        assert_eq!(run.outputs[0].truncated, ["text/plain"]);
        assert_eq!(text(&run).len(), 1 << 20);
        // Each NUL is six bytes of an event; still all of them fit into the run's journal.
        for letter in ["x", "\\0"] {
            let flood = format!("for i in range(1200): print('{letter}' * 10000)\ndisplay(1)");
            let run = python(&life, &sandbox, &flood).await;
            assert!(run.truncated && run.state == CodeRunState::Succeeded);
            assert_eq!(text(&run), "1");
        }
        let run = python(
            &life,
            &sandbox,
            "import asyncio\nawait asyncio.sleep(0.01, 'slept')",
        )
        .await;
        assert_eq!(text(&run), "'slept'");
    });
    life.clean_up(&place);
}

#[test]
fn a_run_over_its_time_is_interrupted_and_its_variables_stay() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let brief = |code: &str| RunCode {
            timeout: Some(Duration::from_millis(700)),
            ..RunCode::new(code)
        };
        python(&life, &sandbox, "x = 1").await;
        let run = try_run(
            &life,
            &sandbox,
            brief("import time\nx = 2\ntime.sleep(100)"),
        )
        .await;
        let run = run.expect("a run");
        assert_eq!(
            (run.state, run.state_kept),
            (CodeRunState::TimedOut, Some(true))
        );
        assert_eq!(error(&run), "KeyboardInterrupt");
        assert_eq!(text(&python(&life, &sandbox, "x").await), "2");

        let deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass";
        let run = try_run(&life, &sandbox, brief(deaf)).await.expect("a run");
        assert_eq!(
            (run.state, run.state_kept),
            (CodeRunState::TimedOut, Some(false))
        );
        let run = python(&life, &sandbox, "x").await;
        assert!(run.restarted, "the loss is told: {run:?}");
        assert_eq!(error(&run), "NameError");
    });
    life.clean_up(&place);
}

#[test]
fn one_key_runs_code_once_and_not_another_code() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let run = |code| {
            life.engine
                .run_code(&life.ctx, &sandbox, RunCode::new(code), Some("k"))
        };
        let code = "n = globals().get('n', 0) + 1; n";
        let (first, second) = tokio::join!(run(code), run(code));
        let (first, second) = (first.expect("run"), second.expect("run"));
        assert_eq!(first.value, second.value);
        assert_eq!(text(&run(code).await.expect("run").value), "1");
        assert_eq!(run(code).await.expect("run").origin, Origin::Replay);
        let other = run("other").await.expect_err("another request");
        assert_eq!(other.code(), Code::IdempotencyConflict);
        // The same key names another run where the operation or the sandbox is another.
        let engine = &life.engine;
        let started = engine.start_code(&life.ctx, &sandbox, RunCode::new("n"), Some("k"));
        assert_eq!(started.await.expect("start").origin, Origin::New);
        let elsewhere = life.sandbox().await;
        let there = engine.run_code(&life.ctx, &elsewhere, RunCode::new(code), Some("k"));
        assert_eq!(text(&there.await.expect("run").value), "1");
    });
    life.clean_up(&place);
}

#[test]
fn what_code_shows_is_kept_once_and_of_runs_alone() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let sandbox = life.sandbox().await;
        let run = python(&life, &sandbox, "1").await;
        let command = life.sh(&sandbox, "true").await.command;
        let form = |run: &CommandId, output| ShownForm {
            run: run.clone(),
            output,
            media: "image/png".to_owned(),
            bytes: b"png".as_slice().into(),
            name: format!("output-{output}.png"),
        };
        let keep = |run, output| engine.create_object_from_code(ctx, form(run, output));
        let (first, again) = tokio::join!(keep(&run.id, 1), keep(&run.id, 1));
        let (first, again) = (first.expect("kept"), again.expect("kept"));
        assert_eq!(first.value, again.value);
        let object = first.value;
        assert_eq!(
            (object.size_bytes, object.content_type.as_str()),
            (Some(3), "image/png")
        );
        let source = object.source.clone().expect("from a sandbox");
        assert_eq!((source.sandbox, source.path), (sandbox.clone(), None));
        let other = keep(&run.id, 2).await.expect("another output").value;
        assert_ne!(other.id, object.id);
        let refused = keep(&command.id, 1).await.expect_err("no run of code");
        assert_eq!(refused.code(), Code::CommandNotFound);
        let page = PageRequest::default();
        let listed = engine.list_objects_of(ctx, &sandbox, &page).await;
        assert_eq!(listed.expect("list").items, [other, object.clone()]);
        engine
            .destroy_sandbox(ctx, &sandbox)
            .await
            .expect("destroy");
        assert_eq!(keep(&run.id, 1).await.expect("the same").value, object);
    });
    life.clean_up(&place);
}

#[test]
fn a_deleted_context_takes_its_processes_along_and_is_not_found() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let own = context(&life, &sandbox).await;
        let request = within(
            "import subprocess\nsubprocess.Popen(['sleep', '1234'])",
            &own,
        );
        try_run(&life, &sandbox, request).await.expect("a run");
        let again = life
            .engine
            .restart_code_context(&life.ctx, &own.id)
            .await
            .expect("restart");
        assert_eq!(again.generation, own.generation + 1);
        let fresh = try_run(&life, &sandbox, within("subprocess", &own))
            .await
            .expect("a run");
        assert_eq!((error(&fresh), fresh.restarted), ("NameError", true));
        life.engine
            .delete_code_context(&life.ctx, &own.id)
            .await
            .expect("delete");
        let left = life
            .sh(&sandbox, "cat /proc/*/cmdline | tr '\\0' ' '")
            .await;
        let left = String::from_utf8_lossy(&left.stdout).into_owned();
        assert!(
            !left.contains("python3") && !left.contains("1234"),
            "{left}"
        );
        let gone = try_run(&life, &sandbox, within("1", &own))
            .await
            .expect_err("gone");
        assert_eq!(gone.code(), Code::CodeContextNotFound);
        let gone = life
            .engine
            .delete_code_context(&life.ctx, &own.id)
            .await
            .expect_err("gone");
        assert_eq!(gone.code(), Code::CodeContextNotFound);
    });
    life.clean_up(&place);
}

#[test]
fn what_cannot_run_is_refused_and_leaves_no_context() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let long = try_run(&life, &sandbox, RunCode::new("#".repeat((256 << 10) + 1))).await;
        assert_eq!(long.expect_err("too long").code(), Code::BodyTooLarge);
        let longest = format!("x = '{}'\nlen(x)", "ü".repeat(100_000));
        assert_eq!(text(&python(&life, &sandbox, &longest).await), "100000");
        let nul = python(&life, &sandbox, "1 # \0").await;
        assert_eq!(nul.state, CodeRunState::Failed);
        let elsewhere = CreateCodeContext {
            cwd: Some("/no/such/place".to_owned()),
            ..CreateCodeContext::new(CodeLanguage::Python)
        };
        let refused = life
            .engine
            .create_code_context(&life.ctx, &sandbox, elsewhere, None)
            .await;
        assert_eq!(
            refused.expect_err("no directory").code(),
            Code::InvalidArgument
        );
        let listed = life
            .engine
            .list_code_contexts(&life.ctx, &sandbox)
            .await
            .expect("list");
        assert_eq!(listed.len(), 1, "{listed:?}");
    });
    life.clean_up(&place);
}

#[test]
fn javascript_keeps_its_declarations_and_knows_await_and_imports() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life
            .create(CreateSandbox {
                memory_mib: Some(1024),
                ..small()
            })
            .await
            .id;
        let javascript = |code: &str, timeout| {
            let request = RunCode {
                language: Some(CodeLanguage::Javascript),
                timeout: Some(Duration::from_millis(timeout)),
                ..RunCode::new(code)
            };
            let (life, sandbox) = (&life, &sandbox);
            async move { try_run(life, sandbox, request).await.expect("a run") }
        };
        let run = javascript(
            "const x = 1; let y = 2; console.log('a'); console.error('b'); x + y",
            30_000,
        )
        .await;
        assert_eq!(text(&run), "3", "{run:?}");
        assert_eq!(
            (run.stdout.concat(), run.stderr.concat()),
            ("a\n".into(), "b\n".into())
        );
        let run = javascript(
            "const x = 40; await new Promise(r => setTimeout(r, 5)); x + y",
            30_000,
        )
        .await;
        assert_eq!(text(&run), "42");
        let code = "import fs, { readFileSync as read } from 'node:fs';\nfs.readFileSync === read";
        assert_eq!(text(&javascript(code, 30_000).await), "true");
        let run = javascript("function f() { throw new TypeError('bad') }\nf()", 30_000).await;
        assert_eq!(
            (error(&run), run.state),
            ("TypeError", CodeRunState::Failed)
        );
        let run = javascript("console.log('in'); while (true) {}", 1500).await;
        assert_eq!(
            (run.state, run.state_kept),
            (CodeRunState::TimedOut, Some(true))
        );
        let run = javascript("await new Promise(() => {})", 700).await;
        assert_eq!(
            (run.state, run.state_kept),
            (CodeRunState::TimedOut, Some(true))
        );
        assert_eq!(text(&javascript("x", 30_000).await), "40");
        let run = javascript("process.kill(process.pid, 'SIGKILL')", 30_000).await;
        assert_eq!(
            (run.state, run.state_kept),
            (CodeRunState::Died, Some(false))
        );
        let run = javascript("typeof x", 30_000).await;
        assert_eq!((text(&run), run.restarted), ("'undefined'", true));
    });
    life.clean_up(&place);
}

#[test]
fn typescript_runs_or_says_what_it_lacks() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life
            .create(CreateSandbox {
                memory_mib: Some(1024),
                ..small()
            })
            .await
            .id;
        let request = RunCode {
            language: Some(CodeLanguage::Typescript),
            ..RunCode::new("const n: number = 1; n")
        };
        match try_run(&life, &sandbox, request).await {
            Ok(run) => assert_eq!(text(&run), "1"),
            Err(refused) => {
                assert_eq!(refused.code(), Code::UnsupportedCodeLanguage);
                assert!(refused.message().contains("22.13"), "{}", refused.message());
                let listed = life.engine.list_code_contexts(&life.ctx, &sandbox).await;
                assert!(listed.expect("list").is_empty(), "nothing is left of it");
            }
        }
    });
    life.clean_up(&place);
}
