//! Network policies with a name, and the sandboxes that follow them.

use pinfold_engine::{CreateNetworkPolicy, CreateSandbox, DescribeSnapshot, ImageOrTemplate};
use pinfold_model::{
    Code, Ctx, NamedPolicy, NetworkMode, NetworkPolicy, NetworkPolicyId, ProjectId, SandboxId,
};
use pinfold_store::Store;

use super::place::{Life, Place, small};

fn rules(allow: &[&str]) -> NetworkPolicy {
    let parsed = allow.iter().map(|text| text.parse().expect("a rule"));
    NetworkPolicy {
        allow: parsed.collect(),
        deny: vec![],
    }
}

fn request(name: &str, allow: &[&str]) -> CreateNetworkPolicy {
    CreateNetworkPolicy {
        name: name.to_owned(),
        rules: rules(allow),
        ..CreateNetworkPolicy::default()
    }
}

fn following(policy: &str) -> CreateSandbox {
    CreateSandbox {
        network_policy_id: Some(policy.to_owned()),
        ..small()
    }
}

async fn made(life: &Life, name: &str, allow: &[&str]) -> NamedPolicy {
    let request = request(name, allow);
    let made = life.engine.create_network_policy(&life.ctx, request, None);
    made.await.expect("a policy").value
}

async fn change(life: &Life, id: &NetworkPolicyId, allow: &'static [&str]) {
    let changed = life
        .engine
        .change_network_policy(&life.ctx, id, move |policy| {
            policy.rules = rules(allow);
            Ok(())
        });
    assert_eq!(changed.await.expect("changed").rules, rules(allow));
}

/// What it obeys at this moment, and whose rules those are.
async fn obeyed(life: &Life, id: &SandboxId) -> (NetworkPolicy, Option<NetworkPolicyId>) {
    let (engine, ctx) = (&life.engine, &life.ctx);
    let network = engine.sandbox_network(ctx, id).await.expect("a network");
    assert_eq!(network.mode, NetworkMode::Policy);
    let sandbox = engine.get_sandbox(ctx, id).await.expect("a sandbox");
    assert_eq!(sandbox.spec.network_policy, network.policy);
    (network.policy, sandbox.spec.network_policy_id)
}

#[test]
fn a_change_of_a_policy_reaches_every_sandbox_that_follows_it_and_no_other() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let web = made(&life, "web", &["a.example"]).await;
        let by_id = life.create(following(web.id.as_str())).await.id;
        let by_name = life.create(following("web")).await.id;
        let frozen = life.create(following("web")).await.id;
        engine.suspend_sandbox(ctx, &frozen).await.expect("frozen");
        let stopped = life.create(following("web")).await.id;
        engine.stop_sandbox(ctx, &stopped).await.expect("stopped");
        let own = CreateSandbox {
            network_policy: Some(rules(&["a.example"])),
            ..small()
        };
        let own = life.create(own).await.id;
        let left = life.create(following("web")).await.id;
        let alone = engine
            .set_sandbox_network(ctx, &left, NetworkMode::Policy, rules(&["b.example"]))
            .await;
        alone.expect("changed by itself");

        change(&life, &web.id, &["c.example:443"]).await;
        for id in [&by_id, &by_name, &frozen, &stopped] {
            let expected = (rules(&["c.example:443"]), Some(web.id.clone()));
            assert_eq!(obeyed(&life, id).await, expected);
        }
        assert_eq!(obeyed(&life, &own).await, (rules(&["a.example"]), None));
        assert_eq!(obeyed(&life, &left).await, (rules(&["b.example"]), None));
        engine.start_sandbox(ctx, &stopped).await.expect("started");
        assert_eq!(obeyed(&life, &stopped).await.0, rules(&["c.example:443"]));

        let kept = engine.delete_network_policy(ctx, &web.id).await;
        assert_eq!(kept.expect_err("followed").code(), Code::InUse);
        for id in [by_id, by_name, frozen, stopped] {
            engine.destroy_sandbox(ctx, &id).await.expect("destroyed");
        }
        let deleted = engine.delete_network_policy(ctx, &web.id).await;
        deleted.expect("nobody follows it");
        let gone = engine.create_sandbox(ctx, following("web"), None).await;
        assert_eq!(gone.expect_err("gone").code(), Code::NetworkPolicyNotFound);
    });
    life.clean_up(&place);
}

