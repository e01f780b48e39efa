//! What a killed run leaves, and who clears it.

use std::process::Stdio;

use rustix::process::Signal;

use crate::world::{World, cgroups, ended, eventually, good, processes, read_until, signal};

#[test]
fn after_a_killed_run_nothing_is_left_by_the_end_of_the_next() {
    let world = World::new();
    let marker = format!("98765.{}", std::process::id());
    let script = format!("echo ready; sleep {marker} & exec sleep {marker}");
    let mut child = world
        .pinfold(["run", "--", "sh", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    read_until(child.stdout.as_mut().expect("piped"), "ready\n");
    let runs = world.run_directories();
    assert_eq!(runs.len(), 1);
    assert!(
        !cgroups(&format!("run-{}", runs[0])).is_empty(),
        "the test looks in the right place"
    );
    signal(&child, Signal::KILL);
    ended(&mut child);
    eventually("its processes are gone", || processes(&marker).is_empty());
    good(world.run(["true"]));
    assert!(world.run_directories().is_empty());
    assert!(cgroups(&format!("run-{}", runs[0])).is_empty());
}

#[test]
fn a_run_leaves_another_runs_sandbox_alone() {
    let world = World::new();
    let mut child = world
        .pinfold(["run", "--", "sh", "-c", "echo ready; read x; echo still $x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdout = child.stdout.take().expect("piped");
    read_until(&mut stdout, "ready\n");
    good(world.run(["true"]));
    use std::io::Write;
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(b"here\n")
        .expect("write");
    assert_eq!(read_until(&mut stdout, "still here\n"), "still here\n");
    assert!(ended(&mut child).success());
}

#[test]
fn a_run_leaves_no_process_group_or_directory() {
    let world = World::new();
    good(world.run(["sh", "-c", "sleep 1000 & setsid sleep 1000 & echo"]));
    assert!(world.run_directories().is_empty());
    let data = world.data().display().to_string();
    assert!(processes(&data).is_empty());
}
