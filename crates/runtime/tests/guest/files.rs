//! File work inside the sandbox.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pinfold_runtime::guest::{
    FailureKind, FileKind, FilePath, Follow, GuestError, KillScope, WriteOptions,
};
use tokio::io::AsyncWriteExt;

use super::sandbox::{Sandbox, shell, within};

fn at(path: &str) -> FilePath {
    FilePath::new(path)
}

fn within_workspace(path: &str) -> FilePath {
    FilePath {
        within: Some("/workspace".into()),
        ..at(path)
    }
}

fn kind<T>(result: Result<T, GuestError>) -> Option<FailureKind> {
    result.err().and_then(|error| error.refusal())
}

#[tokio::test]
async fn a_stat_tells_what_a_file_is() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.shell("cd /workspace; echo hello > f; chown 1000:10 f; chmod 4751 f; ln -s f l; mkfifo p; touch -d @1000000000.5 f").await;
    let stat = within(sandbox.guest.stat(&at("/workspace/l")))
        .await
        .expect("stat");
    assert_eq!(
        (stat.name.as_os_str(), stat.kind, stat.size_bytes),
        (OsStr::new("l"), FileKind::File, 6)
    );
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o4751, 1000, 10));
    assert_eq!(stat.modified.as_microsecond(), 1_000_000_000_500_000);
    let link = FilePath {
        follow: Follow::No,
        ..at("/workspace/l")
    };
    let stat = within(sandbox.guest.stat(&link)).await.expect("stat");
    assert_eq!(
        (stat.kind, stat.target.as_deref()),
        (FileKind::Symlink, Some(OsStr::new("f")))
    );
    assert_eq!(
        within(sandbox.guest.stat(&at("/workspace/p")))
            .await
            .expect("fifo")
            .kind,
        FileKind::Other
    );
    assert_eq!(
        within(sandbox.guest.stat(&at("/")))
            .await
            .expect("root")
            .kind,
        FileKind::Directory
    );
    assert_eq!(
        kind(within(sandbox.guest.stat(&at("/no"))).await),
        Some(FailureKind::NotFound)
    );
    let through = within(sandbox.guest.stat(&at("/workspace/f/x"))).await;
    assert_eq!(kind(through), Some(FailureKind::NotDirectory));
    assert_eq!(
        kind(within(sandbox.guest.stat(&at(""))).await),
        Some(FailureKind::Invalid)
    );
}

#[tokio::test]
async fn lists_page_in_byte_order_and_keep_names_that_are_no_text() {
    let mut sandbox = Sandbox::boot().await;
    sandbox
        .shell(
            r"mkdir /workspace/d; cd /workspace/d; touch b a Z $'\xff\xfe' $'new\nline'; ln -s x y",
        )
        .await;
    let first = within(sandbox.guest.list(&at("/workspace/d"), OsStr::new(""), 4))
        .await
        .expect("list");
    let names: Vec<_> = first
        .entries
        .iter()
        .map(|entry| entry.name.as_bytes())
        .collect();
    assert_eq!(names, [&b"Z"[..], b"a", b"b", b"new\nline"]);
    assert!(first.more);
    let after = &first.entries[3].name;
    let rest = within(sandbox.guest.list(&at("/workspace/d"), after, 4))
        .await
        .expect("list");
    let names: Vec<_> = rest
        .entries
        .iter()
        .map(|entry| entry.name.as_bytes())
        .collect();
    assert_eq!(names, [&b"y"[..], b"\xff\xfe"]);
    assert!(!rest.more);
    let odd = FilePath {
        path: Path::new("/workspace/d").join(&rest.entries[1].name),
        ..at("")
    };
    within(sandbox.guest.remove(&odd, false))
        .await
        .expect("remove");
    sandbox
        .shell("cd /workspace/d; for i in $(seq 5000); do : > n$i; done")
        .await;
    let page = within(
        sandbox
            .guest
            .list(&at("/workspace/d"), OsStr::new("n"), 1000),
    )
    .await
    .expect("list");
    assert_eq!((page.entries.len(), page.more), (1000, true));
    let file = within(sandbox.guest.list(&at("/workspace/d/a"), OsStr::new(""), 4)).await;
    assert_eq!(kind(file), Some(FailureKind::NotDirectory));
}

#[tokio::test]
async fn directories_are_made_with_and_without_parents() {
    let mut sandbox = Sandbox::boot().await;
    let guest = &sandbox.guest;
    let missing = within(guest.make_dir(&at("/workspace/a/b"), false, 0)).await;
    assert_eq!(kind(missing), Some(FailureKind::NotFound));
    within(guest.make_dir(&at("/workspace/a/b/"), true, 0o700))
        .await
        .expect("make");
    within(guest.make_dir(&at("/workspace/a/b"), true, 0o700))
        .await
        .expect("again");
    let again = within(guest.make_dir(&at("/workspace/a/b"), false, 0)).await;
    assert_eq!(kind(again), Some(FailureKind::Exists));
    assert_eq!(
        sandbox
            .shell("stat -c %a /workspace/a /workspace/a/b")
            .await
            .text(),
        "755\n700\n"
    );
}

