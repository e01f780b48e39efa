//! Runs of pipelines, and the keys of the requests that made them.

use std::time::Duration;

use pinfold_model::pipeline::{OnFailure, RunSpec, RunState, Step};
use pinfold_model::{PipelineRun, SandboxId};
use pinfold_store::{Idempotency, Inserted, NewRun, PageRequest, Scope, StoreError};

use crate::world::{World, at};

fn new_run(world: &World) -> NewRun {
    let step = Step {
        name: "one".to_owned(),
        script: "true".to_owned(),
        timeout: None,
        on_failure: OnFailure::Stop,
    };
    NewRun {
        org: world.home.org.id.clone(),
        project: world.project(),
        sandbox: SandboxId::generate(),
        spec: RunSpec {
            steps: vec![step],
            timeout: Duration::from_secs(60),
            sandbox: world.sandbox().spec,
            key: Some(world.key().id),
        },
        created_at: at(1),
    }
}

fn claim(world: &World, hash: u8) -> Idempotency {
    Idempotency::new(&world.project(), None, "pipeline.submit", "k", [hash; 32])
}

async fn recorded(world: &World) -> PipelineRun {
    let (runs, new) = (world.store.pipeline_runs(), new_run(world));
    let inserted = runs.insert(&new, None).await;
    inserted.expect("insert").into_inner()
}

pub(crate) async fn a_run_comes_back_as_it_went_in_and_its_ending_stays(world: World) {
    let runs = world.store.pipeline_runs();
    let mut run = recorded(&world).await;
    assert_eq!(runs.get(run.id).await.expect("get"), Some(run.clone()));
    let later = recorded(&world).await;
    assert!(later.id.number() > run.id.number(), "numbers grow");
    assert_eq!(runs.list_unfinished().await.expect("list").len(), 2);

    run.state = RunState::Completed;
    run.started_at = Some(at(2));
    run.ended_at = Some(at(3));
    runs.save(&run).await.expect("save");
    let ended = run.clone();
    run.state = RunState::Failed;
    runs.save(&run).await.expect("save");
    runs.request_cancel(run.id).await.expect("cancel");
    assert_eq!(runs.get(run.id).await.expect("get"), Some(ended));
    assert_eq!(runs.list_unfinished().await.expect("list"), [later]);
    assert_eq!(runs.purge(at(3)).await.expect("purge"), 0);
    assert_eq!(runs.purge(at(4)).await.expect("purge"), 1);
    assert_eq!(runs.get(run.id).await.expect("get"), None);
}

pub(crate) async fn a_cancel_and_a_save_do_not_undo_each_other(world: World) {
    let runs = world.store.pipeline_runs();
    let mut run = recorded(&world).await;
    runs.request_cancel(run.id).await.expect("cancel");
    run.state = RunState::Running;
    runs.save(&run).await.expect("save");
    let found = runs.get(run.id).await.expect("get").expect("there");
    assert_eq!((found.cancel, found.state), (true, RunState::Running));
}

pub(crate) async fn runs_are_listed_by_scope_and_state_newest_first(world: World) {
    let runs = world.store.pipeline_runs();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(recorded(&world).await);
    }
    for run in &mut all[1..3] {
        run.state = RunState::Failed;
        run.ended_at = Some(at(3));
        runs.save(run).await.expect("save");
    }
    all.reverse();
    let own = Scope::Project(world.project());
    let org = Scope::Org(world.home.org.id.clone());
    for scope in [&own, &org] {
        let first = PageRequest::new(3, None);
        let page = runs.list(scope, None, &first).await.expect("list");
        assert_eq!(page.items, all[..3]);
        let rest = PageRequest::new(3, page.next);
        let page = runs.list(scope, None, &rest).await.expect("list");
        assert_eq!(page.items, all[3..]);
        assert_eq!(page.next, None);

        let failed = Some(RunState::Failed);
        let page = runs.list(scope, failed, &first).await.expect("list");
        assert_eq!(page.items, all[2..4]);
        let none = runs.list(scope, Some(RunState::Cancelled), &first).await;
        assert!(none.expect("list").items.is_empty());
    }
    let elsewhere = Scope::Project(pinfold_model::ProjectId::generate());
    let page = runs.list(&elsewhere, None, &PageRequest::default()).await;
    assert!(page.expect("list").items.is_empty());
}

pub(crate) async fn a_key_makes_one_run_until_that_is_taken_back(world: World) {
    let runs = world.store.pipeline_runs();
    let made = runs.insert(&new_run(&world), Some(&claim(&world, 1))).await;
    let Inserted::New(run) = made.expect("insert") else {
        panic!("the key was free");
    };
    let again = runs.insert(&new_run(&world), Some(&claim(&world, 1))).await;
    assert_eq!(again.expect("insert"), Inserted::Replay(run.clone()));
    let other = runs.insert(&new_run(&world), Some(&claim(&world, 2))).await;
    assert!(matches!(other, Err(StoreError::IdempotencyConflict)));

    let taken_back = runs.delete(run.id, Some(&claim(&world, 1))).await;
    taken_back.expect("delete");
    assert_eq!(runs.get(run.id).await.expect("get"), None);
    let anew = runs.insert(&new_run(&world), Some(&claim(&world, 2))).await;
    assert!(matches!(anew.expect("insert"), Inserted::New(_)));
}
