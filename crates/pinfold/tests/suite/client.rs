//! The commands that talk to a server.

use std::process::Stdio;

use rustix::process::Signal;

use crate::server::{Server, json};
use crate::world::{
    World, ended, eventually, finished, finished_with, good, read_until, signal, text,
};

fn with_box() -> (World, Server) {
    let world = World::new();
    let server = Server::start(&world);
    good(finished(
        &mut world.pinfold(["sandbox", "create", "--name", "box"]),
    ));
    (world, server)
}

#[test]
fn exec_behaves_like_run() {
    let (world, _server) = with_box();
    let exec = |args: &[&str]| finished(world.pinfold(["sandbox", "exec", "box", "--"]).args(args));
    let output = exec(&["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("out\n".into(), "err\n".into())
    );
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(exec(&["printf", r"\377\000"]).stdout, [0xff, 0]);
    assert_eq!(exec(&["no-such-program"]).status.code(), Some(127));
    let died = exec(&["sh", "-c", "kill -TERM $$"]).status;
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&died),
        Some(15)
    );
    let input: Vec<u8> = (0..2_000_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let cat = finished_with(
        &mut world.pinfold(["sandbox", "exec", "box", "--", "cat"]),
        &input,
    );
    assert!(
        cat.stdout == input,
        "{} of {} bytes",
        cat.stdout.len(),
        input.len()
    );
    let mut late = world.pinfold([
        "sandbox",
        "exec",
        "--timeout",
        "200ms",
        "box",
        "sleep",
        "1000",
    ]);
    assert_eq!(finished(&mut late).status.code(), Some(124));
}

#[test]
fn output_beyond_its_bound_does_not_pass_for_the_whole() {
    let (world, _server) = with_box();
    let line = "head -c 3000000 /dev/zero";
    let mut cut = world.pinfold([
        "sandbox",
        "exec",
        "--output-cap",
        "1m",
        "box",
        "--",
        "sh",
        "-c",
        line,
    ]);
    let output = finished(&mut cut);
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text(&output.stderr).contains("bound"),
        "{}",
        text(&output.stderr)
    );
    assert!(output.stdout.len() <= 1 << 20);
}

