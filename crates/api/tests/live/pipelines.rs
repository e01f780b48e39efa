//! Runs of pipelines over the wire.

use pinfold_sdk::{
    CreateSandbox, ErrorCode, ListPipelineRuns, PipelineEvent, PipelineRunState, StartCommand,
    SubmitPipeline,
};

use super::{Server, within};

fn document(scripts: &[&str]) -> SubmitPipeline {
    let fences = scripts.iter().map(|text| format!("```bash\n{text}\n```\n"));
    SubmitPipeline {
        markdown: fences.collect(),
        timeout_ms: None,
        sandbox: Some(CreateSandbox {
            memory_mib: Some(256),
            ..CreateSandbox::default()
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_over_restarts_of_the_listener_without_gap_or_repeat() {
    let mut server = Server::start().await;
    within(async {
        let waiting = "echo begun; until test -e /tmp/go; do sleep 0.02; done; echo gone";
        let pipelines = server.client.pipelines();
        let request = document(&[waiting, "printf '\\377'; exit 4", "true"]);
        let submitted = pipelines.submit(&request).await.expect("accepted");
        assert!(!submitted.state.is_terminal());
        assert_eq!((submitted.step_count, submitted.steps.len()), (3, 3));
        let mut events = pipelines.stream(submitted.id, 0);
        let (mut told, mut text) = (Vec::new(), Vec::new());
        while let Some(event) = events.next().await.expect("the stream recovers") {
            if let PipelineEvent::Output { encoding, data, .. } = &event {
                let piece = encoding.decode(data.clone()).expect("bytes");
                text.extend_from_slice(&piece);
                if piece == b"begun\n" {
                    server.restart_listener().await;
                    let go = StartCommand {
                        shell: Some("touch /tmp/go".into()),
                        ..StartCommand::default()
                    };
                    let sandbox = &submitted.sandbox_id;
                    let commands = server.client.commands();
                    commands.run(sandbox, &go).await.expect("go");
                }
            }
            told.push(event);
        }
        assert_eq!(text, b"begun\ngone\n\xff");
        assert!(told.windows(2).all(|pair| pair[0].seq() < pair[1].seq()));
        let Some(PipelineEvent::Ended { run, .. }) = told.last() else {
            panic!("no end: {told:?}");
        };
        assert_eq!(run.state, PipelineRunState::Failed);
        assert_eq!(run.steps[1].exit_code, Some(4));
        assert_eq!(**run, pipelines.get(submitted.id).await.expect("a run"));
        assert_eq!(**run, pipelines.wait(submitted.id).await.expect("a run"));

        let report = pipelines
            .report(submitted.id, None)
            .await
            .expect("a report");
        assert_eq!(report.output[0].stdout, "begun\ngone\n");
        let raw = &report.output[1];
        let raw = raw.stdout_encoding.decode(raw.stdout.clone());
        assert_eq!(raw.expect("base64"), b"\xff");
        let over = pipelines.report(submitted.id, Some(1 << 21)).await;
        assert_eq!(
            over.expect_err("too much").code(),
            Some(ErrorCode::InvalidArgument)
        );

        let query = ListPipelineRuns {
            state: Some(PipelineRunState::Failed),
            ..ListPipelineRuns::default()
        };
        let page = pipelines.list(&query).await.expect("a list");
        assert_eq!(page.items.len(), 1);
        assert!(page.items[0].steps.is_empty() && page.items[0].step_count == 3);
        let limit = |limit| ListPipelineRuns {
            limit: Some(limit),
            ..ListPipelineRuns::default()
        };
        pipelines.list(&limit(50)).await.expect("the largest page");
        for refused in [0, 51] {
            let refused = pipelines.list(&limit(refused)).await;
            let code = refused.expect_err("no such page").code();
            assert_eq!(code, Some(ErrorCode::InvalidArgument));
        }
    })
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_makes_one_run_and_a_cancel_ends_it() {
    let server = Server::start().await;
    within(async {
        let pipelines = server.client.pipelines();
        let request = document(&["sleep 1000"]);
        let first = pipelines.submit_named(&request, Some("k")).await;
        let first = first.expect("accepted");
        let again = pipelines.submit_named(&request, Some("k")).await;
        assert_eq!(again.expect("the same").id, first.id);
        let other = pipelines
            .submit_named(&document(&["true"]), Some("k"))
            .await;
        let other = other.expect_err("another request");
        assert_eq!(other.code(), Some(ErrorCode::IdempotencyConflict));
        assert!(
            pipelines
                .cancel(first.id)
                .await
                .expect("a run")
                .cancel_requested
        );
        let run = pipelines.wait(first.id).await.expect("its end");
        assert_eq!(run.state, PipelineRunState::Cancelled);
        assert_eq!(run.failure.expect("why").code, "cancelled");
    })
    .await;
    server.end().await;
}
