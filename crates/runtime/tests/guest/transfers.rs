//! Bulk bytes in and out: files, archives, watches.

use std::io::Read;
use std::path::Path;

use pinfold_runtime::guest::{
    FailureKind, FileEventKind, FilePath, GuestError, Watch, WriteOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sandbox::{Sandbox, shell, within};

fn at(path: &str) -> FilePath {
    FilePath::new(path)
}

fn kind<T>(result: Result<T, GuestError>) -> Option<FailureKind> {
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
async fn a_tree_goes_out_and_in_as_a_tar() {
    let mut sandbox = Sandbox::boot().await;
    let long = "n".repeat(120);
    let make = format!(
        "mkdir -p /workspace/d/e /workspace/d/{long}/{long}; cd /workspace/d; echo x > e/x; chmod 4750 e/x; \
         ln e/x hard; ln -s e/x soft; ln -s {long}/{long} longlink; echo deep > {long}/{long}/f; mkfifo p; \
         chmod 555 e; touch -d @1000000000 e hard; chown 1000:10 {long}; touch $'\\xff'"
    );
    sandbox.shell(&make).await;
    let mut archive = within(sandbox.guest.archive(&at("/workspace/d")))
        .await
        .expect("archive");
    let mut tar = Vec::new();
    within(archive.read_to_end(&mut tar)).await.expect("bytes");
    assert_eq!(
        within(archive.finish()).await.expect("finish"),
        tar.len() as u64
    );
    let mut first = tar::Archive::new(tar.as_slice());
    let top = first
        .entries()
        .expect("entries")
        .next()
        .expect("one")
        .expect("entry");
    assert_eq!(top.path_bytes().as_ref(), b"./");

    let mut extract = within(sandbox.guest.extract(&at("/tmp/new/d"), true))
        .await
        .expect("extract");
    within(extract.write_all(&tar)).await.expect("bytes");
    within(extract.finish()).await.expect("finish");
    let list =
        "find . ! -type p -printf '%P %y %m %U %G %l %T@ %n\\n' | grep -v '^ ' | LC_ALL=C sort";
    let before = sandbox.shell(&format!("cd /workspace/d; {list}")).await;
    let after = sandbox.shell(&format!("cd /tmp/new/d; {list}")).await;
    let whole = |text: String| {
        text.lines()
            .map(|line| line.split('.').next().unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(whole(before.text()), whole(after.text()));
    assert_eq!(
        sandbox
            .shell("cat /tmp/new/d/soft; stat -c %h /tmp/new/d/hard")
            .await
            .text(),
        "x\n2\n"
    );
}

#[tokio::test]
async fn a_single_file_goes_out_by_its_name() {
    let sandbox = Sandbox::boot().await;
    sandbox.write_file("/workspace/f", b"content").await;
    let mut archive = within(sandbox.guest.archive(&at("/workspace/f")))
        .await
        .expect("archive");
    let mut tar = Vec::new();
    within(archive.read_to_end(&mut tar)).await.expect("bytes");
    within(archive.finish()).await.expect("finish");
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut entries = archive.entries().expect("entries");
    let mut entry = entries.next().expect("one").expect("entry");
    assert_eq!(entry.path().expect("path").as_ref(), Path::new("f"));
    let mut content = String::new();
    entry.read_to_string(&mut content).expect("content");
    assert_eq!(content, "content");
}

enum Evil<'a> {
    File(&'a str),
    Directory(&'a str),
    Symlink(&'a str, &'a str),
    Hardlink(&'a str, &'a str),
    Device(&'a str),
}

fn evil_tar(entries: &[Evil<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let (kind, name, target) = match entry {
            Evil::File(name) => (tar::EntryType::Regular, name, ""),
            Evil::Directory(name) => (tar::EntryType::Directory, name, ""),
            Evil::Symlink(name, target) => (tar::EntryType::Symlink, name, *target),
            Evil::Hardlink(name, target) => (tar::EntryType::Link, name, *target),
            Evil::Device(name) => (tar::EntryType::Char, name, ""),
        };
        let mut header = tar::Header::new_gnu();
        // The crate refuses such names, so they are put in by hand.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644 | if kind.is_dir() { 0o111 } else { 0 });
        let content: &[u8] = if kind.is_file() { b"evil" } else { b"" };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("append");
    }
    builder.into_inner().expect("tar")
}

#[tokio::test]
async fn hostile_archives_never_write_outside_their_directory() {
    use Evil::{Device, Directory, File, Hardlink, Symlink};
    let mut sandbox = Sandbox::boot().await;
    sandbox
        .shell("echo -n good > /etc/victim; mkdir /victim; echo -n good > /victim/f")
        .await;
    let attacks: [&[Evil<'_>]; 9] = [
        &[File("../etc/victim")],
        &[File("a/../../etc/victim")],
        &[Symlink("l", "/etc"), File("l/victim")],
        &[Symlink("l", "../../../etc"), File("l/victim")],
        &[Symlink("f", "/etc/victim"), File("f")],
        &[Symlink("a", "/"), Symlink("b", "a/etc"), File("b/victim")],
        &[Hardlink("h", "/etc/victim"), File("h")],
        &[Symlink("d", "/victim"), Directory("d"), File("d/f")],
        &[Device("zero")],
    ];
    for (n, attack) in attacks.iter().enumerate() {
        let target = at(&format!("/workspace/t{n}"));
        let mut extract = within(sandbox.guest.extract(&target, true))
            .await
            .expect("extract");
        let _ = within(extract.write_all(&evil_tar(attack))).await;
        let ended = within(extract.finish()).await;
        let refused = [0, 1, 6, 8].contains(&n);
        assert_eq!(ended.is_err(), refused, "attack {n}: {ended:?}");
    }
    let seen = sandbox
        .shell("cat /etc/victim /victim/f; stat -c %h /etc/victim; ls /victim")
        .await;
    assert_eq!(seen.text(), "goodgood1\nf\n");
    // An absolute name is taken as one inside, like tar(1) does.
    let mut extract = within(sandbox.guest.extract(&at("/workspace/abs"), true))
        .await
        .expect("extract");
    within(extract.write_all(&evil_tar(&[File("/etc/victim")])))
        .await
        .expect("bytes");
    within(extract.finish()).await.expect("finish");
    assert_eq!(
        sandbox.read_file("/workspace/abs/etc/victim").await,
        b"evil"
    );
}

#[tokio::test]
async fn broken_archives_are_invalid() {
    let sandbox = Sandbox::boot().await;
    let whole = evil_tar(&[Evil::File("f")]);
    for bytes in [
        &b"this is no tar at all, but long enough to be read as a header"[..],
        &whole[..514],
    ] {
        let mut padded = bytes.to_vec();
        if !bytes.starts_with(b"f") {
            padded.resize(1024, b'x');
        }
        let mut extract = within(sandbox.guest.extract(&at("/workspace"), false))
            .await
            .expect("extract");
        let _ = within(extract.write_all(&padded)).await;
        assert_eq!(
            kind(within(extract.finish()).await),
            Some(FailureKind::Invalid)
        );
    }
    let missing = within(sandbox.guest.extract(&at("/no"), false)).await;
    assert_eq!(kind(missing), Some(FailureKind::NotFound));
}

async fn expect(watch: &mut Watch, kind: FileEventKind, path: &str) {
    loop {
        let event = within(watch.next())
            .await
            .expect("watch")
            .expect("an event");
        if (event.kind, event.path.as_path()) == (kind, Path::new(path)) {
            return;
        }
    }
}

#[tokio::test]
async fn a_watch_tells_what_happens_also_in_new_directories() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.shell("mkdir -p /workspace/old").await;
    let mut watch = within(sandbox.guest.watch(&at("/workspace"), true))
        .await
        .expect("watch");
    sandbox.shell("cd /workspace; echo a > f; chmod 600 f; mv f old/g; mkdir -p new/deep; echo > new/deep/x; rm -r new").await;
    expect(&mut watch, FileEventKind::Created, "f").await;
    expect(&mut watch, FileEventKind::Mode, "f").await;
    expect(&mut watch, FileEventKind::Removed, "f").await;
    expect(&mut watch, FileEventKind::Renamed, "old/g").await;
    expect(&mut watch, FileEventKind::Created, "new").await;
    expect(&mut watch, FileEventKind::Removed, "new").await;
    sandbox.write_file("/workspace/old/h", b"written").await;
    expect(&mut watch, FileEventKind::Created, "old/h").await;
    sandbox
        .shell("mkdir /workspace/k; sleep 0.1; echo > /workspace/k/x")
        .await;
    expect(&mut watch, FileEventKind::Created, "k/x").await;
    sandbox.shell("rm -r /workspace").await;
    expect(&mut watch, FileEventKind::Removed, "").await;
    assert!(within(watch.next()).await.expect("end").is_none());
}

#[tokio::test]
async fn a_watched_file_is_followed_by_its_name() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.write_file("/workspace/f", b"1").await;
    let mut watch = within(sandbox.guest.watch(&at("/workspace/f"), false))
        .await
        .expect("watch");
    sandbox
        .shell("cd /workspace; echo > other; echo 2 > f.new; mv f.new f")
        .await;
    expect(&mut watch, FileEventKind::Renamed, "").await;
    drop(watch);
    sandbox
        .until("! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q inotify")
        .await;
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
