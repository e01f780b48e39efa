//! `pipeline`: documents that run on a server and in this process.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::server::{Server, json};
use crate::world::{
    World, ended, eventually, finished, finished_with, good, processes, read_until, signal, text,
};

const GREEN: &str = "---\nmemory_mib: 256\n---\n\
                     # Write\n```bash\necho hello > note; echo to-stderr >&2\n```\n\
                     # May fail\n```bash continue-on-error\nexit 9\n```\n\
                     # Read\n```bash\ncat note\n```\n";
const RED: &str = "```bash name=one\necho out\n```\n```bash name=two\nprintf half; exit 7\n```\n\
                   ```bash name=three\necho never\n```\n";

fn document(world: &World, name: &str, text: &str) -> String {
    std::fs::write(world.path(name), text).expect("write");
    name.to_owned()
}

/// Both ways: without a server, then with one.
fn each_way(check: impl Fn(&World)) {
    let world = World::new();
    check(&world);
    assert!(world.run_directories().is_empty());
    let _server = Server::start(&world);
    check(&world);
    assert!(world.run_directories().is_empty());
    // Whoever left before its run had ended did not wait for this.
    eventually("sandboxes of runs are gone", || {
        json(&world, &["sandbox", "ls", "--json"]) == Value::Array(Vec::new())
    });
}

#[test]
fn a_document_runs_step_by_step_and_its_output_is_ours() {
    each_way(|world| {
        let file = document(world, "green.md", GREEN);
        let output = finished(&mut world.pinfold(["pipeline", "run", &file]));
        let said = text(&output.stderr);
        assert_eq!(good(output), "hello\n");
        assert!(
            said.contains("[1/3] Write\nto-stderr\n[1/3] passed"),
            "{said}"
        );
        assert!(said.contains("[2/3] failed with code 9"), "{said}");
        assert!(
            said.contains("going on\n[3/3] Read\n[3/3] passed"),
            "{said}"
        );
        assert!(said.ends_with("completed: 2 of 3 steps passed\n"), "{said}");
    });
}

#[test]
fn the_exit_code_is_that_of_the_step_that_failed() {
    each_way(|world| {
        let file = document(world, "red.md", RED);
        let output = finished(&mut world.pinfold(["pipeline", "run", &file]));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{said}");
        assert_eq!(text(&output.stdout), "out\nhalf");
        // Never behind half a line of a step's.
        assert!(
            said.contains("[2/3] two\n\n[2/3] failed with code 7"),
            "{said}"
        );
        assert!(
            said.contains("[3/3] skipped: three\nfailed: 1 of 3"),
            "{said}"
        );
        for (script, code) in [("kill -TERM $$", 143), ("no-such-program", 127)] {
            let text = format!("```bash\n{script}\n```\n");
            let file = document(world, "code.md", &text);
            let output = finished(&mut world.pinfold(["pipeline", "run", &file]));
            assert_eq!(output.status.code(), Some(code), "{script}");
        }
    });
}

#[test]
fn time_that_runs_out_is_told_as_a_shell_does() {
    each_way(|world| {
        let step = document(world, "step.md", "```bash timeout=0.2\nsleep 1000\n```\n");
        let output = finished(&mut world.pinfold(["pipeline", "run", &step]));
        assert_eq!(output.status.code(), Some(124), "{}", text(&output.stderr));
        let run = document(world, "run.md", "```bash\nsleep 1000\n```\n");
        let args = ["pipeline", "run", &run, "--timeout", "500ms"];
        let output = finished(&mut world.pinfold(args));
        assert_eq!(output.status.code(), Some(124), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains("longer than its timeout of 0.5 s"), "{said}");
    });
}

#[test]
fn a_document_comes_from_stdin_and_options_win_over_it() {
    each_way(|world| {
        let text = "---\nimage: no-such-image\nmemory_mib: 64\n---\n\
                    ```bash\necho $WHO $PWD; id -un\ncat; ls\n```\n";
        let args = [
            "pipeline",
            "run",
            "-",
            "--image",
            "host",
            "--memory",
            "128m",
            "--env",
            "WHO=you",
            "--workdir",
            "/srv",
            "--json",
        ];
        let output = finished_with(&mut world.pinfold(args), text.as_bytes());
        let events = events(&good(output));
        let wrote: String = events
            .iter()
            .filter(|event| event["type"] == "output")
            .map(|event| event["data"].as_str().expect("text"))
            .collect();
        assert_eq!(wrote, "you /srv\nroot\n");
        let run = &events.last().expect("an end")["run"];
        assert_eq!(
            (&run["image"], &run["memory_mib"]),
            (&"host".into(), &128.into())
        );
    });
}