#[tokio::test]
async fn moves_rename_or_copy_and_overwrite_only_when_asked() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.shell("cd /workspace; echo a > a; echo b > b; mkdir d; ln -s a d/l; echo x > d/x; chmod 640 d/x").await;
    let guest = sandbox.guest.clone();
    let refused = within(guest.move_(&at("/workspace/a"), &at("/workspace/b"), false)).await;
    assert_eq!(kind(refused), Some(FailureKind::Exists));
    within(guest.move_(&at("/workspace/a"), &at("/workspace/b"), true))
        .await
        .expect("move");
    assert_eq!(sandbox.read_file("/workspace/b").await, b"a\n");
    let gone = within(guest.move_(&at("/workspace/a"), &at("/workspace/c"), true)).await;
    assert_eq!(kind(gone), Some(FailureKind::NotFound));
    // Another file system.
    within(guest.move_(&at("/workspace/d"), &at("/tmp/d"), false))
        .await
        .expect("move");
    let listed = sandbox
        .shell("ls -A /workspace; stat -c '%a %F' /tmp/d/x /tmp/d/l")
        .await
        .text();
    assert_eq!(listed, "b\n640 regular file\n777 symbolic link\n");
    let root = within(guest.move_(&at("/"), &at("/tmp/r"), false)).await;
    assert_eq!(kind(root), Some(FailureKind::Invalid));
}

#[tokio::test]
async fn removal_is_as_deep_as_asked_and_never_through_symlinks() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.shell("cd /workspace; mkdir -p d/e/f keep; echo x > d/e/x; echo k > keep/k; ln -s ../../keep d/e/l; ln -s keep l; for i in $(seq 3000); do : > d/e/f/$i; done; mkdir -p $(yes deep/ | head -300 | tr -d '\\n')").await;
    let guest = sandbox.guest.clone();
    let full = within(guest.remove(&at("/workspace/d"), false)).await;
    assert_eq!(kind(full), Some(FailureKind::NotEmpty));
    within(guest.remove(&at("/workspace/d"), true))
        .await
        .expect("remove");
    within(guest.remove(&at("/workspace/deep"), true))
        .await
        .expect("deep");
    within(guest.remove(&at("/workspace/l"), false))
        .await
        .expect("link");
    assert_eq!(
        sandbox
            .shell("ls -A /workspace; cat /workspace/keep/k")
            .await
            .text(),
        "keep\nk\n"
    );
    let gone = within(guest.remove(&at("/workspace/d"), true)).await;
    assert_eq!(kind(gone), Some(FailureKind::NotFound));
}

#[tokio::test]
async fn work_is_done_with_the_users_rights() {
    let mut sandbox = Sandbox::boot().await;
    sandbox
        .shell("cd /workspace; echo s > secret; chmod 600 secret; mkdir closed; chmod 700 closed")
        .await;
    let bob = |path: &str| FilePath {
        user: "bob".into(),
        ..at(path)
    };
    let guest = sandbox.guest.clone();
    assert_eq!(
        kind(within(guest.read(&bob("/workspace/secret"), 0, None)).await),
        Some(FailureKind::Denied)
    );
    assert_eq!(
        kind(within(guest.stat(&bob("/workspace/closed/x"))).await),
        Some(FailureKind::Denied)
    );
    assert_eq!(
        kind(within(guest.set_mode(&bob("/workspace/secret"), 0o777)).await),
        Some(FailureKind::Denied)
    );
    let options = WriteOptions::default();
    assert_eq!(
        kind(within(guest.write(&bob("/workspace/new"), options)).await),
        Some(FailureKind::Denied)
    );
    within(guest.make_dir(&bob("/home/bob/d"), false, 0))
        .await
        .expect("own home");
    let mut write = within(guest.write(&bob("/home/bob/d/f"), options))
        .await
        .expect("write");
    within(write.write_all(b"mine")).await.expect("bytes");
    within(write.finish()).await.expect("finish");
    assert_eq!(
        sandbox
            .shell("stat -c '%u %g %a' /home/bob/d/f")
            .await
            .text(),
        "1000 1001 644\n"
    );
    let eve = FilePath {
        user: "eve".into(),
        ..at("/")
    };
    assert_eq!(
        kind(within(guest.stat(&eve)).await),
        Some(FailureKind::NoSuchUser)
    );
}

