//! Sandboxes: records, transitions, lists.

use pinfold_model::sandbox::EndReason;
use pinfold_model::{ImageId, OrgId, ProjectId, Sandbox, SandboxId, SandboxState};
use pinfold_store::{
    Idempotency, Inserted, METADATA_FILTERS_MAX, SandboxFilter, Scope, States, StoreError, Thing,
    Transition,
};
use tokio::task::JoinSet;

use crate::world::{World, all, at, sandbox, seconds};

use SandboxState::{Creating, Destroyed, Failed, Running, Stopped, Suspended};

pub(crate) async fn a_sandbox_comes_back_as_it_went_in(world: World) {
    let mut sandbox = world.sandbox();
    sandbox.reason = Some(EndReason::OutOfMemory);
    sandbox.failure = Some("it's \"gone\"".into());
    sandbox.running_since = Some(at(11));
    sandbox.ended_at = Some(at(12));
    sandbox.spec.metadata = [("k=1".to_owned(), "v\n".to_owned())].into();
    world.insert(&sandbox).await;
    let sandboxes = world.store.sandboxes();
    assert_eq!(
        sandboxes.get(&sandbox.id).await.expect("get"),
        Some(sandbox.clone())
    );
    assert_eq!(
        sandboxes.get(&SandboxId::generate()).await.expect("get"),
        None
    );
    let again = sandboxes.insert(&sandbox, None).await;
    assert!(
        matches!(again, Err(StoreError::AlreadyExists { .. })),
        "{again:?}"
    );
}

pub(crate) async fn a_sandbox_needs_its_project_and_image(world: World) {
    let sandboxes = world.store.sandboxes();
    let homeless = sandbox(ProjectId::generate(), world.image.clone());
    let refused = sandboxes.insert(&homeless, None).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NotFound {
                thing: Thing::Project,
                ..
            })
        ),
        "{refused:?}"
    );
    let diskless = sandbox(world.project(), ImageId::generate());
    let refused = sandboxes.insert(&diskless, None).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NotFound {
                thing: Thing::Image,
                ..
            })
        ),
        "{refused:?}"
    );
}

pub(crate) async fn others_do_not_see_a_sandbox(world: World) {
    let mine = world.stored_sandbox().await;
    let other = world.other_project().await;
    let sandboxes = world.store.sandboxes();
    for (scope, seen) in [
        (Scope::Project(world.project()), true),
        (Scope::Org(world.home.org.id.clone()), true),
        (Scope::Project(other.id), false),
        (Scope::Org(OrgId::generate()), false),
    ] {
        let found = sandboxes.find(&scope, &mine.id).await.expect("find");
        assert_eq!(found.is_some(), seen, "{scope:?}");
        let page = sandboxes
            .list(&scope, &SandboxFilter::default(), &all())
            .await;
        assert_eq!(
            page.expect("list").items.len(),
            usize::from(seen),
            "{scope:?}"
        );
    }
}

pub(crate) async fn a_transition_needs_the_state_it_starts_from(world: World) {
    let sandboxes = world.store.sandboxes();
    let id = world.stored_sandbox().await.id;
    let boot = Transition::new(Running, at(30));
    for from in [&[Stopped, Running][..], &[]] {
        let refused = sandboxes
            .transition(&id, from, &boot)
            .await
            .expect("transition");
        assert_eq!(refused, None);
    }
    let done = sandboxes
        .transition(&id, &[Stopped, Creating], &boot)
        .await
        .expect("transition");
    assert_eq!(done.as_ref().map(|s| s.state), Some(Running));
    assert_eq!(sandboxes.get(&id).await.expect("get"), done);
    let nobody = sandboxes
        .transition(&SandboxId::generate(), &SandboxState::ALL, &boot)
        .await;
    assert_eq!(nobody.expect("transition"), None);
}

pub(crate) async fn of_racing_transitions_one_wins(world: World) {
    let id = world.stored_sandbox().await.id;
    let mut racing = JoinSet::new();
    for n in 0..20 {
        let (store, id) = (world.store.clone(), id.clone());
        let to = if n % 2 == 0 { Running } else { Failed };
        racing.spawn(async move {
            let change = Transition::new(to, at(30 + n));
            store
                .sandboxes()
                .transition(&id, &[Creating], &change)
                .await
                .expect("transition")
        });
    }
    let winners: Vec<_> = racing.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(
        world
            .store
            .sandboxes()
            .get(&id)
            .await
            .expect("get")
            .as_ref(),
        winners.first()
    );
}

