//! Disks in a pool: bounded, kept over a stop, gone after destroy.

mod support;

use pinfold_model::ExitStatus;
use pinfold_runtime::driver::Driver;
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

async fn destroy(world: &World, sandbox: Sandbox) {
    let driver: &dyn Driver = &**world.driver();
    driver.destroy(&sandbox.id).await.expect("destroy");
    driver.settle().await;
}
