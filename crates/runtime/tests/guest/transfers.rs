//! Bulk bytes in and out of files, and what all transfers have in common.

use pinfold_runtime::guest::{FailureKind, FilePath, GuestError, WriteOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sandbox::{Sandbox, shell, within};

pub(crate) fn at(path: &str) -> FilePath {
    FilePath::new(path)
}

pub(crate) fn kind<T>(result: Result<T, GuestError>) -> Option<FailureKind> {
    result.err().and_then(|error| error.refusal())
}

async fn read(sandbox: &Sandbox, path: &str, offset: u64, length: Option<u64>) -> Vec<u8> {
    let (_, mut read) = within(sandbox.guest.read(&at(path), offset, length))
        .await
        .expect("read");
    let mut bytes = Vec::new();
    within(read.read_to_end(&mut bytes)).await.expect("bytes");
    assert_eq!(
        within(read.finish()).await.expect("finish"),
        bytes.len() as u64
    );
    bytes
}

#[tokio::test]
async fn files_of_any_size_go_in_and_out_whole_or_in_ranges() {
    let sandbox = Sandbox::boot().await;
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 253) as u8).collect();
    for len in [0, 1, 4096, 1 << 20, bytes.len()] {
        sandbox.write_file("/workspace/a/f", &bytes[..len]).await;
        assert!(
            sandbox.read_file("/workspace/a/f").await == bytes[..len],
            "{len} bytes"
        );
    }
    assert_eq!(
        read(&sandbox, "/workspace/a/f", 100, Some(50)).await,
        bytes[100..150]
    );
    assert_eq!(
        read(&sandbox, "/workspace/a/f", 4_999_990, None).await,
        bytes[4_999_990..]
    );
    assert!(
        read(&sandbox, "/workspace/a/f", 6_000_000, None)
            .await
            .is_empty()
    );
    assert!(
        read(&sandbox, "/workspace/a/f", 0, Some(0))
            .await
            .is_empty()
    );
    // A file that does not know its size, and that cannot be spliced.
    assert!(
        read(&sandbox, "/proc/self/status", 0, None)
            .await
            .starts_with(b"Name:")
    );
}

#[tokio::test]
async fn what_is_no_regular_file_is_never_opened() {
    let mut sandbox = Sandbox::boot().await;
    sandbox
        .shell("cd /workspace; mkfifo p; mkdir d; ln -s p l")
        .await;
    for (path, wanted) in [
        ("/workspace/p", FailureKind::Invalid),
        ("/workspace/l", FailureKind::Invalid),
        ("/dev/zero", FailureKind::Invalid),
        ("/workspace/d", FailureKind::IsDirectory),
        ("/workspace/no", FailureKind::NotFound),
    ] {
        let refused = within(sandbox.guest.read(&at(path), 0, None)).await;
        assert_eq!(kind(refused), Some(wanted), "read {path}");
        if wanted != FailureKind::NotFound {
            let refused = within(sandbox.guest.write(&at(path), WriteOptions::default())).await;
            assert_eq!(kind(refused), Some(wanted), "write {path}");
        }
    }
}

#[tokio::test]
async fn a_write_keeps_mode_and_owner_and_follows_a_symlink() {
    let mut sandbox = Sandbox::boot().await;
    sandbox
        .shell("cd /workspace; echo old > f; chmod 751 f; chown 1000:10 f; ln -s f l")
        .await;
    sandbox.write_file("/workspace/l", b"new").await;
    let shown = sandbox
        .shell("cd /workspace; cat f; stat -c ' %a %u %g' f; readlink l; ls -A")
        .await;
    assert_eq!(shown.text(), "new 751 1000 10\nf\nf\nl\n");
    let options = WriteOptions {
        mode: 0o600,
        ..WriteOptions::default()
    };
    let write = within(sandbox.guest.write(&at("/workspace/f"), options))
        .await
        .expect("write");
    within(write.finish()).await.expect("finish");
    assert_eq!(
        sandbox.shell("stat -c '%a %s' /workspace/f").await.text(),
        "600 0\n"
    );
}