pub(crate) async fn times_and_reasons_follow_the_states(world: World) {
    let id = world.stored_sandbox().await.id;
    let step = |to, us, reason: Option<EndReason>| {
        let (store, id) = (world.store.clone(), id.clone());
        let change = Transition {
            reason,
            failure: reason.map(|reason| reason.as_str().to_owned()),
            ..Transition::new(to, at(us))
        };
        async move {
            let done = store
                .sandboxes()
                .transition(&id, &SandboxState::ALL, &change)
                .await;
            done.expect("transition").expect("from any state")
        }
    };
    let running = step(Running, 30, None).await;
    assert_eq!(
        (running.running_since, running.last_active_at),
        (Some(at(30)), at(30))
    );
    let again = step(Running, 31, None).await;
    assert_eq!(again.running_since, Some(at(30)), "it ran already");
    let stopped = step(Stopped, 40, Some(EndReason::IdleExpired)).await;
    assert_eq!(
        (stopped.reason, stopped.ended_at),
        (Some(EndReason::IdleExpired), None)
    );
    let restarted = step(Running, 50, None).await;
    assert_eq!((restarted.reason, &restarted.failure), (None, &None));
    assert_eq!(restarted.running_since, Some(at(50)));
    let failed = step(Failed, 60, Some(EndReason::OutOfMemory)).await;
    assert_eq!(
        (failed.reason, failed.ended_at),
        (Some(EndReason::OutOfMemory), Some(at(60)))
    );
    let destroyed = step(Destroyed, 70, None).await;
    assert_eq!(
        destroyed.reason,
        Some(EndReason::OutOfMemory),
        "the first reason is kept"
    );
    assert_eq!(destroyed.failure.as_deref(), Some("out_of_memory"));
    assert_eq!(destroyed.ended_at, Some(at(60)));
    let change = Transition {
        failure: Some("bad \0 byte".into()),
        ..Transition::new(Destroyed, at(80))
    };
    let noted = world
        .store
        .sandboxes()
        .transition(&id, &[Destroyed], &change)
        .await;
    let noted = noted.expect("NUL is no obstacle").expect("it is destroyed");
    assert_eq!(noted.failure.as_deref(), Some("bad \u{fffd} byte"));
}

pub(crate) async fn lists_filter_by_state_and_metadata(world: World) {
    let mut made = Vec::new();
    for (n, state) in SandboxState::ALL.into_iter().enumerate() {
        let mut sandbox = world.sandbox();
        sandbox.state = state;
        sandbox.created_at = at(100 + i64::try_from(n).expect("small"));
        let parity = if n % 2 == 0 { "even" } else { "odd" };
        sandbox.spec.metadata = [
            ("n".into(), n.to_string()),
            ("parity".into(), parity.into()),
        ]
        .into();
        world.insert(&sandbox).await;
        made.insert(0, sandbox);
    }
    let by_state = |wanted: &[SandboxState]| keep(&made, |s| wanted.contains(&s.state));
    assert_eq!(
        list(&world, States::Present, &[]).await,
        keep(&made, |s| s.state != Destroyed)
    );
    assert_eq!(list(&world, States::All, &[]).await, made);
    let two = [Failed, Suspended];
    assert_eq!(
        list(&world, States::Only(two.to_vec()), &[]).await,
        by_state(&two)
    );
    assert_eq!(list(&world, States::Only(vec![]), &[]).await, []);
    let even = keep(&made, |s| s.spec.metadata["parity"] == "even");
    assert_eq!(list(&world, States::All, &[("parity", "even")]).await, even);
    let two = list(&world, States::All, &[("parity", "even"), ("n", "2")]).await;
    assert_eq!(two, keep(&made, |s| s.spec.metadata["n"] == "2"));
    assert_eq!(
        list(&world, States::All, &[("parity", "odd"), ("n", "2")]).await,
        []
    );
    assert_eq!(list(&world, States::All, &[("", "")]).await, []);
    let many = (0..=METADATA_FILTERS_MAX).map(|n| (n.to_string(), String::new()));
    let filter = SandboxFilter {
        project: None,
        states: States::All,
        metadata: many.collect(),
    };
    let scope = Scope::Project(world.project());
    let refused = world.store.sandboxes().list(&scope, &filter, &all()).await;
    assert!(
        matches!(refused, Err(StoreError::TooManyFilters { .. })),
        "{refused:?}"
    );
}

