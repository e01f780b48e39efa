//! Trees as tar archives, out and in.

use std::io::Read;
use std::path::Path;

use pinfold_runtime::guest::FailureKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sandbox::{Sandbox, within};
use super::transfers::{at, kind};

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
