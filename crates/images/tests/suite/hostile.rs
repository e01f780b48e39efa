//! Attacks by archive. Each must be refused for its own reason, change nothing outside the store
//! and leave nothing in it.

use pinfold_images::{ImportError, Importer, Limits, Refusal};
use proptest::prelude::*;

use crate::archive::{Meta, Tar, gzip, zstd};
use crate::world::{World, go_on, is_root};

fn refused(tar: Vec<u8>) -> ImportError {
    refused_with(Limits::default(), &tar)
}

fn refused_with(limits: Limits, tar: &[u8]) -> ImportError {
    let world = World::new();
    let before = world.outside();
    let importer = Importer::new(&world.store).with_limits(limits);
    let error = importer
        .import_rootfs_tar(tar, None, &mut go_on)
        .expect_err("hostile archives are refused");
    assert_eq!(world.outside(), before);
    assert_eq!(world.leftovers(), Vec::<std::path::PathBuf>::new());
    error
}

fn refusal(tar: Vec<u8>) -> Refusal {
    match refused(tar) {
        ImportError::Refused { refusal, .. } => refusal,
        other => panic!("not refused by entry: {other}"),
    }
}

#[test]
fn paths_that_leave_the_root_are_refused() {
    let outside = |path: &str| Tar::new().file("a", b"x").file(path, b"evil").end();
    assert_eq!(
        refusal(outside("../../outside/evil")),
        Refusal::ParentComponent
    );
    assert_eq!(refusal(outside("a/../../evil")), Refusal::ParentComponent);
    assert_eq!(refusal(outside("/tmp/evil")), Refusal::AbsolutePath);
    let pax = Tar::new()
        .pax(&[("path", b"../../outside/secret")])
        .file("innocent", b"evil")
        .end();
    assert_eq!(refusal(pax), Refusal::ParentComponent);
    let long = format!("{}../evil", "x/".repeat(100));
    assert_eq!(refusal(outside(&long)), Refusal::ParentComponent);
}

#[test]
fn malformed_names_are_refused() {
    let named = |path: &str| Tar::new().file(path, b"").end();
    assert_eq!(refusal(named(&"n".repeat(256))), Refusal::LongName);
    assert_eq!(refusal(named(&"nn/".repeat(1400))), Refusal::LongPath);
    assert_eq!(refusal(named(&"n/".repeat(300))), Refusal::TooDeep(256));
    assert_eq!(refusal(named("./.")), Refusal::RootNotDirectory);
    let nul = Tar::new().pax(&[("path", b"a\0b")]).file("x", b"").end();
    assert_eq!(refusal(nul), Refusal::NulByte);
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let world = World::new();
    let outside = world.path("outside");
    let outside = outside.to_str().expect("utf-8");
    for target in [
        outside,
        "..",
        "../../../../outside",
        ".",
        "/",
        "/proc/self/root",
    ] {
        let file = Tar::new()
            .symlink("d", target)
            .file("d/secret", b"evil")
            .end();
        assert_eq!(refusal(file), Refusal::ThroughSymlink, "{target}");
        let directory = Tar::new().symlink("d", target).dir("d/new/er").end();
        assert_eq!(refusal(directory), Refusal::ThroughSymlink, "{target}");
        let link = Tar::new().symlink("d", target).symlink("d/l", "x").end();
        assert_eq!(refusal(link), Refusal::ThroughSymlink, "{target}");
        let fifo = Tar::new()
            .symlink("d", target)
            .entry(b'6', "d/f", "", Meta::default(), b"")
            .end();
        assert_eq!(refusal(fifo), Refusal::ThroughSymlink, "{target}");
    }
    let swapped = Tar::new()
        .dir("d")
        .file("d/a", b"")
        .symlink("d", outside)
        .file("d/secret", b"evil")
        .end();
    assert_eq!(refusal(swapped), Refusal::ThroughSymlink);
    let through_file = Tar::new().file("f", b"").file("f/below", b"").end();
    assert_eq!(refusal(through_file), Refusal::ThroughFile);
}