#[tokio::test]
async fn a_write_that_is_not_finished_changes_nothing() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.write_file("/workspace/f", b"old").await;
    let options = WriteOptions::default();
    let guest = sandbox.guest.clone();
    // Dropped, aborted, too short, too long.
    let mut write = within(guest.write(&at("/workspace/f"), options))
        .await
        .expect("write");
    within(write.write_all(b"half")).await.expect("bytes");
    drop(write);
    let mut write = within(guest.write(&at("/workspace/f"), options))
        .await
        .expect("write");
    within(write.write_all(b"half")).await.expect("bytes");
    within(write.abort()).await.expect("abort");
    for expect_bytes in [Some(3), Some(5)] {
        let options = WriteOptions {
            expect_bytes,
            ..options
        };
        let mut write = within(guest.write(&at("/workspace/f"), options))
            .await
            .expect("write");
        within(write.write_all(b"four")).await.expect("bytes");
        assert_eq!(
            kind(within(write.finish()).await),
            Some(FailureKind::Invalid)
        );
    }
    let exclusive = WriteOptions {
        exclusive: true,
        ..options
    };
    let refused = within(guest.write(&at("/workspace/f"), exclusive)).await;
    assert_eq!(kind(refused), Some(FailureKind::Exists));
    // A host that dies.
    let mut write = within(guest.write(&at("/workspace/f"), options))
        .await
        .expect("write");
    within(write.write_all(b"half")).await.expect("bytes");
    sandbox.lose_host().await;
    drop(write);
    // Two hosts race for a new name.
    let guest = sandbox.guest.clone();
    let one = within(guest.write(&at("/workspace/g"), exclusive))
        .await
        .expect("write");
    let two = within(guest.write(&at("/workspace/g"), exclusive))
        .await
        .expect("write");
    within(one.finish()).await.expect("the first");
    assert_eq!(kind(within(two.finish()).await), Some(FailureKind::Exists));
    assert_eq!(
        sandbox
            .shell("cat /workspace/f; ls -A /workspace")
            .await
            .text(),
        "oldf\ng\n"
    );
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_the_old_file() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.shell("echo -n old > /workspace/f").await;
    let size = sandbox
        .shell("df --output=avail -B1 / | tail -1")
        .await
        .text();
    let available: u64 = size.trim().parse().expect("a number");
    let fill = format!("fallocate -l {} /fill", available.saturating_sub(1 << 20));
    assert!(sandbox.shell(&fill).await.report.status.success());
    let mut write = within(
        sandbox
            .guest
            .write(&at("/workspace/f"), WriteOptions::default()),
    )
    .await
    .expect("write");
    let _ = within(write.write_all(&vec![7; 4 << 20])).await;
    assert_eq!(
        kind(within(write.finish()).await),
        Some(FailureKind::NoSpace)
    );
    assert_eq!(
        sandbox
            .shell("cat /workspace/f; ls -A /workspace")
            .await
            .text(),
        "oldf\n"
    );
}

#[tokio::test]
async fn readers_see_the_old_or_the_new_file_and_nothing_between() {
    let mut sandbox = Sandbox::boot().await;
    sandbox
        .write_file("/workspace/f", &vec![b'0'; 300_000])
        .await;
    let line = "for i in $(seq 300); do python3 - <<'E' || exit 1\nd = open('/workspace/f', 'rb').read()\n\
                assert len(d) == 300000 and len(set(d)) == 1\nE\ndone";
    let reader = shell(line);
    let _started = sandbox.start(&reader).await;
    for n in 0..100_u8 {
        sandbox
            .write_file("/workspace/f", &vec![b'0' + n % 10; 300_000])
            .await;
        let seen = sandbox.read_file("/workspace/f").await;
        assert_eq!(seen, vec![b'0' + n % 10; 300_000]);
    }
    let kill = pinfold_runtime::guest::KillScope::Tree;
    within(sandbox.guest.kill(&reader.id, 15, kill))
        .await
        .expect("kill");
    let report = sandbox.ended(&reader.id).await;
    assert_ne!(
        report.status,
        pinfold_model::ExitStatus::Code(1),
        "a torn file was read"
    );
}

#[tokio::test]
async fn transfers_are_bounded_and_given_back_when_dropped() {
    let sandbox = Sandbox::boot().await;
    let mut watches = Vec::new();
    let refused = loop {
        match within(sandbox.guest.watch(&at("/workspace"), false)).await {
            Ok(watch) => watches.push(watch),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (watches.len(), refused.refusal()),
        (64, Some(FailureKind::TooMany))
    );
    watches.clear();
    // The cancelled ones end soon.
    let again = async {
        while within(sandbox.guest.watch(&at("/workspace"), false))
            .await
            .is_err()
        {}
    };
    within(again).await;
}

#[tokio::test]
async fn a_killed_worker_is_answered_for() {
    let mut sandbox = Sandbox::boot().await;
    let bob = FilePath {
        user: "bob".into(),
        ..at("/home/bob")
    };
    let mut watch = within(sandbox.guest.watch(&bob, false))
        .await
        .expect("watch");
    let mut spec = shell("kill -9 -1");
    spec.user = "bob".into();
    sandbox.run(&spec).await;
    let ended = within(watch.next()).await;
    assert_eq!(kind(ended), Some(FailureKind::Cancelled));
    within(sandbox.guest.usage()).await.expect("alive");
}
