//! `serve`: its life, and what outlives it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};

use rustix::process::Signal;

use crate::world::{World, ended, eventually, finished, good, processes, signal, text};

/// A server of the installation, on a port of its own.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    pub(crate) fn start(world: &World) -> Self {
        Self::start_with(world, |command| command)
    }

    pub(crate) fn start_with(
        world: &World,
        adjust: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(world.path("log"))
            .expect("log");
        // What an earlier server announced is not this one's.
        let _ = std::fs::write(world.data().join("server.lock"), "");
        let mut command = world.pinfold(["serve"]);
        command.env("PINFOLD_LISTEN", "127.0.0.1:0");
        let child = adjust(command.stderr(log)).spawn().expect("start");
        let mut server = Self { child };
        eventually("the server announces itself", || {
            let gone = server.child.try_wait().expect("wait");
            let log = || std::fs::read_to_string(world.path("log")).unwrap_or_default();
            assert!(gone.is_none(), "the server ended: {}", log());
            url(world).is_some()
        });
        server
    }

    /// Stands still until what is returned is dropped.
    pub(crate) fn pause(&self) -> Paused<'_> {
        signal(&self.child, Signal::STOP);
        Paused(&self.child)
    }

    pub(crate) fn end(mut self, by: Signal) -> std::process::ExitStatus {
        signal(&self.child, by);
        ended(&mut self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            signal(&self.child, Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// A server that stands still.
pub(crate) struct Paused<'a>(&'a Child);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

pub(crate) fn url(world: &World) -> Option<String> {
    let notice = std::fs::read_to_string(world.data().join("server.lock")).ok()?;
    let notice: serde_json::Value = serde_json::from_str(&notice).ok()?;
    notice["url"].as_str().map(str::to_owned)
}

pub(crate) fn json(world: &World, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&good(finished(&mut world.pinfold(args)))).expect("JSON")
}

#[test]
fn the_first_start_makes_a_private_place_and_a_key() {
    let world = World::new();
    let server = Server::start(&world);
    let mode = |path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(world.data()), 0o700);
    assert_eq!(mode(world.data().join("admin.key")), 0o600);
    let key = std::fs::read_to_string(world.data().join("admin.key")).expect("readable");
    assert!(
        !std::fs::read_to_string(world.path("log"))
            .expect("log")
            .contains(key.trim())
    );
    let version = json(&world, &["version", "--json"]);
    assert_eq!(version["server"], version["client"]);
    assert_eq!(server.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_bootstrap_key_is_taken_and_never_logged() {
    let world = World::new();
    let secret = "a-secret-of-the-operator-1234";
    let _server = Server::start_with(&world, |command| {
        command.env("PINFOLD_BOOTSTRAP_KEY", secret)
    });
    assert!(!world.data().join("admin.key").exists());
    good(finished(
        world.pinfold(["keys", "ls"]).env("PINFOLD_API_KEY", secret),
    ));
    let wrong = finished(
        world
            .pinfold(["keys", "ls"])
            .env("PINFOLD_API_KEY", "wrong"),
    );
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).contains("key is unknown"),
        "{}",
        text(&wrong.stderr)
    );
    assert!(
        !std::fs::read_to_string(world.path("log"))
            .expect("log")
            .contains(secret)
    );
}

