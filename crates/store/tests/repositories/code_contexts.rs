//! Code contexts and the commands that belong to them.

use std::time::Duration;

use pinfold_model::{
    CodeContext, CodeContextId, CodeLanguage, Command, CommandId, Purpose, Sandbox, limits,
};
use pinfold_store::{Claim, Idempotency, Inserted, NewContext};

use crate::world::{World, all, at, command, seconds};

fn context(sandbox: &Sandbox, is_default: bool) -> CodeContext {
    CodeContext {
        id: CodeContextId::generate(),
        sandbox: sandbox.id.clone(),
        project: sandbox.project.clone(),
        language: CodeLanguage::Typescript,
        cwd: "/w".to_owned(),
        asked_cwd: Some("/w".to_owned()),
        timeout: Duration::from_millis(1500),
        idle_timeout: Duration::from_secs(60),
        is_default,
        generation: 0,
        interpreter: None,
        created_at: at(1),
        last_used_at: at(1),
        expires_at: seconds(60),
    }
}

async fn put(world: &World, context: &CodeContext) -> NewContext {
    let inserted = world.store.code_contexts().insert(context, None).await;
    inserted.expect("insert")
}

pub(crate) async fn a_context_comes_back_as_it_went_in_until_it_is_deleted(world: World) {
    let sandbox = world.stored_sandbox().await;
    let contexts = world.store.code_contexts();
    let first = context(&sandbox, false);
    let new = NewContext::Inserted(Inserted::New(first.clone()));
    assert_eq!(put(&world, &first).await, new);
    assert_eq!(
        contexts.get(&first.id).await.expect("get"),
        Some(first.clone())
    );
    assert_eq!(
        contexts.list(&sandbox.id).await.expect("list"),
        [first.clone()]
    );
    assert!(
        contexts
            .list_expired(seconds(59))
            .await
            .expect("list")
            .is_empty()
    );
    assert_eq!(
        contexts
            .list_expired(seconds(60))
            .await
            .expect("list")
            .len(),
        1
    );
    contexts
        .touch(&first.id, at(9), seconds(90))
        .await
        .expect("touch");
    contexts
        .touch(&first.id, at(5), seconds(70))
        .await
        .expect("touch");
    let used = contexts.get(&first.id).await.expect("get").expect("there");
    assert_eq!((used.last_used_at, used.expires_at), (at(9), seconds(90)));
    assert!(contexts.delete(&first.id, at(10)).await.expect("delete"));
    assert!(!contexts.delete(&first.id, at(11)).await.expect("again"));
    assert_eq!(contexts.get(&first.id).await.expect("get"), None);
    assert!(contexts.get_any(&first.id).await.expect("get").is_some());
}

pub(crate) async fn a_language_has_one_default_and_a_sandbox_so_many_contexts(world: World) {
    let sandbox = world.stored_sandbox().await;
    let contexts = world.store.code_contexts();
    let default = context(&sandbox, true);
    put(&world, &default).await;
    assert_eq!(
        put(&world, &context(&sandbox, true)).await,
        NewContext::NotInserted
    );
    let found = contexts
        .default_of(&sandbox.id, CodeLanguage::Typescript)
        .await;
    assert_eq!(found.expect("find"), Some(default.clone()));
    let none = contexts.default_of(&sandbox.id, CodeLanguage::Python).await;
    assert_eq!(none.expect("find"), None);
    for _ in 1..limits::CODE_CONTEXTS_MAX {
        put(&world, &context(&sandbox, false)).await;
    }
    let claim = Idempotency::new(&sandbox.project, None, "code.context_create", "k", [7; 32]);
    let refused = contexts
        .insert(&context(&sandbox, false), Some(&claim))
        .await;
    assert_eq!(refused.expect("no room"), NewContext::NotInserted);
    let free = world.store.idempotency().find(&claim, at(2)).await;
    assert_eq!(free.expect("find"), None, "a refusal takes no key");
    contexts.delete(&default.id, at(3)).await.expect("delete");
    let next = context(&sandbox, true);
    let made = contexts.insert(&next, Some(&claim)).await.expect("room");
    assert_eq!(made, NewContext::Inserted(Inserted::New(next.clone())));
    let again = contexts
        .insert(&context(&sandbox, true), Some(&claim))
        .await;
    assert_eq!(
        again.expect("replay"),
        NewContext::Inserted(Inserted::Replay(next.clone()))
    );
    let taken = world.store.idempotency().find(&claim, at(2)).await;
    let resource_id = next.id.to_string();
    assert_eq!(taken.expect("find"), Some(Claim::Replay { resource_id }));
}

pub(crate) async fn generations_only_grow_and_an_unused_context_can_be_taken_back(world: World) {
    let sandbox = world.stored_sandbox().await;
    let contexts = world.store.code_contexts();
    let (used, unused) = (context(&sandbox, false), context(&sandbox, false));
    put(&world, &used).await;
    put(&world, &unused).await;
    let interpreter = CommandId::generate();
    let set = |generation| contexts.set_interpreter(&used.id, &interpreter, generation);
    assert!(set(2).await.expect("set"));
    assert!(!set(2).await.expect("set") && !set(1).await.expect("set"));
    let now = contexts.get(&used.id).await.expect("get").expect("there");
    assert_eq!(
        (now.generation, now.interpreter),
        (2, Some(interpreter.clone()))
    );
    for id in [&used.id, &unused.id] {
        contexts.remove_unused(id).await.expect("remove");
    }
    assert!(contexts.get(&used.id).await.expect("get").is_some());
    assert!(contexts.get_any(&unused.id).await.expect("get").is_none());
}

pub(crate) async fn commands_of_the_engine_are_kept_and_not_listed(world: World) {
    let sandbox = world.stored_sandbox().await;
    let own = world.stored_command(&sandbox).await;
    let id = CodeContextId::generate();
    for purpose in [Purpose::CodeRun(id.clone()), Purpose::Interpreter(id)] {
        let made = Command {
            purpose,
            ..command(&sandbox)
        };
        world
            .store
            .commands()
            .insert(&made, None)
            .await
            .expect("insert");
        let found = world.store.commands().get(&made.id).await.expect("get");
        assert_eq!(found, Some(made));
    }
    let listed = world.store.commands().list(&sandbox.id, &all()).await;
    assert_eq!(listed.expect("list").items, [own]);
    let unfinished = world.store.commands().list_unfinished(&sandbox.id).await;
    assert_eq!(unfinished.expect("list").len(), 3);
}
