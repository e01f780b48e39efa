//! Tunnels, and names of terminals.

use pinfold_model::tunnel::{Traffic, Wake};
use pinfold_model::{
    CommandId, PreviewId, Sandbox, SandboxState, TerminalName, Tunnel, TunnelAccess, TunnelKey,
    TunnelSpec,
};
use pinfold_store::{Inserted, NamedCommand, StoreError, Thing, Transition};
use tokio::task::JoinSet;

use crate::world::{World, at};

fn tunnel(sandbox: &Sandbox) -> Tunnel {
    Tunnel {
        id: PreviewId::generate(),
        key: TunnelKey::from_random(rand::random()),
        sandbox: sandbox.id.clone(),
        project: sandbox.project.clone(),
        spec: TunnelSpec {
            access: TunnelAccess::Token,
            traffic: Traffic::Ignored,
            wake: Wake::OnRequest,
        },
        created_at: at(10),
        sandbox_ended_at: None,
    }
}

async fn end(world: &World, sandbox: &Sandbox) {
    let end = Transition::new(SandboxState::Destroyed, at(50));
    let sandboxes = world.store.sandboxes();
    let ended = sandboxes.transition(&sandbox.id, &SandboxState::ALL, &end);
    ended.await.expect("transition");
}

pub(crate) async fn a_tunnel_comes_back_as_it_went_in_until_it_is_deleted(world: World) {
    let (sandbox, other) = (world.stored_sandbox().await, world.stored_sandbox().await);
    let tunnels = world.store.tunnels();
    let one = tunnel(&sandbox);
    let inserted = tunnels.insert(&one).await.expect("insert");
    assert_eq!(inserted, Inserted::New(one.clone()));
    let two = tunnel(&other);
    tunnels.insert(&two).await.expect("insert");
    for wanted in [&one, &two] {
        let found = tunnels.by_key(&wanted.key).await.expect("find");
        assert_eq!(found.as_ref(), Some(wanted));
        let found = tunnels.of(&wanted.sandbox).await.expect("find");
        assert_eq!(found.as_ref(), Some(wanted));
    }
    let third = world.stored_sandbox().await;
    let of_all = tunnels.of_all(&[&sandbox.id, &third.id]).await;
    assert_eq!(of_all.expect("list"), [one.clone()]);
    assert_eq!(tunnels.of_all(&[]).await.expect("list"), []);
    let deleted = tunnels.delete(&sandbox.id, &two.id).await;
    assert!(!deleted.expect("delete"), "it is another sandbox's");
    let deleted = tunnels.delete(&sandbox.id, &one.id).await;
    assert!(deleted.expect("delete"));
    assert_eq!(tunnels.by_key(&one.key).await.expect("find"), None);
    let again = tunnel(&sandbox);
    let inserted = tunnels.insert(&again).await.expect("insert");
    assert_eq!(inserted, Inserted::New(again));
}

pub(crate) async fn of_racing_tunnels_of_a_sandbox_one_is_new(world: World) {
    let sandbox = world.stored_sandbox().await;
    let mut racing = JoinSet::new();
    for _ in 0..20 {
        let (store, tunnel) = (world.store.clone(), tunnel(&sandbox));
        racing.spawn(async move { store.tunnels().insert(&tunnel).await.expect("insert") });
    }
    let all = racing.join_all().await;
    let made = |one: &&Inserted<Tunnel>| matches!(one, Inserted::New(_));
    assert_eq!(all.iter().filter(made).count(), 1);
    let keys: Vec<_> = all.into_iter().map(|one| one.into_inner().key).collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
}

pub(crate) async fn a_tunnel_is_made_with_its_sandbox_or_not_at_all(world: World) {
    let sandbox = world.sandbox();
    let made = tunnel(&sandbox);
    let sandboxes = world.store.sandboxes();
    let inserted = sandboxes.insert_with(&sandbox, Some(&made), None).await;
    inserted.expect("insert");
    let tunnels = world.store.tunnels();
    let found = tunnels.of(&sandbox.id).await.expect("find");
    assert_eq!(found, Some(made.clone()));
    let other = world.sandbox();
    let taken = Tunnel {
        key: made.key.clone(),
        ..tunnel(&other)
    };
    let refused = sandboxes.insert_with(&other, Some(&taken), None).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(sandboxes.get(&other.id).await.expect("get"), None);
}

pub(crate) async fn an_ended_sandbox_gets_no_tunnel_and_its_own_is_purged(world: World) {
    let sandbox = world.stored_sandbox().await;
    let tunnels = world.store.tunnels();
    let kept = tunnel(&sandbox);
    tunnels.insert(&kept).await.expect("insert");
    end(&world, &sandbox).await;
    let found = tunnels.by_key(&kept.key).await.expect("find");
    assert_eq!(found.expect("kept").sandbox_ended_at, Some(at(50)));
    let refused = tunnels.insert(&tunnel(&sandbox)).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NotFound {
                thing: Thing::Sandbox,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(tunnels.purge(at(49)).await.expect("purge"), 0);
    assert_eq!(tunnels.purge(at(50)).await.expect("purge"), 1);
    assert_eq!(tunnels.by_key(&kept.key).await.expect("find"), None);
}

pub(crate) async fn a_terminal_s_name_is_one_command_s_in_its_sandbox(world: World) {
    let (sandbox, other) = (world.stored_sandbox().await, world.stored_sandbox().await);
    let terminals = world.store.terminals();
    let name: TerminalName = "main".parse().expect("a name");
    let named = |sandbox: &Sandbox| NamedCommand {
        sandbox: sandbox.id.clone(),
        name: name.clone(),
        command: CommandId::generate(),
    };
    let (first, second, elsewhere) = (named(&sandbox), named(&sandbox), named(&other));
    for one in [&first, &elsewhere, &second] {
        terminals.put(one).await.expect("put");
    }
    let found = terminals.get(&sandbox.id, &name).await.expect("get");
    assert_eq!(found.as_ref(), Some(&second));
    terminals.delete(&first).await.expect("delete");
    let listed = terminals.list(&sandbox.id).await.expect("list");
    assert_eq!(listed, [second.clone()], "another command has the name");
    terminals.delete(&second).await.expect("delete");
    assert_eq!(terminals.get(&sandbox.id, &name).await.expect("get"), None);
    assert_eq!(terminals.purge().await.expect("purge"), 0);
    end(&world, &other).await;
    assert_eq!(terminals.purge().await.expect("purge"), 1);
    assert_eq!(terminals.list(&other.id).await.expect("list"), []);
}