#[test]
fn a_directory_that_becomes_a_link_does_not_carry_its_mode_outside() {
    let world = World::new();
    let outside = world.path("outside");
    let before = world.outside();
    let meta = Meta {
        mode: 0o777,
        ..Meta::default()
    };
    let tar = Tar::new()
        .entry(b'5', "d", "", meta, b"")
        .entry(b'5', "d/e", "", meta, b"")
        .symlink("d", outside.to_str().expect("utf-8"))
        .end();
    let image = world.import(&tar).expect("the later entry wins");
    assert!(world.tree(&image).join("d").is_symlink());
    assert_eq!(world.outside(), before);
}

#[test]
fn hard_links_reach_only_what_the_archive_brought() {
    let link = |target: &str| Tar::new().file("a", b"x").hardlink("h", target).end();
    assert_eq!(refusal(link("/etc/passwd")), Refusal::HardlinkEscapes);
    assert_eq!(
        refusal(link("../../outside/secret")),
        Refusal::HardlinkEscapes
    );
    assert_eq!(refusal(link("missing")), Refusal::HardlinkTargetMissing);
    assert_eq!(refusal(link("no/such/dir")), Refusal::HardlinkTargetMissing);
    assert_eq!(refusal(link("")), Refusal::LinkTarget);
    assert_eq!(refusal(link("h")), Refusal::HardlinkToItself);
    let directory = Tar::new().dir("d").hardlink("h", "d").end();
    assert_eq!(refusal(directory), Refusal::HardlinkTargetKind);
    let world = World::new();
    let outside = world.path("outside");
    let through = Tar::new()
        .symlink("s", outside.to_str().expect("utf-8"))
        .hardlink("h", "s/secret")
        .end();
    assert_eq!(refusal(through), Refusal::HardlinkThroughSymlink);
    let swallowed = Tar::new().file("d/a", b"x").hardlink("d", "d/a").end();
    assert_eq!(refusal(swallowed), Refusal::HardlinkTargetMissing);
}

#[test]
fn a_file_written_after_a_hard_link_to_a_symbolic_link_stays_inside() {
    let world = World::new();
    let secret = world.path("outside/secret");
    let before = world.outside();
    let tar = Tar::new()
        .symlink("s", secret.to_str().expect("utf-8"))
        .hardlink("h", "s")
        .file("h", b"evil")
        .end();
    let image = world.import(&tar).expect("the later entry wins");
    assert_eq!(
        std::fs::read(world.tree(&image).join("h")).expect("file"),
        b"evil"
    );
    assert_eq!(world.outside(), before);
}

#[test]
fn devices_and_unknown_kinds_are_refused() {
    let entry = |kind: u8, path: &str| {
        Tar::new()
            .dir("a")
            .entry(kind, path, "", Meta::default(), b"")
            .end()
    };
    for kind in [b'3', b'4'] {
        assert_eq!(refusal(entry(kind, "sda")), Refusal::DeviceNode);
        assert_eq!(refusal(entry(kind, "a/dev/null")), Refusal::DeviceNode);
        assert_eq!(refusal(entry(kind, "dev")), Refusal::DeviceNode);
        assert_eq!(refusal(entry(kind, "device/x")), Refusal::DeviceNode);
    }
    for kind in [b's', b'V', b'M', b'D', b'X', 0xff] {
        let kind_shown = char::from(kind);
        assert_eq!(
            refusal(entry(kind, "a/x")),
            Refusal::UnknownType(kind_shown)
        );
    }
}

#[test]
fn whiteout_names_are_refused_in_a_root_filesystem() {
    for name in [".wh.a", "d/.wh..wh..opq", ".wh.d/file"] {
        let tar = Tar::new().dir("d").file(name, b"").end();
        assert_eq!(refusal(tar), Refusal::WhiteoutInRootfs, "{name}");
    }
}

#[test]
fn owners_beyond_a_sandboxs_ids_are_refused() {
    if !is_root() {
        return assert_importer_keeps_its_own_ids();
    }
    let owned = |uid, gid| {
        let meta = Meta {
            uid,
            gid,
            ..Meta::default()
        };
        Tar::new().entry(b'0', "f", "", meta, b"").end()
    };
    assert_eq!(refusal(owned(65_536, 0)), Refusal::OwnerOutOfRange(65_536));
    assert_eq!(
        refusal(owned(0, 1 << 40)),
        Refusal::OwnerOutOfRange(1 << 40)
    );
    let pax = Tar::new()
        .pax(&[("uid", b"4294967295")])
        .file("f", b"")
        .end();
    assert_eq!(refusal(pax), Refusal::OwnerOutOfRange(4_294_967_295));
}