fn events(lines: &str) -> Vec<Value> {
    let each = lines.lines().map(serde_json::from_str);
    each.collect::<Result<_, _>>()
        .expect("a JSON object a line")
}

#[test]
fn events_are_told_as_json_and_nothing_else_is() {
    each_way(|world| {
        let file = document(world, "red.md", RED);
        let output = finished(&mut world.pinfold(["pipeline", "run", &file, "--json"]));
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(text(&output.stderr), "");
        let events = events(&text(&output.stdout));
        let kinds: Vec<_> = events.iter().map(|event| &event["type"]).collect();
        let expected = [
            "step_started",
            "output",
            "step_ended",
            "step_started",
            "output",
            "step_ended",
            "step_ended",
            "ended",
        ];
        assert_eq!(kinds, expected);
        let steps = events[7]["run"]["steps"].as_array().expect("steps");
        let states: Vec<_> = steps.iter().map(|step| &step["state"]).collect();
        assert_eq!(states, ["passed", "failed", "skipped"]);
    });
}

/// A run whose step has begun, with our stdout and stderr as its own.
fn begun(world: &World, script: &str) -> Child {
    let file = document(
        world,
        "long.md",
        &format!("```bash\necho begun; {script}\n```\n"),
    );
    let mut child = world
        .pinfold(["pipeline", "run", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    read_until(child.stdout.as_mut().expect("piped"), "begun\n");
    child
}

#[test]
fn ctrl_c_cancels_the_run_and_waits_for_its_end() {
    each_way(|world| {
        let last = duration(1);
        for sent in [Signal::INT, Signal::TERM] {
            let mut child = begun(world, &format!("sleep {last}"));
            signal(&child, sent);
            let mut said = String::new();
            let mut stderr = child.stderr.take().expect("piped");
            std::io::Read::read_to_string(&mut stderr, &mut said).expect("read");
            let status = ended(&mut child);
            assert_eq!(status.signal(), Some(sent.as_raw()), "{status} {said}");
            assert!(said.contains("cancelled: the run was cancelled"), "{said}");
            assert!(processes(&last).is_empty(), "the step is gone");
        }
    });
}

/// What only a process of the calling test sleeps for.
fn duration(of_test: u32) -> String {
    format!("765432{of_test}.{}", std::process::id())
}

/// A run whose stdout is full and read by nobody.
fn stuck(world: &World, last: &str, more: &[&str]) -> Child {
    let script = format!("echo begun >&2; head -c 300000 /dev/zero | tr '\\0' x; sleep {last}");
    let file = document(world, "much.md", &format!("```bash\n{script}\n```\n"));
    let mut child = world
        .pinfold(["pipeline", "run", &file])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    read_until(child.stderr.as_mut().expect("piped"), "begun\n");
    let stdout = child.stdout.as_ref().expect("piped");
    eventually("the pipe is full", || {
        rustix::io::ioctl_fionread(stdout).expect("a pipe") > 60_000
    });
    // All of it was written: nobody in there waits for our reader.
    eventually("the step sleeps", || !processes(last).is_empty());
    child
}

#[test]
fn whoever_stops_reading_holds_up_neither_signals_nor_the_timeout() {
    let last = duration(2);
    each_way(|world| {
        let mut child = stuck(world, &last, &[]);
        signal(&child, Signal::INT);
        eventually("the step is killed", || processes(&last).is_empty());
        signal(&child, Signal::INT);
        let status = ended(&mut child);
        assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{status}");

        let child = stuck(world, &last, &["--timeout", "25s"]);
        eventually("the step is killed", || processes(&last).is_empty());
        // Who reads again misses nothing.
        let output = child.wait_with_output().expect("the rest");
        assert_eq!(output.status.code(), Some(124), "{}", text(&output.stderr));
        assert_eq!(output.stdout.len(), 300_000);
    });
}

#[test]
fn a_run_whose_output_cannot_be_written_is_cancelled() {
    let last = duration(3);
    let script = format!("yes | head -n 100000; sleep {last}");
    each_way(|world| {
        let mut child = begun(world, &script);
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("its end");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        eventually("the step is killed", || processes(&last).is_empty());

        let full = std::fs::File::options().write(true).open("/dev/full");
        let file = document(world, "full.md", &format!("```bash\n{script}\n```\n"));
        let child = world
            .pinfold(["pipeline", "run", &file])
            .stdout(full.expect("a device"))
            .stderr(Stdio::piped())
            .spawn();
        let output = child.expect("start").wait_with_output().expect("its end");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        eventually("the step is killed", || processes(&last).is_empty());
    });
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    each_way(|world| {
        let run = |file: &str, more: &[&str]| {
            let output = finished(world.pinfold(["pipeline", "run", file]).args(more));
            assert_eq!(output.status.code(), Some(125), "{file} {more:?}");
            assert_eq!(text(&output.stdout), "");
            text(&output.stderr)
        };
        let good = document(world, "good.md", "```bash\ntrue\n```\n");
        assert!(run("missing.md", &[]).contains("cannot open missing.md"));
        let none = document(world, "none.md", "# Nothing\n```sh\ntrue\n```\n");
        assert!(run(&none, &[]).contains("whose language is bash"));
        let bad = document(
            world,
            "bad.md",
            "---\nvcpu: many\n---\n```bash\ntrue\n```\n",
        );
        assert!(run(&bad, &[]).contains("vcpu"));
        std::fs::write(world.path("raw.md"), b"```bash\n\xff\n```\n").expect("write");
        assert!(run("raw.md", &[]).contains("raw.md is not UTF-8"));
        let image = run(&good, &["--image", "no-such-image"]);
        assert!(image.contains("no image \"no-such-image\""), "{image}");
        assert!(run(&good, &["--memory", "1m"]).contains("memory_mib"));
    });
}

#[test]
fn runs_of_a_server_are_listed_shown_told_again_and_cancelled() {
    let world = World::new();
    let file = document(&world, "red.md", RED);
    let alone = finished(&mut world.pinfold(["pipeline", "run", &file, "--detach"]));
    assert!(text(&alone.stderr).contains("pinfold serve"), "{alone:?}");
    let _server = Server::start(&world);
    let number = good(finished(
        &mut world.pinfold(["pipeline", "run", &file, "-d"]),
    ));
    let number = number.trim();
    let logs = good(finished(&mut world.pinfold(["pipeline", "logs", number])));
    assert_eq!(logs, "out\nhalf");
    let shown = good(finished(&mut world.pinfold(["pipeline", "show", number])));
    assert!(shown.contains("2. two: failed (7)"), "{shown}");
    let long = document(&world, "long.md", "```bash\nsleep 1000\n```\n");
    let other = good(finished(
        &mut world.pinfold(["pipeline", "run", &long, "-d"]),
    ));
    good(finished(&mut world.pinfold([
        "pipeline",
        "cancel",
        other.trim(),
    ])));
    let listed = |state: &str| {
        let all = json(&world, &["pipeline", "ls", "--state", state, "--json"]);
        let ids = all.as_array().expect("a list").iter();
        ids.map(|run| run["id"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed("cancelled"), [other.trim()]);
    assert_eq!(listed("failed"), [number]);
    let unknown = finished(&mut world.pinfold(["pipeline", "show", "77"]));
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("run_not_found"));
}

#[test]
fn a_run_is_followed_through_a_kill_of_the_server_and_its_output_comes_once() {
    let world = World::new();
    let server = Server::start(&world);
    let url = crate::server::url(&world).expect("announced");
    let mut child = begun(
        &world,
        "until test -e /tmp/go; do sleep 0.02; done; echo gone",
    );
    let mut stdout = child.stdout.take().expect("piped");
    server.end(Signal::KILL);
    let address = url.trim_start_matches("http://");
    let server = Server::start_with(&world, |command| command.env("PINFOLD_LISTEN", address));
    let runs = json(&world, &["pipeline", "ls", "--json"]);
    let sandbox = runs[0]["sandbox_id"].as_str().expect("an id").to_owned();
    eventually("the sandbox is found again", || {
        let touch = ["sandbox", "exec", &sandbox, "--", "touch", "/tmp/go"];
        finished(&mut world.pinfold(touch)).status.success()
    });
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).expect("read");
    assert_eq!(rest, "gone\n");
    assert_eq!(ended(&mut child).code(), Some(0));
    assert_eq!(server.end(Signal::TERM).code(), Some(0));
}