#[test]
fn forks_and_sandboxes_of_snapshots_follow_what_their_original_did() {
    let place = Place::with_kept_disks();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let web = made(&life, "web", &["a.example"]).await;
        let origin = life.create(following("web")).await.id;
        let fork = CreateSandbox {
            from: ImageOrTemplate::Sandbox(origin.clone()),
            ..CreateSandbox::default()
        };
        let fork = life.create(fork).await.id;
        assert_eq!(obeyed(&life, &fork).await.1, Some(web.id.clone()));
        let elsewhere = CreateSandbox {
            from: ImageOrTemplate::Sandbox(origin.clone()),
            network: Some(NetworkMode::None),
            ..CreateSandbox::default()
        };
        let elsewhere = life.create(elsewhere).await.spec;
        assert_eq!(elsewhere.network_policy_id, None);
        let said = DescribeSnapshot::default();
        let taken = engine.describe_sandbox_snapshot(ctx, &origin, said, None);
        let image = taken.await.expect("taken").value.image;
        let of_snapshot = || CreateSandbox {
            from: ImageOrTemplate::Snapshot(image.clone()),
            ..small()
        };
        let copy = life.create(of_snapshot()).await.id;
        assert_eq!(obeyed(&life, &copy).await.1, Some(web.id.clone()));
        for id in [origin, fork, copy] {
            engine.destroy_sandbox(ctx, &id).await.expect("destroyed");
        }
        let deleted = engine.delete_network_policy(ctx, &web.id).await;
        deleted.expect("nobody follows it");
        let late = life.create(of_snapshot()).await.id;
        assert_eq!(obeyed(&life, &late).await, (rules(&["a.example"]), None));
    });
    life.clean_up(&place);
}

#[test]
fn a_crash_between_a_policy_and_its_sandboxes_is_made_good_by_the_next_engine() {
    let place = Place::new();
    let life = place.live();
    let (policy, sandbox) = life.run(async {
        let policy = made(&life, "web", &["a.example"]).await;
        let sandbox = life.create(following("web")).await.id;
        (policy, sandbox)
    });
    life.crash();
    // What an engine leaves that dies right behind the first step of a change.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open_sqlite(&place.path().join("pinfold.db")).await;
        let store = store.expect("a store");
        let changed = NamedPolicy {
            rules: rules(&["b.example"]),
            ..policy.clone()
        };
        let at = policy.updated_at;
        let row = store.network_policies().change(&changed, at).await;
        row.expect("recorded").expect("its version");
        store.close().await;
    });
    let life = place.live();
    life.run(async {
        life.until(&sandbox, pinfold_model::SandboxState::Running)
            .await;
        let deadline = std::time::Instant::now() + super::place::DEADLINE;
        while life.state(&sandbox).await.spec.network_policy != rules(&["b.example"]) {
            assert!(std::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        let expected = (rules(&["b.example"]), Some(policy.id.clone()));
        assert_eq!(obeyed(&life, &sandbox).await, expected);
    });
    life.clean_up(&place);
}

#[test]
fn policies_are_their_projects_and_a_name_that_two_have_means_neither() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let web = made(&life, "web", &[]).await;
        made(&life, "web", &["a.example"]).await;
        let unclear = engine.create_sandbox(ctx, following("web"), None).await;
        let unclear = unclear.expect_err("which?");
        assert_eq!(unclear.details()["field"], "network_policy_id");
        let both = CreateSandbox {
            network_policy: Some(rules(&[])),
            ..following(web.id.as_str())
        };
        let both = engine.create_sandbox(ctx, both, None).await;
        assert_eq!(both.expect_err("both").code(), Code::InvalidArgument);
        let mut stranger: Ctx = ctx.clone();
        stranger.principal.project = ProjectId::generate();
        let seen = engine.get_network_policy(&stranger, &web.id).await;
        assert_eq!(seen.expect_err("no").code(), Code::NetworkPolicyNotFound);
        let changed = engine
            .change_network_policy(&stranger, &web.id, |policy| {
                policy.name = "theirs".to_owned();
                Ok(())
            })
            .await;
        assert_eq!(changed.expect_err("no").code(), Code::NetworkPolicyNotFound);
        let deleted = engine.delete_network_policy(&stranger, &web.id).await;
        assert_eq!(deleted.expect_err("no").code(), Code::NetworkPolicyNotFound);
        let first = engine.create_network_policy(ctx, request("once", &[]), Some("k"));
        let first = first.await.expect("made").value;
        let again = engine.create_network_policy(ctx, request("once", &[]), Some("k"));
        assert_eq!(again.await.expect("the same").value, first);
        for bad in ["", "np_1", "a\nb"] {
            let made = engine.create_network_policy(ctx, request(bad, &[]), None);
            assert_eq!(made.await.expect_err(bad).details()["field"], "name");
        }
    });
    life.clean_up(&place);
}
