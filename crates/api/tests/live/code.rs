//! Code contexts and their runs over the wire.

use pinfold_sdk::{
    CodeEvent, CodeLanguage, CodeRunState, CreateCodeContext, ErrorCode, RunCode, StartCommand,
};

use super::Server;

fn code(text: &str) -> RunCode {
    RunCode {
        code: text.to_owned(),
        ..RunCode::default()
    }
}

#[tokio::test]
async fn code_runs_in_contexts_and_its_events_are_followed_across_connections() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox().await;
    let runs = server.client.code();
    let first = runs.run(&sandbox, &code("x = 20")).await.expect("run");
    assert_eq!(first.state, CodeRunState::Succeeded, "{first:?}");
    let second = runs.run(&sandbox, &code("print('a')\nx + 1")).await;
    let second = second.expect("run");
    assert_eq!(second.outputs[0].data["text/plain"], "21");
    assert_eq!(second.stdout, ["a\n"]);

    let waiting = "import os, time\nprint('before', flush=True)\n\
                   while not os.path.exists('/tmp/go'): time.sleep(0.02)\nprint('after')\n1 / 0";
    let started = runs.start(&sandbox, &code(waiting)).await.expect("start");
    let mut events = runs.stream(&started.id, 0);
    let mut told = Vec::new();
    while let Some(event) = events.next().await.expect("event") {
        let is_before = matches!(&event, CodeEvent::Stdout { data, .. } if data == "before\n");
        assert_eq!(
            event.seq(),
            told.len() as u64 + 1,
            "no gap and nothing twice"
        );
        told.push(event);
        if is_before {
            server.restart_listener().await;
            let go = StartCommand {
                shell: Some("touch /tmp/go".into()),
                ..StartCommand::default()
            };
            server
                .client
                .commands()
                .run(&sandbox, &go)
                .await
                .expect("go");
        }
    }
    let Some(CodeEvent::Complete { run, .. }) = told.last() else {
        panic!("no end: {told:?}");
    };
    assert_eq!(run.state, CodeRunState::Failed);
    assert_eq!(run.error.as_ref().expect("why").name, "ZeroDivisionError");
    assert_eq!(run.stdout.concat(), "before\nafter\n");
    assert_eq!(&**run, &runs.get(&started.id).await.expect("get"));

    let request = CreateCodeContext {
        language: CodeLanguage::Python,
        cwd: Some("/tmp".into()),
        timeout_ms: Some(5000),
        idle_timeout_ms: None,
    };
    let own = runs.create_context(&sandbox, &request).await.expect("make");
    let within = |text| RunCode {
        context_id: Some(own.id.clone()),
        ..code(text)
    };
    let place = runs.run(&sandbox, &within("import os; os.getcwd()")).await;
    assert_eq!(place.expect("run").outputs[0].data["text/plain"], "'/tmp'");
    let sleeping = within("import time; time.sleep(1000)");
    let sleeping = runs.start(&sandbox, &sleeping).await.expect("start");
    let stopped = runs.interrupt(&sleeping.id).await.expect("interrupt");
    assert!(stopped.state != CodeRunState::Succeeded && stopped.state_kept == Some(true));
    assert_eq!(runs.contexts(&sandbox).await.expect("list").len(), 2);
    runs.delete_context(&own.id).await.expect("delete");
    let gone = runs.run(&sandbox, &within("1")).await.expect_err("gone");
    assert_eq!(gone.code(), Some(ErrorCode::CodeContextNotFound));
    server.end().await;
}