#[test]
fn signals_reach_a_command_behind_a_server() {
    let (world, _server) = with_box();
    let script = "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = world
        .pinfold(["sandbox", "exec", "box", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    read_until(child.stdout.as_mut().expect("piped"), "ready\n");
    signal(&child, Signal::TERM);
    read_until(child.stdout.as_mut().expect("piped"), "bye\n");
    assert_eq!(ended(&mut child).code(), Some(4));
}

#[test]
fn a_terminal_behind_a_server_is_one() {
    let (world, _server) = with_box();
    let mut shell = world.pinfold([
        "sandbox",
        "exec",
        "--tty",
        "box",
        "--",
        "sh",
        "-c",
        "tty; exit 2",
    ]);
    let output = finished(&mut shell);
    assert!(
        text(&output.stdout).starts_with("/dev/pts/"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(2));
    let mut shell = world.pinfold(["sandbox", "shell", "box"]);
    let output = finished_with(&mut shell, b"echo from-$((1+1))\nexit 8\n");
    assert!(
        text(&output.stdout).contains("from-2"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(output.status.code(), Some(8));
}

/// The server stands still, so the interrupt that the first one asks for is never answered.
#[test]
fn a_second_interrupt_ends_the_program_that_waits_for_code() {
    let (world, server) = with_box();
    let code = "print('ready', flush=True)\nwhile True: pass";
    let mut child = world
        .pinfold(["sandbox", "code", "box", "-c", code])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    read_until(child.stdout.as_mut().expect("piped"), "ready\n");
    let _paused = server.pause();
    signal(&child, Signal::INT);
    // Two that come at once are one.
    eventually("the program ends", || {
        let status = child.try_wait().expect("wait");
        if status.is_none() {
            signal(&child, Signal::INT);
        }
        status.is_some()
    });
    let status = ended(&mut child);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(2),
        "{status}"
    );
}

#[test]
fn files_and_directories_are_copied_both_ways() {
    let (world, _server) = with_box();
    let cp = |from: &str, to: &str| finished(&mut world.pinfold(["sandbox", "cp", from, to]));
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n >> 5) as u8).collect();
    std::fs::create_dir_all(world.path("tree/below")).expect("mkdir");
    std::fs::write(world.path("tree/below/file"), &content).expect("write");
    std::os::unix::fs::symlink("below/file", world.path("tree/link")).expect("link");
    good(cp("tree/below/file", "box:/tmp/file"));
    good(cp("box:/tmp/file", "back"));
    assert!(std::fs::read(world.path("back")).expect("copied") == content);
    good(cp("tree", "box:/tmp"));
    good(cp("box:/tmp/tree", "copy"));
    assert!(std::fs::read(world.path("copy/below/file")).expect("copied") == content);
    let link = std::fs::read_link(world.path("copy/link")).expect("a link");
    assert_eq!(link.to_str(), Some("below/file"));
    assert_eq!(cp("box:/no/such", "x").status.code(), Some(1));
    assert!(!world.path("x").exists());
}

#[test]
fn a_sandbox_goes_through_its_life() {
    let (world, _server) = with_box();
    let state = |args: &[&str]| json(&world, args)["state"].as_str().map(str::to_owned);
    assert_eq!(
        state(&["sandbox", "suspend", "box", "--json"]).as_deref(),
        Some("suspended")
    );
    assert_eq!(
        state(&["sandbox", "resume", "box", "--json"]).as_deref(),
        Some("running")
    );
    assert!(json(&world, &["sandbox", "extend", "box", "1h", "--json"])["expires_at"].is_string());
    assert!(json(&world, &["sandbox", "show", "box", "--json"])["usage"]["processes"].is_u64());
    good(finished(&mut world.pinfold(["sandbox", "rm", "box"])));
    assert_eq!(
        json(&world, &["sandbox", "ls", "--json"]),
        serde_json::json!([])
    );
    let gone = finished(&mut world.pinfold(["sandbox", "rm", "box2"]));
    assert!(
        text(&gone.stderr).contains("box2"),
        "{}",
        text(&gone.stderr)
    );
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn a_name_that_two_have_asks_for_an_id() {
    let (world, _server) = with_box();
    let second = good(finished(
        &mut world.pinfold(["sandbox", "create", "--name", "box"]),
    ));
    let output = finished(&mut world.pinfold(["sandbox", "show", "box"]));
    assert!(
        text(&output.stderr).contains(second.trim()),
        "{}",
        text(&output.stderr)
    );
    good(finished(&mut world.pinfold([
        "sandbox",
        "show",
        second.trim(),
    ])));
}

#[test]
fn images_and_templates_are_managed() {
    let (world, _server) = with_box();
    crate::world::tar(&world.path("image.tar"), &[("etc/motd", b"welcome")]);
    good(finished(
        world
            .pinfold(["images", "import", "mine"])
            .arg(world.path("image.tar")),
    ));
    let image = json(&world, &["images", "show", "mine", "--json"]);
    assert_eq!(image["names"], serde_json::json!(["mine:latest"]));
    let set = [
        "templates",
        "set",
        "small",
        "--image",
        "mine",
        "--memory",
        "256m",
        "--json",
    ];
    assert_eq!(json(&world, &set)["version"], 1);
    assert_eq!(json(&world, &set)["version"], 2);
    good(finished(&mut world.pinfold(["templates", "rm", "small"])));
    good(finished(&mut world.pinfold(["images", "rm", "mine"])));
    let gone = finished(&mut world.pinfold(["images", "show", "mine"]));
    assert_eq!(gone.status.code(), Some(1));
    let host = finished(&mut world.pinfold(["images", "rm", "host"]));
    assert!(
        text(&host.stderr).contains("built in"),
        "{}",
        text(&host.stderr)
    );
}

#[test]
fn keys_projects_usage_and_audit_are_shown() {
    let (world, _server) = with_box();
    let project = json(
        &world,
        &["projects", "create", "team", "--sandboxes", "1", "--json"],
    );
    assert_eq!(project["quota"]["live_sandboxes"], 1);
    let quota = json(
        &world,
        &["projects", "quota", "team", "--sandboxes", "none", "--json"],
    );
    assert!(quota["quota"]["live_sandboxes"].is_null());
    let create = [
        "keys",
        "create",
        "--role",
        "member",
        "--name",
        "ci",
        "--project",
        "team",
    ];
    let secret = good(finished(&mut world.pinfold(create)));
    let mut member = world.pinfold(["sandbox", "ls", "--json"]);
    assert_eq!(
        good(finished(member.env("PINFOLD_API_KEY", secret.trim()))).trim(),
        "[]"
    );
    let mut forbidden = world.pinfold(["keys", "ls"]);
    let output = finished(forbidden.env("PINFOLD_API_KEY", secret.trim()));
    assert!(
        text(&output.stderr).contains("admin"),
        "{}",
        text(&output.stderr)
    );
    good(finished(&mut world.pinfold(["keys", "rm", "ci"])));
    let mut dead = world.pinfold(["sandbox", "ls"]);
    assert_eq!(
        finished(dead.env("PINFOLD_API_KEY", secret.trim()))
            .status
            .code(),
        Some(1)
    );
    assert_eq!(json(&world, &["usage", "--json"])["live_sandboxes"], 1);
    let audit = json(
        &world,
        &["audit", "--action", "key.create", "--limit", "1", "--json"],
    );
    assert_eq!(audit[0]["outcome"], "ok");
}

#[test]
fn a_key_made_without_a_server_opens_one() {
    let world = World::new();
    let secret = good(finished(
        &mut world.pinfold(["keys", "create", "--role", "admin"]),
    ));
    let _server = Server::start(&world);
    assert!(!world.data().join("admin.key").exists());
    good(finished(
        world
            .pinfold(["keys", "ls"])
            .env("PINFOLD_API_KEY", secret.trim()),
    ));
}

#[test]
fn completion_and_doctor_need_no_server() {
    let world = World::new();
    let script = good(finished(&mut world.pinfold(["completion", "bash"])));
    assert!(script.contains("_pinfold"));
    let report = json(&world, &["doctor", "--json"]);
    assert_eq!(report["level"], "namespace");
    assert!(report["fault"].is_null(), "{report}");
    assert!(world.run_directories().is_empty());
}

#[test]
fn snapshots_and_forks_are_made_on_the_command_line() {
    let (world, _server) = with_box();
    let pinfold = |args: &[&str]| good(finished(&mut world.pinfold(args)));
    let inside = |id: &str| pinfold(&["sandbox", "exec", id, "--", "cat", "/workspace/note"]);
    let write = ["sandbox", "exec", "box", "--", "sh", "-c"];
    pinfold(&[&write[..], &["echo kept > /workspace/note"]].concat());
    let take = ["sandbox", "snapshot", "box", "--name", "kept:1"];
    let image = pinfold(&[&take[..], &["--label", "by=test"]].concat());
    pinfold(&[&write[..], &["echo changed > /workspace/note"]].concat());
    let shown = json(&world, &["images", "show", image.trim(), "--json"]);
    assert_eq!(shown["source"], "snapshot");
    assert_eq!(shown["config"]["labels"]["by"], "test");
    let from_it = pinfold(&["sandbox", "create", "--image", "kept:1"]);
    assert_eq!(inside(from_it.trim()), "kept\n");
    let fork = pinfold(&["sandbox", "create", "--fork", "box"]);
    assert_eq!(inside(fork.trim()), "changed\n");
    let both = ["sandbox", "create", "--fork", "box", "--image", "kept:1"];
    assert_eq!(
        finished(&mut world.pinfold(both)).status.code(),
        Some(2),
        "wrong usage"
    );
    // What a server keeps in its pool is not there for a run of its own.
    let alone = finished(&mut world.pinfold(["run", "--image", "kept:1", "true"]));
    assert_eq!(alone.status.code(), Some(125));
    let said = text(&alone.stderr);
    assert!(said.contains("snapshot"), "{said}");
}
