//! Network policies with a name, and the sandboxes that follow them.

use std::collections::BTreeMap;

use pinfold_model::{NamedPolicy, NetworkPolicy, NetworkPolicyId, ProjectId, Sandbox, Time};
use pinfold_store::{Idempotency, Inserted, QuotaKind, StoreError, Thing, Transition};
use tokio::task::JoinSet;

use crate::world::{World, all, at, sandbox};

pub(crate) fn policy(project: &ProjectId, name: &str, created_at: Time) -> NamedPolicy {
    NamedPolicy {
        id: NetworkPolicyId::generate(),
        project: project.clone(),
        name: name.to_owned(),
        description: Some("büro".to_owned()),
        rules: NetworkPolicy {
            allow: vec!["*.example.com:443".parse().expect("a rule")],
            deny: vec![],
        },
        annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        version: 1,
        created_at,
        updated_at: created_at,
        created_by: None,
    }
}

async fn new(world: &World, policy: &NamedPolicy) {
    let inserted = world
        .store
        .network_policies()
        .insert(policy, 10, None)
        .await;
    assert_eq!(inserted.expect("insert"), Inserted::New(policy.clone()));
}

async fn follower(world: &World, policy: &NamedPolicy) -> Sandbox {
    let image = world.stored_sandbox().await.spec.image;
    let mut follower = sandbox(policy.project.clone(), image);
    follower.spec.network_policy_id = Some(policy.id.clone());
    let inserted = world.store.sandboxes().insert(&follower, None).await;
    inserted.expect("recorded").into_inner()
}

fn is_missing<T>(result: &Result<T, StoreError>) -> bool {
    let thing = Thing::NetworkPolicy;
    matches!(result, Err(StoreError::NotFound { thing: found, .. }) if *found == thing)
}

pub(crate) async fn a_policy_comes_back_as_it_went_in_and_is_its_projects(world: World) {
    let (policies, project) = (world.store.network_policies(), world.project());
    let maker = world.key();
    let keys = world.store.keys();
    keys.insert(&maker, [7; 32]).await.expect("key");
    let first = NamedPolicy {
        created_by: Some(maker.id),
        description: None,
        ..policy(&project, "web", at(10))
    };
    new(&world, &first).await;
    let found = policies.get(&project, &first.id).await.expect("get");
    assert_eq!(found.as_ref(), Some(&first));
    let other = world.other_project().await.id;
    assert_eq!(policies.get(&other, &first.id).await.expect("get"), None);
    assert_eq!(policies.by_name(&other, "web").await.expect("find"), []);
    let second = policy(&project, "web", at(11));
    new(&world, &second).await;
    let named = policies.by_name(&project, "web").await.expect("find");
    assert_eq!(named.len(), 2, "a name is a label");
    let page = policies.list(&project, &all()).await.expect("list");
    assert_eq!(page.items, [second, first]);
    let nowhere = policy(&ProjectId::generate(), "web", at(1));
    let refused = policies.insert(&nowhere, 10, None).await;
    assert!(matches!(
        refused,
        Err(StoreError::NotFound {
            thing: Thing::Project,
            ..
        })
    ));
}

pub(crate) async fn a_change_of_a_policy_that_has_changed_since_changes_nothing(world: World) {
    let (policies, project) = (world.store.network_policies(), world.project());
    let first = policy(&project, "web", at(10));
    new(&world, &first).await;
    let wish = NamedPolicy {
        name: "other".to_owned(),
        description: None,
        rules: NetworkPolicy::default(),
        annotations: BTreeMap::new(),
        ..first
    };
    let changed = policies.change(&wish, at(20)).await.expect("change");
    let expected = NamedPolicy {
        version: 2,
        updated_at: at(20),
        ..wish.clone()
    };
    assert_eq!(changed.as_ref(), Some(&expected));
    let late = policies.change(&wish, at(30)).await.expect("no error");
    assert_eq!(late, None);
    let found = policies.get(&project, &wish.id).await.expect("get");
    assert_eq!(found, Some(expected));
}

pub(crate) async fn a_project_has_no_more_policies_than_its_bound(world: World) {
    let project = world.project();
    let mut racing = JoinSet::new();
    for n in 0..12 {
        let (store, policy) = (world.store.clone(), policy(&project, "web", at(n)));
        racing.spawn(async move { store.network_policies().insert(&policy, 5, None).await });
    }
    let (made, refused): (Vec<_>, Vec<_>) =
        racing.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (5, 7));
    for refusal in refused {
        assert!(matches!(
            refusal,
            Err(StoreError::QuotaExceeded {
                quota: QuotaKind::NetworkPolicies,
                used: 5,
                ..
            })
        ));
    }
}

pub(crate) async fn a_repeated_request_finds_the_first_policy(world: World) {
    let (policies, project) = (world.store.network_policies(), world.project());
    let first = policy(&project, "web", at(10));
    let claim = Idempotency::new(&project, None, "network_policy.create", "k", [1; 32]);
    let made = policies.insert(&first, 1, Some(&claim)).await;
    assert_eq!(made.expect("insert"), Inserted::New(first.clone()));
    let again = policy(&project, "web", at(11));
    let replay = policies.insert(&again, 1, Some(&claim)).await;
    assert_eq!(replay.expect("insert"), Inserted::Replay(first.clone()));
    policies.delete(&project, &first.id).await.expect("deleted");
    let gone = policies.insert(&again, 1, Some(&claim)).await;
    assert!(is_missing(&gone), "{gone:?}");
}

pub(crate) async fn a_policy_stays_while_a_live_sandbox_follows_it(world: World) {
    let (policies, project) = (world.store.network_policies(), world.project());
    let (one, two) = (
        policy(&project, "one", at(1)),
        policy(&project, "two", at(2)),
    );
    new(&world, &one).await;
    new(&world, &two).await;
    let mut follows_one = follower(&world, &one).await;
    let follows_two = follower(&world, &two).await;
    let kept = policies.delete(&project, &one.id).await;
    let by = follows_one.id.to_string();
    assert!(
        matches!(&kept, Err(StoreError::InUse { by: it, .. }) if *it == by),
        "{kept:?}"
    );
    let sandboxes = world.store.sandboxes();
    let found = sandboxes.get(&follows_one.id).await.expect("get");
    assert_eq!(found, Some(follows_one.clone()));
    follows_one.spec.network_policy_id = None;
    let set = sandboxes.set_spec(&follows_one.id, &follows_one.spec).await;
    set.expect("it follows none");
    policies.delete(&project, &one.id).await.expect("deleted");
    let end = Transition::new(pinfold_model::SandboxState::Destroyed, at(20));
    let states = pinfold_model::SandboxState::ALL;
    let ended = sandboxes.transition(&follows_two.id, &states, &end).await;
    ended.expect("recorded").expect("it was there");
    policies.delete(&project, &two.id).await.expect("deleted");
    let again = policies.delete(&project, &two.id).await;
    assert!(is_missing(&again), "{again:?}");
    let mut late = follows_one;
    late.id = pinfold_model::SandboxId::generate();
    late.spec.network_policy_id = Some(two.id);
    let refused = sandboxes.insert(&late, None).await;
    assert!(is_missing(&refused), "{refused:?}");
}
