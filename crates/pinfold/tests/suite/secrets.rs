//! `pinfold secrets`: values from stdin or a prompt, and never back.

use std::io::Write;

use crate::run_terminal::Terminal;
use crate::server::{Server, json};
use crate::world::{World, ended, eventually, finished, finished_with, good, read_until, text};

#[test]
fn a_value_comes_from_stdin_and_is_shown_by_nothing() {
    let world = World::new();
    let _server = Server::start(&world);
    let set = finished_with(
        &mut world.pinfold(["secrets", "set", "TOKEN"]),
        b"hunter2\n",
    );
    let shown = good(set);
    assert!(
        shown.contains("TOKEN") && !shown.contains("hunter2"),
        "{shown}"
    );
    let listed = json(&world, &["secrets", "ls", "--json"]);
    assert_eq!(listed[0]["name"], "TOKEN");
    assert_eq!(
        json(&world, &["secrets", "show", "TOKEN", "--json"]),
        listed[0]
    );
    let table = good(finished(&mut world.pinfold(["secrets", "ls"])));
    assert!(table.contains("TOKEN") && table.contains("key_"), "{table}");
    for (input, word) in [
        (b"".as_slice(), "no value"),
        (b"\n", "no value"),
        (b"hunter2\0hunter2\n", "NUL"),
        (&[b'x'; (32 << 10) + 1], "32768"),
        (&[0xff, b'\n'], "UTF-8"),
    ] {
        let refused = finished_with(&mut world.pinfold(["secrets", "set", "OTHER"]), input);
        let complaint = text(&refused.stderr);
        assert!(
            !refused.status.success() && complaint.contains(word),
            "{complaint}"
        );
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
    let in_arguments = finished(&mut world.pinfold(["secrets", "set", "TOKEN", "hunter2"]));
    assert_eq!(in_arguments.status.code(), Some(2), "wrong usage");
    good(finished(&mut world.pinfold(["secrets", "rm", "TOKEN"])));
    assert_eq!(
        json(&world, &["secrets", "ls", "--json"]),
        serde_json::json!([])
    );
    let gone = finished(&mut world.pinfold(["secrets", "show", "TOKEN"]));
    assert!(text(&gone.stderr).contains("TOKEN"), "{gone:?}");
}

#[test]
fn a_prompt_shows_nothing_of_what_is_typed_and_gives_the_terminal_back() {
    let world = World::new();
    let _server = Server::start(&world);
    let mut terminal = Terminal::new(24, 80);
    let mut child = terminal.start(&world.pinfold(["secrets", "set", "TOKEN"]));
    eventually("the terminal is silent", || !terminal.echoes());
    read_until(&mut terminal.ours, "Value of TOKEN: ");
    terminal.ours.write_all(b"hunter2\n").expect("type");
    assert!(ended(&mut child).success());
    let said = read_until(&mut terminal.ours, "created by");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(terminal.echoes(), "the terminal is as it was");

    let mut terminal = Terminal::new(24, 80);
    let mut child = terminal.start(&world.pinfold(["secrets", "set", "OTHER"]));
    eventually("the terminal is silent", || !terminal.echoes());
    read_until(&mut terminal.ours, "Value of OTHER: ");
    terminal.ours.write_all(b"hun\x03").expect("type");
    assert!(!ended(&mut child).success());
    assert!(terminal.echoes(), "the terminal is as it was");
    let listed = json(&world, &["secrets", "ls", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "nothing was set");
}

#[test]
fn the_operators_own_key_is_used_in_place_of_a_file() {
    let world = World::new();
    let (own, other) = ("5e".repeat(32), "c1".repeat(32));
    let with =
        |key: &str| Server::start_with(&world, |serve| serve.env("PINFOLD_SECRETS_KEY", key));
    let set = || {
        finished_with(
            &mut world.pinfold(["secrets", "set", "TOKEN"]),
            b"hunter2\n",
        )
    };
    let server = with(&own);
    good(set());
    assert!(!world.data().join("secrets.key").exists());
    server.end(rustix::process::Signal::TERM);
    let server = with(&other);
    let complaint = text(&set().stderr);
    assert!(complaint.contains("another key"), "{complaint}");
    server.end(rustix::process::Signal::TERM);
    let server = with(&own);
    good(set());
    server.end(rustix::process::Signal::TERM);
    let mut wrong = world.pinfold(["serve"]);
    let wrong = finished(wrong.env("PINFOLD_SECRETS_KEY", &own[1..]));
    let complaint = text(&wrong.stderr);
    assert!(complaint.contains("PINFOLD_SECRETS_KEY"), "{complaint}");
    assert!(!complaint.contains(&own[1..]), "{complaint}");
}
