//! `pinfold preview`, and what of previews outlives a server.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::server::{Server, json, url};
use crate::world::{World, eventually, finished, good, text};

/// The status and everything behind it, of a GET at a host.
fn get(world: &World, host: &str, target: &str) -> String {
    let url = url(world).expect("a server");
    let address = url.strip_prefix("http://").expect("plain HTTP");
    let mut stream = TcpStream::connect(address).expect("connected");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("read");
    text(&answer)
}

fn serve_a_page(world: &World) {
    let script = "cd /tmp && echo page > index.html && exec python3 -m http.server 8000";
    let args = ["sandbox", "exec", "box", "--", "sh", "-c"];
    let line = format!("({script}) >/dev/null 2>&1 </dev/null & sleep infinity");
    let mut exec = world.pinfold(args);
    let child = exec.arg(line).stdout(std::process::Stdio::null()).spawn();
    // The command belongs to the server; this process only watches it.
    let mut child = child.expect("started");
    std::thread::spawn(move || child.wait());
}

#[test]
fn previews_are_made_listed_opened_and_ended() {
    let world = World::new();
    let server = Server::start_with(&world, |command| {
        command.args(["--ephemeral", "--preview-domain", "preview.test"])
    });
    good(finished(
        &mut world.pinfold(["sandbox", "create", "--name", "box"]),
    ));
    let create = ["preview", "create", "box", "8000", "--access", "public"];
    let printed = good(finished(&mut world.pinfold(create)));
    let made = json(&world, &["preview", "ls", "box", "--json"]);
    assert_eq!(made[0]["url"], printed.trim());
    assert!(printed.contains(".preview.test:"), "{printed}");
    let id = made[0]["id"].as_str().expect("an id");
    let shown = json(&world, &["preview", "show", id, "--json"]);
    assert_eq!(
        (&shown["port"], &shown["state"]),
        (&8000.into(), &"active".into())
    );
    let link = good(finished(&mut world.pinfold(["preview", "link", id])));
    assert!(link.starts_with(&format!("{}?pinfold_token=pvl_", printed.trim())));
    let other = finished(&mut world.pinfold(["preview", "create", "box", "8000"]));
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("revoke it first"),
        "{}",
        text(&other.stderr)
    );
    serve_a_page(&world);
    let host = printed.trim().strip_prefix("http://").expect("plain HTTP");
    let host = host.trim_end_matches('/');
    eventually("the page is served", || {
        get(&world, host, "/").ends_with("page\n")
    });
    assert_eq!(
        good(finished(&mut world.pinfold(["preview", "rm", id]))).trim(),
        id
    );
    assert!(get(&world, host, "/").starts_with("HTTP/1.1 410"));
    let left = json(&world, &["preview", "ls", "box", "--json"]);
    assert_eq!(left, serde_json::json!([]));
    let all = json(&world, &["preview", "ls", "--all", "box", "--json"]);
    assert_eq!(all[0]["state"], "revoked");
    assert_eq!(server.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_preview_outlives_a_server_that_is_killed() {
    let world = World::new();
    let first = Server::start(&world);
    good(finished(
        &mut world.pinfold(["sandbox", "create", "--name", "box"]),
    ));
    let create = [
        "preview", "create", "box", "8000", "--access", "public", "--json",
    ];
    let made = json(&world, &create);
    let target = format!("/p/{}/", made["preview"]["slug"].as_str().expect("a slug"));
    serve_a_page(&world);
    eventually("the page is served", || {
        get(&world, "x", &target).ends_with("page\n")
    });
    first.end(Signal::KILL);
    let second = Server::start(&world);
    eventually("the page is served again", || {
        get(&world, "x", &target).ends_with("page\n")
    });
    let again = json(&world, &create);
    assert_eq!(again["preview"]["id"], made["preview"]["id"]);
    good(finished(&mut world.pinfold(["sandbox", "destroy", "box"])));
    assert!(get(&world, "x", &target).starts_with("HTTP/1.1 410"));
    second.end(Signal::TERM);
}