fn keep(made: &[Sandbox], wanted: impl Fn(&Sandbox) -> bool) -> Vec<Sandbox> {
    made.iter()
        .filter(|sandbox| wanted(sandbox))
        .cloned()
        .collect()
}

async fn list(world: &World, states: States, metadata: &[(&str, &str)]) -> Vec<Sandbox> {
    let pairs = metadata
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let filter = SandboxFilter {
        project: None,
        states,
        metadata: pairs.collect(),
    };
    let scope = Scope::Org(world.home.org.id.clone());
    let page = world.store.sandboxes().list(&scope, &filter, &all()).await;
    page.expect("list").items
}

pub(crate) async fn expiry_and_activity_move(world: World) {
    let sandboxes = world.store.sandboxes();
    let id = world.stored_sandbox().await.id;
    let ttl = std::time::Duration::from_millis(7);
    let moved = sandboxes.set_ttl(&id, ttl, at(99), None).await;
    let moved = moved.expect("set").into_inner();
    assert_eq!(moved.expires_at, Some(at(99) + ttl));
    assert_eq!(moved.ttl, Some(ttl));
    assert_ne!(moved.spec.ttl, Some(ttl));
    let half = seconds(1) - std::time::Duration::from_millis(500);
    for (now, noted) in [
        (half, at(10)),
        (seconds(2), seconds(2)),
        (seconds(1), seconds(2)),
    ] {
        sandboxes.touch(&id, now).await.expect("touch");
        let sandbox = sandboxes.get(&id).await.expect("get").expect("it is there");
        assert_eq!(sandbox.last_active_at, noted);
    }
    let end = Transition::new(Destroyed, seconds(3));
    sandboxes
        .transition(&id, &[Creating], &end)
        .await
        .expect("transition");
    let late = sandboxes.set_ttl(&id, ttl, at(99), None).await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
}

pub(crate) async fn a_lifetime_is_set_once_per_key(world: World) {
    let sandboxes = world.store.sandboxes();
    let id = world.stored_sandbox().await.id;
    let claim = |hash| Idempotency::new(&world.project(), None, "sandbox.extend", "k", [hash; 32]);
    let ttl = std::time::Duration::from_secs(5);
    let set = async |hash, now| {
        sandboxes
            .set_ttl(&id, ttl, at(now), Some(&claim(hash)))
            .await
    };
    let first = set(1, 100).await.expect("set");
    let again = set(1, 200).await.expect("replayed");
    assert_eq!(again, Inserted::Replay(first.into_inner()));
    let other = set(2, 300).await;
    assert!(
        matches!(other, Err(StoreError::IdempotencyConflict)),
        "{other:?}"
    );
    let kept = sandboxes.get(&id).await.expect("get").expect("it is there");
    assert_eq!(kept.expires_at, Some(at(100) + ttl));
}

pub(crate) async fn lists_can_be_of_one_project(world: World) {
    let sandbox = world.stored_sandbox().await;
    let filter = |project| SandboxFilter {
        project: Some(project),
        ..SandboxFilter::default()
    };
    let own = filter(sandbox.project.clone());
    let strange = filter(ProjectId::generate());
    for scope in [
        Scope::Org(world.home.org.id.clone()),
        Scope::Project(sandbox.project.clone()),
    ] {
        let sandboxes = world.store.sandboxes();
        let found = sandboxes.list(&scope, &own, &all()).await.expect("list");
        assert_eq!(found.items, [sandbox.clone()]);
        let found = sandboxes.list(&scope, &strange, &all()).await;
        assert_eq!(found.expect("list").items, []);
    }
}

pub(crate) async fn live_sandboxes_are_those_the_model_calls_live(world: World) {
    for state in SandboxState::ALL {
        let mut sandbox = world.sandbox();
        sandbox.state = state;
        world.insert(&sandbox).await;
        // And one that came to the state later.
        let id = world.stored_sandbox().await.id;
        let change = Transition::new(state, at(30));
        world
            .store
            .sandboxes()
            .transition(&id, &[Creating], &change)
            .await
            .expect("transition");
    }
    let live = world.store.sandboxes().list_live().await.expect("list");
    assert!(live.iter().all(|sandbox| sandbox.state.is_live()));
    let expected = SandboxState::ALL
        .iter()
        .filter(|state| state.is_live())
        .count();
    assert_eq!(live.len(), 2 * expected);
}
