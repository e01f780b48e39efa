//! Terminals that have a name.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{
    AttachedTerminal, EngineConfig, NamedTerminal, OpenTerminal, Origin, TERMINAL_IDLE,
};
use pinfold_model::journal::RecordBody;
use pinfold_model::{Code, CommandState, SandboxId, Scopes, TerminalName};

use super::clock::ManualClock;
use super::place::{Life, Place};

fn name() -> TerminalName {
    "main".parse().expect("a name")
}

async fn opened(life: &Life, sandbox: &SandboxId) -> NamedTerminal {
    let open = OpenTerminal::default();
    let name = name();
    let found = life
        .engine
        .named_terminal(&life.ctx, sandbox, &name, open, None);
    found.await.expect("a terminal")
}

async fn attached(life: &Life, sandbox: &SandboxId) -> AttachedTerminal {
    let name = name();
    let attached = life.engine.attach_named_terminal(&life.ctx, sandbox, &name);
    attached.await.expect("attached")
}

/// What is shown until that text, or the end.
async fn shown(terminal: &mut AttachedTerminal, text: &str) -> String {
    let mut screen = String::new();
    while !screen.contains(text) {
        let Some(record) = terminal.next().await.expect("a record") else {
            break;
        };
        if let RecordBody::Output { bytes, .. } = record.body {
            screen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    screen
}

#[test]
fn a_named_terminal_is_found_again_also_after_a_crash() {
    let place = Place::new();
    let life = place.live();
    let (sandbox, id) = life.run(async {
        let sandbox = life.sandbox().await;
        let first = opened(&life, &sandbox).await;
        assert_eq!(first.origin, Origin::New);
        let mut terminal = attached(&life, &sandbox).await;
        let engine = &life.engine;
        let second = engine
            .attach_named_terminal(&life.ctx, &sandbox, &name())
            .await;
        assert_eq!(second.expect_err("one at a time").code(), Code::InUse);
        let input = terminal.input();
        input
            .write(b"mark=kept; echo on''e\n")
            .await
            .expect("typed");
        shown(&mut terminal, "one").await;
        drop(terminal);
        let again = opened(&life, &sandbox).await;
        assert_eq!(again.origin, Origin::Replay);
        assert_eq!(again.command.id, first.command.id);
        let mut looks = life.ctx.clone();
        looks.principal.scopes = Scopes::parse(&["sandboxes:read"]).expect("a scope");
        let refused = engine
            .attach_named_terminal(&looks, &sandbox, &name())
            .await;
        let refused = refused.expect_err("whoever attaches may type");
        assert_eq!(refused.code(), Code::PermissionDenied);
        let refused = engine.close_named_terminal(&looks, &sandbox, &name()).await;
        assert_eq!(refused.expect_err("no").code(), Code::PermissionDenied);
        (sandbox, first.command.id)
    });
    life.crash();
    let life = place.live();
    life.run(async {
        let found = opened(&life, &sandbox).await;
        assert_eq!((found.origin, &found.command.id), (Origin::Replay, &id));
        let mut terminal = attached(&life, &sandbox).await;
        // Nobody knows what was shown before, so everything is shown again.
        assert!(shown(&mut terminal, "one").await.contains("mark=kept"));
        let input = terminal.input();
        input.write(b"echo [$mark]; exit\n").await.expect("typed");
        assert!(shown(&mut terminal, "\0").await.contains("[kept]"));
        drop(terminal);
        let next = opened(&life, &sandbox).await;
        assert_eq!(next.origin, Origin::New);
        life.engine
            .close_named_terminal(&life.ctx, &sandbox, &name())
            .await
            .expect("closed");
        let ended = life.wait(&next.command.id).await;
        assert!(ended.state.is_terminal());
        let gone = life
            .engine
            .attach_named_terminal(&life.ctx, &sandbox, &name())
            .await;
        assert_eq!(gone.expect_err("gone").code(), Code::SessionNotFound);
    });
    life.clean_up(&place);
}

#[test]
fn a_named_terminal_that_nobody_comes_back_to_is_ended() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        let sandbox = life.sandbox().await;
        let left = opened(&life, &sandbox).await.command.id;
        let terminal = attached(&life, &sandbox).await;
        let every = EngineConfig::default().reconcile_every;
        // Somebody is there.
        clock.forward(TERMINAL_IDLE * 2);
        let shown = life.engine.get_command(&life.ctx, &left).await;
        assert_eq!(shown.expect("there").state, CommandState::Running);
        drop(terminal);
        let ended = async {
            loop {
                clock.forward(every);
                let command =
                    life.engine
                        .wait_command(&life.ctx, &left, Some(Duration::from_millis(100)));
                let command = command.await.expect("there");
                if command.state.is_terminal() {
                    return command;
                }
            }
        };
        ended.await;
        assert_eq!(opened(&life, &sandbox).await.origin, Origin::New);
    });
    life.clean_up(&place);
}
