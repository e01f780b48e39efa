//! Disks in a pool: bounded, kept over a stop, gone after destroy.

mod support;

use pinfold_model::{ExitStatus, ImageId};
use pinfold_runtime::driver::{BootError, Driver, DriverError, Moment};
use pinfold_runtime::namespace::Disks;
use support::{Sandbox, World};

const POOL: Disks = Disks::Pool {
    size_bytes: 2 << 30,
};

#[tokio::test]
async fn a_stopped_sandbox_keeps_its_disk_and_loses_its_processes() {
    let mut world = World::with_disks(POOL);
    assert!(
        world.driver().isolation().weaker.is_empty(),
        "{:?}",
        world.driver().isolation()
    );
    let spec = world.spec();
    let sandbox = world.boot(&spec).await;
    let prepare =
        "echo kept > /workspace/file; chown 33:33 /workspace/file; sleep 1000 >/dev/null 2>&1 &";
    assert_eq!(sandbox.sh(prepare).await.status, ExitStatus::Code(0));
    world.driver().stop(&spec.id).await.expect("stop");
    drop(sandbox);
    assert!(
        world
            .driver()
            .attach(&spec.id)
            .await
            .expect("attach")
            .is_none()
    );
    // The disk does not depend on the server that stopped it.
    world.restart();
    let sandbox = world.boot(&spec).await;
    let look = sandbox
        .sh("cat /workspace/file; stat -c %u:%g /workspace/file; pgrep sleep")
        .await;
    assert_eq!(look.stdout, "kept\n33:33\n");
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn a_pool_disk_is_bounded_and_separate() {
    let world = World::with_disks(POOL);
    let (one, two) = (world.boot_default().await, world.boot_default().await);
    let fill = "head -c 200M /dev/urandom > /workspace/big; sync; stat -c %s /workspace/big";
    let filled = one.sh(fill).await;
    assert!(
        filled.stderr.contains("quota exceeded") || filled.stderr.contains("No space"),
        "{filled:?}"
    );
    assert!(
        filled.stdout.trim().parse::<u64>().expect("size") <= 64 << 20,
        "{filled:?}"
    );
    // More than the memory of the sandbox has room for, and its neighbour does not notice.
    assert_eq!(
        two.sh("head -c 40M /dev/urandom > /workspace/big")
            .await
            .status,
        ExitStatus::Code(0)
    );
    assert_eq!(
        one.sh("rm /workspace/big; echo again > /workspace/f; cat /workspace/f")
            .await
            .stdout,
        "again\n"
    );
    destroy(&world, one).await;
    destroy(&world, two).await;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(
        !mounts.contains(world.temp.path().to_str().expect("path")),
        "{mounts}"
    );
}

#[tokio::test]
async fn a_snapshot_holds_one_moment_and_any_number_of_disks_begin_with_it() {
    let mut world = World::with_disks(POOL);
    let spec = world.spec();
    let origin = world.boot(&spec).await;
    // Open files, links, owners, what was removed of the image, and memory that is mapped.
    let prepare = "echo one > /workspace/file; ln /workspace/file /workspace/hard; \
         ln -s file /workspace/soft; install -o 33 -g 33 -m 640 /workspace/file /workspace/owned; \
         rm -r /etc/hostname /etc/profile.d 2>/dev/null; mkdir /etc/profile.d; \
         python3 -c \"import mmap,time,os; f=open('/workspace/map','w+b'); f.truncate(4096); \
         m=mmap.mmap(f.fileno(),4096); m[:6]=b'mapped'; open('/workspace/ready','w'); \
         time.sleep(1000)\" >/dev/null 2>&1 & \
         (i=0; while :; do i=$((i+1)); for n in a b; do echo $i > /workspace/$n.new; \
         mv /workspace/$n.new /workspace/$n; done; done) \
         >/dev/null 2>&1 & while [ ! -e /workspace/ready -o ! -s /workspace/b ]; do sleep 0.05; done";
    assert_eq!(origin.sh(prepare).await.status, ExitStatus::Code(0));
    let snapshot = ImageId::generate();
    let driver = world.driver();
    let taken = driver
        .snapshot(&spec.id, &snapshot, Moment::Frozen, &spec.resources)
        .await;
    taken.expect("taken");
    assert_eq!(
        driver.snapshots().await.expect("listed"),
        [snapshot.clone()]
    );
    // It goes on as it was, and what it does now is not in there.
    let later = "echo two > /workspace/file; a=$(cat /workspace/a); \
         until [ \"$(cat /workspace/a)\" != \"$a\" ]; do sleep 0.05; done";
    assert_eq!(origin.sh(later).await.status, ExitStatus::Code(0));

    // Two at once, also for another server, and each has its own from then on.
    world.restart();
    let from_it = |world: &World| {
        let mut spec = world.spec();
        spec.root.disk = Some(snapshot.clone());
        spec
    };
    let (first, second) = (from_it(&world), from_it(&world));
    let (one, two) = (world.boot(&first).await, world.boot(&second).await);
    let look = "cat /workspace/file /workspace/hard /workspace/soft; \
         stat -c '%u:%g %a' /workspace/owned; stat -c %h /workspace/file; head -c 6 /workspace/map; \
         echo; ls /etc/profile.d | wc -l; a=$(cat /workspace/a) b=$(cat /workspace/b); \
         [ $a -eq $b -o $a -eq $((b + 1)) ] && echo whole";
    let seen = one.sh(look).await;
    let expected = "one\none\none\n33:33 640\n2\nmapped\n0\nwhole\n";
    assert_eq!(seen.stdout, expected, "{seen:?}");
    assert_eq!(
        one.sh("echo mine > /workspace/file").await.status,
        ExitStatus::Code(0)
    );
    assert_eq!(two.sh("cat /workspace/file").await.stdout, "one\n");
    // The bound is that of a fresh disk.
    let fill = "head -c 200M /dev/urandom > /workspace/big";
    assert_ne!(one.sh(fill).await.status, ExitStatus::Code(0));

    // Those that began with it do not need it any more, and a stop keeps what is theirs.
    let driver = world.driver();
    driver.remove_snapshot(&snapshot).await.expect("removed");
    let again = driver.remove_snapshot(&snapshot).await;
    again.expect("what is not there is removed");
    assert!(driver.snapshots().await.expect("listed").is_empty());
    driver.stop(&second.id).await.expect("stop");
    drop(two);
    let two = world.boot(&second).await;
    assert_eq!(two.sh("cat /workspace/hard").await.stdout, "one\n");
    let late = world.driver().boot(&from_it(&world)).await;
    assert!(late.is_err(), "its snapshot is gone");
    for sandbox in [one, two] {
        destroy(&world, sandbox).await;
    }
    world.driver().destroy(&spec.id).await.expect("destroyed");
    world.driver().settle().await;
}

#[tokio::test]
async fn a_fork_begins_with_the_disk_of_its_original() {
    let world = World::with_disks(POOL);
    let origin = world.boot_default().await;
    let write = "echo theirs > /workspace/file";
    assert_eq!(origin.sh(write).await.status, ExitStatus::Code(0));
    let driver = world.driver();
    driver.freeze(&origin.id).await.expect("frozen");
    let spec = world.spec();
    let forked = driver
        .fork(&origin.id, &spec.id, Moment::Still, &spec.resources)
        .await;
    forked.expect("forked");
    driver.thaw(&origin.id).await.expect("thawed");
    let fork = world.boot(&spec).await;
    let change = "cat /workspace/file; echo ours > /workspace/file";
    assert_eq!(fork.sh(change).await.stdout, "theirs\n");
    assert_eq!(origin.sh("cat /workspace/file").await.stdout, "theirs\n");
    // One that is made again, as after a crash, right behind the end of the first.
    drop(fork);
    for _ in 0..5 {
        driver.destroy(&spec.id).await.expect("destroyed");
        let forked = driver
            .fork(&origin.id, &spec.id, Moment::Frozen, &spec.resources)
            .await;
        forked.expect("forked again");
        let fork = world.boot(&spec).await;
        assert_eq!(fork.sh("cat /workspace/file").await.stdout, "theirs\n");
    }
    let fork = driver.attach(&spec.id).await.expect("attach");
    drop(fork.expect("alive"));
    driver.stop(&spec.id).await.expect("stop");
    let fork = world.boot(&spec).await;
    fork.sh("echo ours > /workspace/file").await;
    destroy(&world, origin).await;
    assert_eq!(fork.sh("cat /workspace/file").await.stdout, "ours\n");
    destroy(&world, fork).await;
}

async fn gone(world: &World, snapshot: &ImageId) {
    let driver = world.driver();
    driver.remove_snapshot(snapshot).await.expect("removed");
    driver.settle().await;
}

#[tokio::test]
async fn what_a_copy_keeps_does_not_count_for_its_original() {
    let world = World::with_disks(POOL);
    let spec = world.spec();
    let origin = world.boot(&spec).await;
    // Of 64 MiB, so that two of them are too many at once.
    let write =
        "rm -f /workspace/big; head -c 40M /dev/urandom > /workspace/big && sync -f /workspace";
    assert_eq!(origin.sh(write).await.status, ExitStatus::Code(0));
    let driver = world.driver();
    let snapshot = ImageId::generate();
    let taken = driver.snapshot(&spec.id, &snapshot, Moment::Frozen, &spec.resources);
    taken.await.expect("taken");
    // The first 40 MiB are the snapshot's now, which keeps them.
    assert_eq!(origin.sh(write).await.status, ExitStatus::Code(0));
    let copy = world.spec();
    let forked = driver.fork(&spec.id, &copy.id, Moment::Frozen, &spec.resources);
    forked.await.expect("forked");
    assert_eq!(origin.sh(write).await.status, ExitStatus::Code(0));
    let fork = world.boot(&copy).await;
    assert_eq!(fork.sh(write).await.status, ExitStatus::Code(0));
    // A bound it is all the same, also behind a stop.
    let fill = "head -c 100M /dev/urandom > /workspace/more";
    assert_ne!(origin.sh(fill).await.status, ExitStatus::Code(0));
    assert_ne!(fork.sh(fill).await.status, ExitStatus::Code(0));
    driver.stop(&spec.id).await.expect("stop");
    drop(origin);
    let origin = world.boot(&spec).await;
    assert_ne!(origin.sh(fill).await.status, ExitStatus::Code(0));
    destroy(&world, origin).await;
    destroy(&world, fork).await;
    gone(&world, &snapshot).await;
}

#[tokio::test]
async fn snapshots_that_are_removed_again_make_a_disk_no_larger_than_twice_its_size() {
    let world = World::with_disks(POOL);
    let spec = world.spec();
    let origin = world.boot(&spec).await;
    let driver = world.driver();
    let mut written = Vec::new();
    for round in 0..4 {
        let write = format!("head -c 40M /dev/urandom > /workspace/{round} && sync -f /workspace");
        written.push(origin.sh(&write).await.status == ExitStatus::Code(0));
        let snapshot = ImageId::generate();
        let taken = driver.snapshot(&spec.id, &snapshot, Moment::Frozen, &spec.resources);
        taken.await.expect("taken");
        driver.remove_snapshot(&snapshot).await.expect("removed");
    }
    // Of 64 MiB, and never 160.
    assert!(written[0] && !written[3], "{written:?}");
    destroy(&world, origin).await;
    world.driver().settle().await;
}

/// As an earlier release, or an older kernel, has made it.
#[tokio::test]
async fn in_a_pool_with_full_quotas_copies_are_bounded_by_their_own_size() {
    let world = World::with_disks(POOL);
    let point = world.temp.path().join("sandboxes/.pool");
    for action in ["disable", "enable"] {
        let mut btrfs = std::process::Command::new("btrfs");
        let done = btrfs.args(["quota", action]).arg(&point).status();
        assert!(done.expect("btrfs").success(), "quota {action}");
    }
    let spec = world.spec();
    let origin = world.boot(&spec).await;
    let write = "head -c 40M /dev/urandom > /workspace/big && sync -f /workspace";
    assert_eq!(origin.sh(write).await.status, ExitStatus::Code(0));
    let driver = world.driver();
    let snapshot = ImageId::generate();
    let taken = driver.snapshot(&spec.id, &snapshot, Moment::Frozen, &spec.resources);
    taken.await.expect("taken");
    for (disk_mib, holds) in [(16, false), (256, true)] {
        let mut copy = world.spec();
        copy.root.disk = Some(snapshot.clone());
        copy.resources.disk_mib = disk_mib;
        let copy = world.boot(&copy).await;
        let write = "head -c 120M /dev/urandom > /workspace/more && sync -f /workspace";
        let wrote = copy.sh(write).await.status == ExitStatus::Code(0);
        assert_eq!(wrote, holds, "{disk_mib} MiB");
        destroy(&world, copy).await;
    }
    // What it shows is what counts, so its own bound is what it was.
    let fill = "head -c 60M /dev/urandom > /workspace/more && sync -f /workspace";
    assert_ne!(origin.sh(fill).await.status, ExitStatus::Code(0));
    destroy(&world, origin).await;
    gone(&world, &snapshot).await;
}

#[tokio::test]
async fn a_pool_that_has_become_read_only_is_mounted_anew_by_the_next_server() {
    let mut world = World::with_disks(POOL);
    let spec = world.spec();
    let sandbox = world.boot(&spec).await;
    sandbox.sh("echo kept > /workspace/file").await;
    world.driver().stop(&spec.id).await.expect("stop");
    drop(sandbox);
    // As after a write that found no room.
    let point = world.temp.path().join("sandboxes/.pool");
    let remount = std::process::Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(&point)
        .status();
    assert!(remount.expect("mount").success());
    assert!(world.driver().boot(&spec).await.is_err());
    world.restart();
    let sandbox = world.boot(&spec).await;
    assert_eq!(sandbox.sh("cat /workspace/file").await.stdout, "kept\n");
    destroy(&world, sandbox).await;
}

#[tokio::test]
async fn disks_in_memory_are_not_copied() {
    let world = World::with_disks(Disks::Memory);
    let sandbox = world.boot_default().await;
    let driver = world.driver();
    let image = ImageId::generate();
    let refused = driver
        .snapshot(&sandbox.id, &image, Moment::Frozen, &world.spec().resources)
        .await;
    assert!(
        matches!(refused, Err(DriverError::Unsupported(_))),
        "{refused:?}"
    );
    assert_eq!(sandbox.sh("echo on").await.stdout, "on\n");
    let mut spec = world.spec();
    spec.root.disk = Some(image);
    let refused = driver.boot(&spec).await;
    assert!(matches!(refused, Err(BootError::Unsupported(_))));
    world.destroy(sandbox).await;
}

async fn destroy(world: &World, sandbox: Sandbox) {
    let driver: &dyn Driver = &**world.driver();
    driver.destroy(&sandbox.id).await.expect("destroy");
    driver.settle().await;
}