#[test]
fn a_short_bootstrap_key_is_refused() {
    let world = World::new();
    let mut serve = world.pinfold(["serve", "--listen", "127.0.0.1:0"]);
    let output = finished(serve.env("PINFOLD_BOOTSTRAP_KEY", "short"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("24"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_second_server_on_the_same_data_names_the_first() {
    let world = World::new();
    let server = Server::start(&world);
    let output = finished(&mut world.pinfold(["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!(output.status.code(), Some(1));
    let pid = server.child.id().to_string();
    assert!(
        text(&output.stderr).contains(&pid),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn an_address_in_use_is_named() {
    let (world, other) = (World::new(), World::new());
    let _server = Server::start(&world);
    let address = url(&world).expect("announced").replace("http://", "");
    let output = finished(&mut other.pinfold(["serve", "--listen", &address]));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains(&address),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_killed_server_has_every_sandbox_command_and_byte_when_it_is_back() {
    const LINES: u32 = 3000;
    let world = World::new();
    let server = Server::start(&world);
    let made = good(finished(
        &mut world.pinfold(["sandbox", "create", "--name", "box"]),
    ));
    let count = format!(
        "i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; sleep 0.001; done; exit 5"
    );
    let command = good(finished(&mut world.pinfold([
        "sandbox", "exec", "--detach", "box", "--", "sh", "-c", &count,
    ])));
    let command = command.trim();
    good(finished(&mut world.pinfold([
        "sandbox",
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "echo kept > /tmp/file",
    ])));
    eventually("some output is there", || {
        let logs = finished(&mut world.pinfold(["sandbox", "logs", "box", command]));
        good(logs).lines().count() > 10
    });
    server.end(Signal::KILL);
    let _server = Server::start(&world);
    let boxes = json(&world, &["sandbox", "ls", "--json"]);
    assert_eq!(boxes[0]["id"], made.trim());
    assert_eq!(boxes[0]["state"], "running");
    let logs = good(finished(
        &mut world.pinfold(["sandbox", "logs", "--follow", "box", command]),
    ));
    let expected: String = (1..=LINES).map(|n| format!("line {n}\n")).collect();
    assert_eq!(logs, expected);
    let commands = json(&world, &["sandbox", "commands", "box", "--json"]);
    let ended = commands
        .as_array()
        .expect("a list")
        .iter()
        .find(|c| c["id"] == command);
    assert_eq!(ended.expect("known")["exit_code"], 5);
    let kept = finished(&mut world.pinfold(["sandbox", "exec", "box", "--", "cat", "/tmp/file"]));
    assert_eq!(good(kept), "kept\n");
    good(finished(&mut world.pinfold(["sandbox", "rm", "box"])));
}

/// The spawner stands still with a boot in hand while its server dies and the next one starts.
#[test]
fn a_boot_that_outlives_its_server_leaves_one_sandbox_and_one_guest() {
    let world = World::new();
    let server = Server::start(&world);
    let spawner = only(children(server.child.id(), "pinfold-spawner"));
    let stop = |signal| rustix::process::kill_process(spawner, signal).expect("alive");
    stop(Signal::STOP);
    let mut creating = world
        .pinfold(["sandbox", "create", "--name", "box"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("start");
    let booting = || {
        let entries = std::fs::read_dir(world.data().join("sandboxes")).expect("list");
        entries
            .map(|entry| entry.expect("an entry").path())
            .any(|path| path.join("guest.sock").exists())
    };
    eventually("the boot is with the spawner", booting);
    server.end(Signal::KILL);
    creating.kill().expect("kill");
    ended(&mut creating);
    let _server = std::thread::scope(|scope| {
        let starting = scope.spawn(|| Server::start(&world));
        // The next server looks for what is there, which the spawner then adds to.
        std::thread::sleep(std::time::Duration::from_millis(500));
        stop(Signal::CONT);
        starting.join().expect("started")
    });
    eventually("it runs", || {
        json(&world, &["sandbox", "ls", "--json"])[0]["state"] == "running"
    });
    let ran = world.pinfold(["sandbox", "exec", "box", "--", "echo", "here"]);
    assert_eq!(good(finished(&mut { ran })), "here\n");
    let id = json(&world, &["sandbox", "ls", "--json"])[0]["id"].clone();
    let groups = crate::world::cgroups(id.as_str().expect("an id"));
    let guests = std::fs::read_to_string(groups[0].join("cgroup.procs")).expect("procs");
    assert_eq!(guests.lines().count(), 1, "{guests}");
    good(finished(&mut world.pinfold(["sandbox", "rm", "box"])));
}

/// Children of a process by their name.
fn children(of: u32, name: &str) -> Vec<rustix::process::Pid> {
    let entries = std::fs::read_dir("/proc").expect("proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let cmdline = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parent == Some(of.to_string().as_str()) && cmdline.starts_with(name)
    };
    pids.filter(is_child)
        .filter_map(rustix::process::Pid::from_raw)
        .collect()
}

fn only<T>(all: Vec<T>) -> T {
    assert_eq!(all.len(), 1);
    all.into_iter().next().expect("one")
}

#[test]
fn sandboxes_outlive_the_server_unless_it_is_ephemeral() {
    let world = World::new();
    let marker = format!("87654.{}", std::process::id());
    let start = |world: &World| {
        good(finished(
            &mut world.pinfold(["sandbox", "create", "--name", "box"]),
        ));
        good(finished(&mut world.pinfold([
            "sandbox", "exec", "-d", "box", "--", "sleep", &marker,
        ])));
        eventually("it runs", || !processes(&marker).is_empty());
    };
    let server = Server::start(&world);
    start(&world);
    assert_eq!(server.end(Signal::TERM).code(), Some(0));
    assert!(!processes(&marker).is_empty(), "it lives on");
    let server = Server::start_with(&world, |command| command.arg("--ephemeral"));
    assert_eq!(server.end(Signal::TERM).code(), Some(0));
    assert!(processes(&marker).is_empty(), "it ended with the server");
}

#[test]
fn the_remains_of_a_killed_run_are_cleared_by_a_server() {
    let world = World::new();
    let mut child = world
        .pinfold(["run", "--", "sh", "-c", "echo ready; sleep 1000"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("start");
    crate::world::read_until(child.stdout.as_mut().expect("piped"), "ready\n");
    signal(&child, Signal::KILL);
    ended(&mut child);
    assert_eq!(world.run_directories().len(), 1);
    let _server = Server::start(&world);
    eventually("the directory is gone", || {
        world.run_directories().is_empty()
    });
}

#[test]
fn logs_are_json_where_asked() {
    let world = World::new();
    let server = Server::start_with(&world, |command| command.args(["--log-format", "json"]));
    server.end(Signal::TERM);
    let log = std::fs::read_to_string(world.path("log")).expect("log");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("an object a line");
    }
    assert!(log.contains("serving"), "{log}");
}

#[test]
fn a_rate_limit_holds_on_every_api_for_each_key_and_for_addresses_with_wrong_ones() {
    const ROUTES: [&str; 3] = ["/v1/whoami", "/crownest/v1/projects", "/upstream/v1/usage"];
    let world = World::new();
    let _server = Server::start_with(&world, |command| command.env("PINFOLD_RATE_LIMIT", "3/h"));
    let address = url(&world).expect("announced").replace("http://", "");
    let key = std::fs::read_to_string(world.data().join("admin.key")).expect("readable");
    let pass = |key: &str, status: &str| {
        for route in ROUTES {
            let answer = get(&address, route, key);
            assert!(answer.starts_with(status), "{route}: {answer}");
        }
    };
    let limited = |key: &str| {
        for route in ROUTES {
            let answer = get(&address, route, key);
            assert!(answer.starts_with("HTTP/1.1 429 "), "{route}: {answer}");
            let lines = answer.lines().map(str::to_ascii_lowercase);
            let mut waits =
                lines.filter_map(|line| Some(line.strip_prefix("retry-after: ")?.parse()));
            let wait: u64 = waits.next().expect("it says how long").expect("seconds");
            assert!((1..=1200).contains(&wait), "{route}: {wait} s");
        }
    };
    pass("pfk_wrong", "HTTP/1.1 401 ");
    limited("pfk_another_wrong_one");
    // The address is out of attempts, and this is none.
    pass(key.trim(), "HTTP/1.1 200 ");
    limited(key.trim());
}

/// The whole answer.
fn get(address: &str, route: &str, key: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("connected");
    let timeout = Some(crate::world::DEADLINE);
    stream.set_read_timeout(timeout).expect("a socket");
    let request = format!(
        "GET {route} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_run_beside_a_server_uses_what_that_knows_and_says_nothing() {
    let world = World::new();
    let _server = Server::start(&world);
    // A template of the server's own database.
    let run = finished(&mut world.pinfold(["run", "--image", "base", "--", "echo", "ran"]));
    assert_eq!(text(&run.stderr), "");
    assert_eq!(good(run), "ran\n");
}
