//! Honest archives come out as they went in.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use pinfold_images::{ImportError, Importer, Ownership, Progress};
use pinfold_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::archive::{Meta, Tar, gzip, zstd};
use crate::world::{World, go_on, is_root};

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    let count = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    Some(value[..count].to_vec())
}

#[test]
fn owners_modes_times_and_links_come_back() {
    let world = World::new();
    let meta = |mode, uid, gid| Meta {
        mode,
        uid,
        gid,
        mtime: 1_234_567_890,
    };
    let tar = Tar::new()
        .entry(b'5', "./", "", meta(0o755, 0, 0), b"")
        .entry(b'5', "./ro/", "", meta(0o555, 7, 8), b"")
        .entry(
            b'0',
            "./ro/setuid",
            "",
            meta(0o4755, 1000, 65_535),
            b"program",
        )
        .entry(b'5', "./tmp", "", meta(0o1777, 0, 0), b"")
        .hardlink("./tmp/same", "ro/setuid")
        .symlink("./link", "/etc/anything")
        .entry(b'6', "./fifo", "", meta(0o622, 5, 5), b"")
        .file(&format!("./{}/deep", "long-component/".repeat(12)), b"deep")
        .end();
    let image = world.import(&tar).expect("honest");
    let root = world.tree(&image);
    let stat = |path: &str| fs::symlink_metadata(root.join(path)).expect(path);

    assert_eq!(stat("ro/setuid").mode() & 0o7777, 0o4755);
    assert_eq!(stat("ro").mode() & 0o7777, 0o555);
    assert_eq!(stat("tmp").mode() & 0o7777, 0o1777);
    assert_eq!(stat("ro").mtime(), 1_234_567_890);
    assert_eq!(stat("").mtime(), 1_234_567_890);
    assert_eq!(stat("ro/setuid").mtime(), 1_234_567_890);
    assert_eq!(stat("ro/setuid").ino(), stat("tmp/same").ino());
    assert_eq!(
        fs::read_link(root.join("link")).expect("link"),
        Path::new("/etc/anything")
    );
    assert!(stat("fifo").file_type().is_fifo());
    assert_eq!(stat("fifo").mode() & 0o7777, 0o622);
    if is_root() {
        assert_eq!(
            (stat("ro/setuid").uid(), stat("ro/setuid").gid()),
            (1000, 65_535)
        );
        assert_eq!((stat("ro").uid(), stat("ro").gid()), (7, 8));
        assert_eq!(image.report.foreign_owners, 0);
    }
    assert_eq!(image.size_bytes, 11);
    assert_eq!(image.report.entries, 8);
    assert_eq!(image.layers, [digest(&tar)]);
}

#[test]
fn an_importer_without_rights_keeps_its_own_ids_and_says_so() {
    let world = World::new();
    let meta = Meta {
        uid: 33,
        gid: 100_000,
        ..Meta::default()
    };
    let tar = Tar::new()
        .entry(b'0', "theirs", "", meta, b"")
        .file("roots", b"")
        .end();
    let image = Importer::new(&world.store)
        .with_ownership(Ownership::Importer)
        .import_rootfs_tar(tar.as_slice(), None, &mut go_on)
        .expect("honest");
    assert_eq!(image.report.foreign_owners, 1);
    let theirs = fs::metadata(world.tree(&image).join("theirs")).expect("file");
    assert_eq!(theirs.uid(), rustix::process::geteuid().as_raw());
}

#[test]
fn gzip_zstd_and_plain_are_one_layer() {
    let world = World::new();
    let tar = Tar::new().dir("usr").file("usr/a", &[3; 100_000]).end();
    let half = tar.len() / 2;
    let members = [gzip(&tar[..half]), gzip(&tar[half..])].concat();
    for form in [tar.clone(), gzip(&tar), zstd(&tar), members] {
        let image = world.import(&form).expect("one of three forms");
        assert_eq!(image.layers, [digest(&tar)]);
    }
    assert_eq!(world.leftovers().len(), 1, "one layer and nothing else");
}

#[test]
fn xz_is_named_and_not_guessed_at() {
    let world = World::new();
    let error = world
        .import(b"\xfd7zXZ\0and so on")
        .expect_err("unsupported");
    assert!(matches!(error, ImportError::Unsupported { .. }));
    assert!(error.to_string().contains("xz") && error.to_string().contains("decompress"));
}

#[test]
fn extended_attributes_are_filtered() {
    let world = World::new();
    let v2 = [
        1, 0, 0, 2, 0x0a, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let v3 = [&[1, 0, 0, 3][..], &v2[4..], &1000u32.to_le_bytes()].concat();
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.user.note", b"two\nlines"),
            ("SCHILY.xattr.security.capability", &v3),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"system_u"),
            ("mtime", b"1111111111.5"),
        ])
        .file("ping", b"x")
        .end();
    let image = world.import(&tar).expect("honest");
    let ping = world.tree(&image).join("ping");
    assert_eq!(
        xattr(&ping, "user.note").as_deref(),
        Some(&b"two\nlines"[..])
    );
    assert_eq!(xattr(&ping, "trusted.overlay.redirect"), None);
    assert_eq!(xattr(&ping, "user.overlay.opaque"), None);
    if is_root() {
        assert_eq!(
            xattr(&ping, "security.capability").as_deref(),
            Some(&v2[..])
        );
        assert_eq!(image.report.dropped_xattrs, 3);
    }
    let meta = fs::metadata(&ping).expect("file");
    assert_eq!(
        (meta.mtime(), meta.mtime_nsec()),
        (1_111_111_111, 500_000_000)
    );
}

