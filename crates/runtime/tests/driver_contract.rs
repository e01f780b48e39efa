//! The contract of `Driver`, as its documentation states it, against every implementation.

mod support;

use std::path::Path;

use pinfold_model::{ExitStatus, Resources, SandboxId};
use pinfold_runtime::driver::{BootError, BootSpec};
use rustix::event::{PollFd, PollFlags};
use support::World;

#[tokio::test]
async fn a_booted_sandbox_runs_commands_and_leaves_nothing_when_destroyed() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let output = sandbox.sh("echo out; echo err >&2; exit 3").await;
    assert_eq!(output.status, ExitStatus::Code(3), "{output:?}");
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
    world.destroy(sandbox).await;
    assert!(world.driver().survey().await.expect("survey").is_empty());
    assert_nothing_left(&world);
}

#[tokio::test]
async fn a_sandbox_outlives_its_server_and_the_next_one_finds_it() {
    let mut world = World::new();
    let spec = world.spec();
    let sandbox = world.boot(&spec).await;
    assert_eq!(
        sandbox.sh("echo kept > /tmp/file").await.status,
        ExitStatus::Code(0)
    );
    let boot = sandbox.guest.boot_id();
    drop(sandbox);
    world.restart();
    let remains = world.driver().survey().await.expect("survey");
    assert_eq!(remains.len(), 1);
    assert!(remains[0].alive && remains[0].id == spec.id);
    let guest = world
        .driver()
        .attach(&spec.id)
        .await
        .expect("attach")
        .expect("alive");
    assert_eq!(guest.boot_id(), boot);
    let sandbox = support::Sandbox {
        id: spec.id.clone(),
        guest,
    };
    assert_eq!(sandbox.sh("cat /tmp/file").await.stdout, "kept\n");
    world.destroy(sandbox).await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn what_is_gone_cannot_be_attached_and_may_be_destroyed_again() {
    let world = World::new();
    let unknown = SandboxId::generate();
    assert!(
        world
            .driver()
            .attach(&unknown)
            .await
            .expect("attach")
            .is_none()
    );
    world.driver().destroy(&unknown).await.expect("destroy");
    let sandbox = world.boot_default().await;
    let id = sandbox.id.clone();
    world.destroy(sandbox).await;
    assert!(world.driver().attach(&id).await.expect("attach").is_none());
    world.driver().destroy(&id).await.expect("destroy");
}

#[tokio::test]
async fn a_boot_right_behind_a_destroy_of_the_same_id_begins_afresh() {
    let world = World::new();
    let spec = world.spec();
    for _ in 0..5 {
        let sandbox = world.boot(&spec).await;
        let found = sandbox.sh("cat /tmp/file; echo here > /tmp/file").await;
        assert_eq!(found.stdout, "", "{found:?}");
        world.driver().destroy(&spec.id).await.expect("destroyed");
    }
    world.driver().settle().await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn a_guest_that_was_killed_is_found_dead() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let pid = sandbox.guest.pid().expect("pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
    tokio::time::timeout(support::DEADLINE, sandbox.guest.closed())
        .await
        .expect("closed");
    assert!(
        world
            .driver()
            .attach(&sandbox.id)
            .await
            .expect("attach")
            .is_none()
    );
    world.destroy(sandbox).await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn a_boot_that_fails_leaves_nothing() {
    let world = World::new();
    let mut spec = world.spec();
    spec.root.layers = vec![world.temp.path().join("missing")];
    let error = world.driver().boot(&spec).await.expect_err("no such layer");
    assert!(matches!(error, BootError::Step { .. }), "{error:?}");
    world.driver().settle().await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn a_frozen_sandbox_stands_still_and_goes_on() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let ticking = sandbox
        .sh("(while :; do echo x >> /tmp/ticks; sleep 0.01; done) >/dev/null 2>&1 &")
        .await;
    assert_eq!(ticking.status, ExitStatus::Code(0));
    world.driver().freeze(&sandbox.id).await.expect("freeze");
    let before = world
        .driver()
        .gauge(&sandbox.id)
        .await
        .expect("gauge")
        .cpu_used_us;
    let usage = sandbox.guest.usage();
    let answer = tokio::time::timeout(std::time::Duration::from_millis(300), usage).await;
    assert!(answer.is_err(), "a frozen guest does not answer");
    let after = world
        .driver()
        .gauge(&sandbox.id)
        .await
        .expect("gauge")
        .cpu_used_us;
    assert_eq!(before, after);
    world.driver().thaw(&sandbox.id).await.expect("thaw");
    assert_eq!(
        sandbox.sh("test -s /tmp/ticks").await.status,
        ExitStatus::Code(0)
    );
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn a_frozen_sandbox_can_be_destroyed() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    world.driver().freeze(&sandbox.id).await.expect("freeze");
    world.destroy(sandbox).await;
    assert_nothing_left(&world);
}

#[tokio::test]
async fn the_working_directory_is_there_from_the_start_and_its_users_own() {
    let world = World::new();
    let spec = BootSpec {
        workdir: "/deep/in/here".to_owned(),
        user: "1000:1001".to_owned(),
        ..world.spec()
    };
    let sandbox = world.boot(&spec).await;
    let output = sandbox.sh("stat -c '%u:%g %a' /deep /deep/in/here").await;
    assert_eq!(output.stdout, "1000:1001 755\n1000:1001 755\n");
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn a_sandbox_tied_to_its_host_ends_with_it() {
    let world = World::new();
    let sandbox = world
        .boot(&BootSpec {
            die_with_host: true,
            ..world.spec()
        })
        .await;
    let pid = sandbox.guest.pid().expect("pid");
    let pidfd =
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("pidfd");
    let id = sandbox.id.clone();
    drop(sandbox);
    let ended = tokio::task::spawn_blocking(move || {
        let deadline = rustix::event::Timespec {
            tv_sec: 60,
            tv_nsec: 0,
        };
        let mut watched = [PollFd::new(&pidfd, PollFlags::IN)];
        rustix::event::poll(&mut watched, Some(&deadline))
    });
    assert_eq!(ended.await.expect("poll").expect("poll"), 1);
    world.driver().destroy(&id).await.expect("destroy");
    world.driver().settle().await;
    assert_nothing_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sandboxes_leave_no_trace() {
    let world = std::sync::Arc::new(World::new());
    let mut boots = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let world = std::sync::Arc::clone(&world);
        boots.spawn(async move {
            let sandbox = world.boot(&small(&world)).await;
            assert_eq!(sandbox.sh("echo $$").await.status, ExitStatus::Code(0));
            sandbox
        });
    }
    let sandboxes = boots.join_all().await;
    for sandbox in &sandboxes {
        world.driver().destroy(&sandbox.id).await.expect("destroy");
    }
    drop(sandboxes);
    world.driver().settle().await;
    assert!(world.driver().survey().await.expect("survey").is_empty());
    assert_nothing_left(&world);
}

fn small(world: &World) -> BootSpec {
    let resources = Resources {
        memory_mib: 64,
        disk_mib: 16,
        pids: 16,
        vcpu_millis: 100,
    };
    BootSpec {
        resources,
        ..world.spec()
    }
}

/// Looks from outside: no process, mount, cgroup, link, claim or file of this world is left.
fn assert_nothing_left(world: &World) {
    let directory = world.temp.path().join("sandboxes");
    let left: Vec<_> = std::fs::read_dir(&directory)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name())
        .filter(|name| name != ".spawn")
        .collect();
    assert!(left.is_empty(), "files: {left:?}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(
        !mounts.contains(world.temp.path().to_str().expect("path")),
        "mounts: {mounts}"
    );
    for hierarchy in [
        "memory", "cpu", "cpuacct", "pids", "freezer", "unified", ".",
    ] {
        let group = Path::new("/sys/fs/cgroup")
            .join(hierarchy)
            .join("pinfold")
            .join(world.instance());
        assert!(!group.exists(), "cgroup: {}", group.display());
    }
    let claims = std::fs::read_dir("/run/pinfold/slots").expect("slots");
    for claim in claims {
        let owner = std::fs::read_link(claim.expect("claim").path()).unwrap_or_default();
        assert!(
            !owner.starts_with(world.temp.path()),
            "claim: {}",
            owner.display()
        );
    }
}
