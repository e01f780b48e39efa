//! `run`: how it ends.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use rustix::process::Signal;

use crate::world::{World, ended, finished, read_until, signal, text};

#[test]
fn exit_codes_are_the_commands_own() {
    let world = World::new();
    for code in [0, 1, 2, 42, 125, 255] {
        let output = world.run(["sh", "-c", &format!("exit {code}")]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    }
}

#[test]
fn what_cannot_be_executed_ends_as_in_a_shell() {
    let world = World::new();
    let missing = world.run(["no-such-program"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(
        text(&missing.stderr).contains("no-such-program"),
        "{}",
        text(&missing.stderr)
    );
    let output = world.run(["/etc/passwd"]);
    assert_eq!(output.status.code(), Some(126), "{}", text(&output.stderr));
}

#[test]
fn a_command_that_dies_of_a_signal_passes_it_on() {
    let world = World::new();
    for (name, number) in [("TERM", 15), ("KILL", 9), ("USR1", 10), ("QUIT", 3)] {
        let output = world.run(["sh", "-c", &format!("kill -{name} $$")]);
        assert_eq!(
            output.status.signal(),
            Some(number),
            "{name}: {}",
            text(&output.stderr)
        );
    }
}

fn started(world: &World, script: &str) -> Child {
    let mut child = world
        .pinfold(["run", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    read_until(child.stdout.as_mut().expect("piped"), "ready\n");
    child
}

#[test]
fn signals_reach_the_command_which_may_handle_them() {
    let world = World::new();
    for (name, sent) in [
        ("INT", Signal::INT),
        ("TERM", Signal::TERM),
        ("HUP", Signal::HUP),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
    ] {
        let script = format!(
            "trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
        );
        let mut child = started(&world, &script);
        signal(&child, sent);
        read_until(
            child.stdout.as_mut().expect("piped"),
            &format!("got {name}\n"),
        );
        assert_eq!(ended(&mut child).code(), Some(7), "{name}");
    }
}

#[test]
fn a_second_interrupt_reaches_the_command_too() {
    let world = World::new();
    let script = "n=0; trap 'n=$((n+1)); echo $n; [ $n = 2 ] && exit 5' INT; echo ready; \
                  while :; do sleep 0.05; done";
    let mut child = started(&world, script);
    signal(&child, Signal::INT);
    read_until(child.stdout.as_mut().expect("piped"), "1\n");
    signal(&child, Signal::INT);
    read_until(child.stdout.as_mut().expect("piped"), "2\n");
    assert_eq!(ended(&mut child).code(), Some(5));
}

#[test]
fn a_signal_that_the_command_does_not_handle_ends_both() {
    let world = World::new();
    let mut child = started(&world, "echo ready; exec sleep 1000");
    signal(&child, Signal::TERM);
    assert_eq!(ended(&mut child).signal(), Some(15));
    assert!(world.run_directories().is_empty());
}

#[test]
fn stopping_and_continuing_stops_and_continues_the_command() {
    let world = World::new();
    let mut child = started(
        &world,
        "echo ready; i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done",
    );
    let mut stdout = child.stdout.take().expect("piped");
    signal(&child, Signal::TSTP);
    let stat = format!("/proc/{}/stat", child.id());
    crate::world::eventually("it stops", || {
        let line = std::fs::read_to_string(&stat).expect("it lives");
        line.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'))
    });
    signal(&child, Signal::CONT);
    for _ in 0..100 {
        read_until(&mut stdout, "\n");
    }
    drop(stdout);
    ended(&mut child);
}

#[test]
fn a_timeout_ends_the_command_with_124_and_says_so() {
    let world = World::new();
    let output = finished(&mut world.pinfold([
        "run",
        "--timeout",
        "300ms",
        "--",
        "sh",
        "-c",
        "trap '' TERM INT; echo begun; sleep 1000",
    ]));
    assert_eq!(output.status.code(), Some(124));
    assert_eq!(text(&output.stdout), "begun\n");
    assert!(
        text(&output.stderr).contains("300ms"),
        "{}",
        text(&output.stderr)
    );
    assert!(world.run_directories().is_empty());
}

#[test]
fn running_out_of_memory_is_said() {
    let world = World::new();
    let hog = "b = bytearray(400 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\n";
    let output =
        finished(&mut world.pinfold(["run", "--memory", "64m", "--", "python3", "-c", hog]));
    assert!(!output.status.success());
    assert!(
        text(&output.stderr).contains("memory"),
        "{}",
        text(&output.stderr)
    );
}