#[test]
fn device_nodes_below_dev_are_skipped_and_counted() {
    let world = World::new();
    let tar = Tar::new()
        .dir("dev")
        .entry(b'3', "./dev/null", "", Meta::default(), b"")
        .entry(b'4', "dev/loop0", "", Meta::default(), b"")
        .symlink("dev/fd", "/proc/self/fd")
        .end();
    let image = world.import(&tar).expect("as mmdebstrap writes them");
    assert_eq!(image.report.skipped_devices, 2);
    assert_eq!(image.report.entries, 2);
    assert!(!world.tree(&image).join("dev/null").exists());
    assert!(world.tree(&image).join("dev/fd").is_symlink());
}

#[test]
fn the_later_of_two_entries_wins() {
    let world = World::new();
    let tar = Tar::new()
        .file("a/b/c", b"old")
        .file("a/b/c", b"new")
        .dir("was-dir")
        .file("was-dir/x", b"")
        .file("was-dir", b"file")
        .file("was-file", b"")
        .dir("was-file")
        .file("was-file/x", b"")
        .symlink("was-link", "a")
        .dir("was-link")
        .dir("a")
        .end();
    let root = world.tree(&world.import(&tar).expect("odd and legal"));
    let read = |path: &str| fs::read(root.join(path)).expect(path);
    assert_eq!(read("a/b/c"), b"new");
    assert_eq!(read("was-dir"), b"file");
    assert!(root.join("was-file/x").is_file());
    assert!(
        root.join("was-link")
            .symlink_metadata()
            .expect("dir")
            .is_dir()
    );
}

#[test]
fn parents_that_the_archive_leaves_out_are_made_for_everyone() {
    let world = World::new();
    let root = world.tree(
        &world
            .import(&Tar::new().file("a/b/c", b"").end())
            .expect("legal"),
    );
    for path in ["", "a", "a/b"] {
        let mode = fs::metadata(root.join(path)).expect(path).mode() & 0o7777;
        assert_eq!(mode, 0o755, "{path:?}");
    }
}

#[test]
fn headers_for_the_whole_archive_and_old_directories_are_read() {
    let world = World::new();
    let global = b"19 comment=a commit\n";
    let tar = Tar::new()
        .raw(
            b'g',
            b"pax_global_header",
            b"",
            Meta::default(),
            global.len() as u64,
        )
        .data(global)
        .entry(
            0,
            "old/",
            "",
            Meta {
                mode: 0o700,
                ..Meta::default()
            },
            b"",
        )
        .end();
    let root = world.tree(&world.import(&tar).expect("as git writes them"));
    assert!(root.join("old").is_dir());
}

#[test]
fn progress_is_told_and_can_stop_the_import() {
    let world = World::new();
    let noise: Vec<u8> = (0..6u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let tar = Tar::new().file("noise", &noise).end();
    let mut told: Vec<Progress> = Vec::new();
    let mut listen = |progress: Progress| {
        told.push(progress);
        ControlFlow::Continue(())
    };
    let length = Some(tar.len() as u64);
    let importer = Importer::new(&world.store);
    importer
        .import_rootfs_tar(tar.as_slice(), length, &mut listen)
        .expect("honest");
    assert!(told.len() >= 5);
    assert!(told.is_sorted_by_key(|p| p.read_bytes));
    assert_eq!(
        told.last().map(|p| (p.read_bytes, p.total_bytes)),
        length.map(|l| (l, length))
    );

    let world = World::new();
    let mut stop = |progress: Progress| match progress.read_bytes {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let importer = Importer::new(&world.store);
    let error = importer
        .import_rootfs_tar(gzip(&tar).as_slice(), None, &mut stop)
        .expect_err("stopped");
    assert!(matches!(error, ImportError::Cancelled), "{error}");
    assert!(world.leftovers().is_empty());
}

#[test]
fn what_gnu_tar_writes_is_read() {
    let world = World::new();
    let source = world.path("source");
    fs::create_dir_all(source.join(format!("{}end", "directory-name/".repeat(10)))).expect("dirs");
    fs::write(source.join("file"), "content").expect("file");
    let sparse = fs::File::create(source.join("sparse")).expect("sparse");
    sparse.set_len(1 << 20).expect("hole");
    fs::hard_link(source.join("file"), source.join("hard")).expect("link");
    for format in [
        "--format=gnu",
        "--format=posix",
        "--format=ustar",
        "--format=v7",
    ] {
        let mut tar = std::process::Command::new("tar");
        tar.args([format, "--numeric-owner", "--owner=0", "--group=0"]);
        if format == "--format=gnu" {
            tar.arg("--sparse");
        }
        if matches!(format, "--format=ustar" | "--format=v7") {
            tar.arg("--exclude=directory-name");
        }
        let output = tar
            .args(["-c", "-C"])
            .arg(&source)
            .arg(".")
            .output()
            .expect("tar runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let image = world.import(&output.stdout).expect(format);
        let root = world.tree(&image);
        assert_eq!(fs::read(root.join("hard")).expect("hard"), b"content");
        assert_eq!(
            fs::metadata(root.join("sparse")).expect("sparse").len(),
            1 << 20
        );
    }
}
