//! Terminals.

use pinfold_engine::OpenTerminal;
use pinfold_model::journal::RecordBody;
use pinfold_model::{Code, Scopes, WindowSize};

use super::place::{Place, shell};

#[test]
fn a_terminal_is_typed_into_resized_and_attached_again() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        let open = engine
            .open_terminal(ctx, &sandbox, OpenTerminal::default(), None)
            .await;
        let id = open.expect("open").value.id;
        let mut terminal = engine.attach_terminal(ctx, &id, 0).await.expect("attach");
        terminal
            .input
            .resize(WindowSize { rows: 40, cols: 99 })
            .await
            .expect("resize");
        terminal
            .input
            .write(b"stty size; echo mar''ker\n")
            .await
            .expect("type");
        let mut screen = String::new();
        while !screen.contains("marker") {
            let record = terminal
                .output
                .next()
                .await
                .expect("record")
                .expect("it goes on");
            if let RecordBody::Output { bytes, .. } = record.body {
                screen.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        assert!(screen.contains("40 99"), "{screen:?}");
        let seen = terminal.output.position();
        drop(terminal);
        let mut again = engine
            .attach_terminal(ctx, &id, seen)
            .await
            .expect("attach");
        again.input.write(b"exit 3\n").await.expect("type");
        while let Some(record) = again.output.next().await.expect("record") {
            assert!(record.seq > seen);
        }
        let ended = life.wait(&id).await;
        assert_eq!(ended.state.exit_status().map(|s| s.shell_code()), Some(3));
        let plain = life.start(&sandbox, shell("sleep 1000")).await;
        let refused = engine
            .attach_terminal(ctx, &plain, 0)
            .await
            .expect_err("no terminal");
        assert_eq!(refused.code(), Code::SessionNotFound);
        let mut looks = ctx.clone();
        looks.principal.scopes = Scopes::parse(&["sandboxes:read"]).expect("a scope");
        let refused = engine.attach_terminal(&looks, &plain, 0).await;
        let refused = refused.expect_err("whoever attaches may type");
        assert_eq!(refused.code(), Code::PermissionDenied);
    });
    life.clean_up(&place);
}