fn assert_importer_keeps_its_own_ids() {
    let world = World::new();
    let meta = Meta {
        uid: 70_000,
        ..Meta::default()
    };
    let image = world
        .import(&Tar::new().entry(b'0', "f", "", meta, b"").end())
        .expect("owners do not matter");
    assert_eq!(image.report.foreign_owners, 1);
}

#[test]
fn bombs_stop_at_their_bound() {
    let zeros = vec![0; 8 << 20];
    let tar = Tar::new().file("big", &zeros).end();
    let limits = Limits {
        unpacked_bytes: 1 << 20,
        ..Limits::default()
    };
    for bomb in [gzip(&tar), zstd(&tar), tar.clone()] {
        assert_limit(refused_with(limits.clone(), &bomb), "unpacked bytes");
    }
    let limits = Limits {
        file_bytes: 1 << 20,
        ..Limits::default()
    };
    assert_limit(refused_with(limits, &gzip(&tar)), "bytes in one file");
    // After the end mark nothing is unpacked, and still it is read.
    let trailing = [Tar::new().file("a", b"").end(), zeros].concat();
    let limits = Limits {
        stream_bytes: 1 << 20,
        ..Limits::default()
    };
    assert_limit(refused_with(limits, &gzip(&trailing)), "bytes");
}

#[test]
fn what_is_kept_in_memory_is_bounded() {
    let claim = |kind| {
        Tar::new()
            .raw(kind, b"x", b"", Meta::default(), 1 << 40)
            .end()
    };
    for kind in [b'L', b'K', b'x', b'g'] {
        assert_limit(refused(claim(kind)), "bytes in an extension header");
    }
    let limits = Limits {
        directory_path_bytes: 100,
        entries: 40,
        ..Limits::default()
    };
    let mut tar = Tar::new();
    for i in 0..30 {
        tar = tar.dir(&format!("directory-{i}"));
    }
    assert_limit(
        refused_with(limits.clone(), &tar.end()),
        "bytes of directory names",
    );
    let mut tar = Tar::new();
    for i in 0..60 {
        tar = tar.file(&i.to_string(), b"");
    }
    assert_limit(refused_with(limits, &tar.end()), "entries");
}

#[test]
fn extended_attributes_are_bounded() {
    let limits = Limits {
        xattr_bytes: 16,
        xattrs: 2,
        ..Limits::default()
    };
    let large = Tar::new()
        .pax(&[("SCHILY.xattr.user.a", &[7; 17])])
        .file("f", b"")
        .end();
    let many = Tar::new()
        .pax(&[
            ("SCHILY.xattr.user.a", b"1"),
            ("SCHILY.xattr.user.b", b"1"),
            ("SCHILY.xattr.user.c", b"1"),
        ])
        .file("f", b"")
        .end();
    for tar in [large, many] {
        let error = refused_with(limits.clone(), &tar).to_string();
        assert!(error.contains("extended attribute"), "{error}");
    }
}

#[test]
fn a_sparse_file_counts_with_its_holes_and_its_map_must_fit() {
    let sparse = |offset: &[u8], length: &[u8], real: &[u8], stored: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_path("sparse").expect("short");
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(stored);
        header.set_entry_type(tar::EntryType::GNUSparse);
        let gnu = header.as_gnu_mut().expect("gnu");
        gnu.sparse[0].offset[..offset.len()].copy_from_slice(offset);
        gnu.sparse[0].numbytes[..length.len()].copy_from_slice(length);
        gnu.realsize[..real.len()].copy_from_slice(real);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(&[b'd'; 512]);
        bytes.extend_from_slice(&[0; 1024]);
        bytes
    };
    let world = World::new();
    let good = sparse(b"10000", b"1000", b"20000", 512);
    let image = world.import(&good).expect("a sparse file");
    let read = std::fs::read(world.tree(&image).join("sparse")).expect("file");
    assert_eq!(read.len(), 0o20000);
    assert_eq!(&read[0o10000..0o11000], &[b'd'; 512]);
    assert!(read[..0o10000].iter().all(|b| *b == 0));

    let huge = sparse(b"10000", b"1000", b"77777777777", 512);
    let limits = Limits {
        unpacked_bytes: 1 << 30,
        ..Limits::default()
    };
    assert_limit(refused_with(limits, &huge), "unpacked bytes");
    for bad in [
        sparse(b"10000", b"1000", b"10000", 512),
        sparse(b"10000", b"2000", b"20000", 512),
        sparse(b"77777777777", b"x", b"1", 512),
    ] {
        assert!(matches!(refused(bad), ImportError::Malformed { .. }));
    }
    let pax = Tar::new()
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")])
        .file("f", b"")
        .end();
    assert_eq!(refusal(pax), Refusal::SparseForm);
}