#[tokio::test]
async fn a_fence_holds_against_every_kind_of_way_out() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.shell("cd /workspace; mkdir -p in/x; echo i > in/f; ln -s /workspace/in/f absolute; ln -s in/f relative; \
        ln -s / top; ln -s ../etc/passwd up; ln -s /tmp/back there; ln -s /workspace/in/f /tmp/back; \
        ln -s /proc/self/root/etc/passwd magic; ln -s loop loop; ln -s /tmp/new dangling; ln -s in/made inside").await;
    let guest = sandbox.guest.clone();
    for path in [
        "in/f",
        "/workspace/in/f",
        "absolute",
        "relative",
        "in/x/../f",
        "there",
        "/tmp/back",
        ".",
    ] {
        let stat = within(guest.stat(&within_workspace(path))).await;
        assert!(stat.is_ok(), "{path}: {stat:?}");
    }
    for path in [
        "top",
        "up",
        "/etc/passwd",
        "../etc/passwd",
        "top/etc/passwd",
        "magic",
        "../../..",
        "/",
        "../nothing",
    ] {
        let stat = within(guest.stat(&within_workspace(path))).await;
        assert_eq!(kind(stat), Some(FailureKind::Outside), "{path}");
    }
    assert_eq!(
        kind(within(guest.stat(&within_workspace("loop"))).await),
        Some(FailureKind::Invalid)
    );
    let options = WriteOptions {
        parents: true,
        ..WriteOptions::default()
    };
    for path in ["dangling", "up", "top/tmp/y", "/tmp/z/y", "../q"] {
        let write = within(guest.write(&within_workspace(path), options)).await;
        assert_eq!(kind(write), Some(FailureKind::Outside), "{path}");
    }
    for path in [".", "top", "up/.."] {
        let removed = within(guest.remove(
            &FilePath {
                ..within_workspace(&format!("{path}/../../etc"))
            },
            true,
        ))
        .await;
        assert_eq!(kind(removed), Some(FailureKind::Outside), "{path}");
    }
    let mut write = within(guest.write(&within_workspace("inside"), options))
        .await
        .expect("inside");
    within(write.write_all(b"made")).await.expect("bytes");
    within(write.finish()).await.expect("finish");
    assert_eq!(sandbox.read_file("/workspace/in/made").await, b"made");
    assert_eq!(
        sandbox.shell("ls /tmp; ls -d /etc").await.text(),
        "back\n/etc\n"
    );
}

/// Swaps a directory for a symlink that leads out, as fast as it can.
const SWAPPER: &str = r"
import ctypes, os
libc = ctypes.CDLL(None)
os.chdir('/workspace')
os.makedirs('a/b', exist_ok=True)
os.symlink('/outside', 'evil')
open('a/b/f', 'w').write('inside')
print('ready', flush=True)
while True:
    libc.renameat2(-100, b'a', -100, b'evil', 2)
";

#[tokio::test]
async fn a_fence_holds_while_directories_are_swapped_for_symlinks() {
    let mut sandbox = Sandbox::boot().await;
    sandbox
        .shell("mkdir -p /outside/b; echo -n outside > /outside/b/f")
        .await;
    sandbox.write_file("/tmp/swap.py", SWAPPER.as_bytes()).await;
    let swapper = shell("exec python3 /tmp/swap.py");
    let started = sandbox.start(&swapper).await;
    let mut stdout =
        tokio::net::unix::pipe::Receiver::from_owned_fd(started.pipes.stdout).expect("stdout");
    super::sandbox::read_until(&mut stdout, "ready").await;
    let (mut inside, mut outside) = (0, 0);
    for round in 0..1500 {
        let guest = &sandbox.guest;
        match within(guest.stat(&within_workspace("a/b/f"))).await {
            Ok(stat) => {
                assert_eq!(stat.size_bytes, 6, "a file outside was seen");
                inside += 1;
            }
            Err(error) => {
                let kind = error.refusal();
                assert!(
                    matches!(kind, Some(FailureKind::Outside | FailureKind::NotFound)),
                    "{error}"
                );
                outside += 1;
            }
        }
        let new = within_workspace(&format!("a/b/made{round}"));
        let _ = within(guest.make_dir(&new, false, 0)).await;
        let _ = within(guest.remove(&within_workspace("a/b/f2"), true)).await;
    }
    within(sandbox.guest.kill(&swapper.id, 9, KillScope::Tree))
        .await
        .expect("kill");
    assert!(
        inside > 0 && outside > 0,
        "no race: {inside} inside, {outside} outside"
    );
    assert_eq!(sandbox.shell("ls /outside/b").await.text(), "f\n");
}

#[tokio::test]
async fn modes_change_through_symlinks_but_never_of_them() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.shell("cd /workspace; echo > f; ln -s f l").await;
    let guest = sandbox.guest.clone();
    within(guest.set_mode(&at("/workspace/l"), 0o1604))
        .await
        .expect("mode");
    assert_eq!(
        sandbox.shell("stat -c %a /workspace/f").await.text(),
        "1604\n"
    );
    let link = FilePath {
        follow: Follow::No,
        path: PathBuf::from("/workspace/l"),
        ..at("")
    };
    assert_eq!(
        kind(within(guest.set_mode(&link, 0o600)).await),
        Some(FailureKind::Invalid)
    );
}