#[test]
fn cut_off_and_broken_archives_are_refused() {
    let whole = Tar::new().file("a", &[7; 2000]).dir("d");
    assert!(refused(whole.clone().cut()).to_string().contains("cut off"));
    for length in [100, 700, 512 + 2000, 2560 + 512 + 10] {
        let error = refused(whole.clone().end()[..length].to_vec());
        assert!(error.to_string().contains("cut off"), "{length}: {error}");
    }
    for compressed in [gzip(&whole.clone().end()), zstd(&whole.clone().end())] {
        let half = compressed[..compressed.len() / 2].to_vec();
        assert!(matches!(refused(half), ImportError::Read(_)));
    }
    let mut bad_sum = whole.end();
    bad_sum[0] = b'z';
    assert!(refused(bad_sum).to_string().contains("checksum"));
    assert!(matches!(refused(Tar::new().end()), ImportError::Empty));
    let lone = Tar::new().pax(&[("path", b"x")]).end();
    assert!(refused(lone).to_string().contains("before no entry"));
    let text = b"this is no archive at all ".repeat(100);
    assert!(matches!(refused(text), ImportError::Malformed { .. }));
}

#[test]
fn an_error_names_the_entry_on_one_line() {
    let tar = Tar::new()
        .symlink("d", "/")
        .file("d/x\n\u{1b}[31m", b"")
        .end();
    let text = refused(tar).to_string();
    assert!(
        text.contains("d/x\\n") && !text.contains('\n') && !text.contains('\u{1b}'),
        "{text}"
    );
    let shown: pinfold_model::Error = refused(Tar::new().file("../x", b"").end()).into();
    assert_eq!(shown.code(), pinfold_model::Code::InvalidImage);
    assert!(shown.message().contains("../x"), "{}", shown.message());
}

fn assert_limit(error: ImportError, expected: &str) {
    match error {
        ImportError::Limit { what, .. } => assert_eq!(what, expected),
        other => panic!("not a limit: {other}"),
    }
}

/// Names that collide with each other and with links.
fn any_name() -> impl Strategy<Value = String> {
    let component = prop::sample::select(vec!["a", "b", "c", "..", ".", "", ".wh.a", "dev"]);
    prop::collection::vec(component, 1..4).prop_map(|parts| parts.join("/"))
}

fn any_entry() -> impl Strategy<Value = (u8, String, String, Vec<u8>)> {
    let kinds = prop::sample::select(b"0000555222111673xLK".to_vec());
    let data = prop::collection::vec(any::<u8>(), 0..40);
    (kinds, any_name(), any_name(), data)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_entries_reaches_outside(entries in prop::collection::vec(any_entry(), 0..12)) {
        let world = World::new();
        let before = world.outside();
        let outside = world.path("outside");
        let mut tar = Tar::new().symlink("c", outside.to_str().expect("utf-8"));
        for (kind, path, link, data) in &entries {
            tar = tar.entry(*kind, path, link, Meta::default(), data);
        }
        let outcome = world.import(&tar.end());
        prop_assert_eq!(world.outside(), before);
        if outcome.is_err() {
            prop_assert!(world.leftovers().is_empty());
        }
    }

    #[test]
    fn flipped_bytes_are_unpacked_or_refused(at in 0usize..4096, to in any::<u8>()) {
        let world = World::new();
        let before = world.outside();
        let mut tar = Tar::new()
            .dir("a")
            .file("a/f", b"data")
            .pax(&[("SCHILY.xattr.user.x", b"1"), ("mtime", b"1.5")])
            .hardlink("a/h", "a/f")
            .symlink("s", "a")
            .end();
        let at = at % tar.len();
        tar[at] = to;
        let outcome = world.import(&tar);
        prop_assert_eq!(world.outside(), before);
        if outcome.is_err() {
            prop_assert!(world.leftovers().is_empty());
        }
    }
}
