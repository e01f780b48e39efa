//! Contexts that are fine and contexts that are not, through the whole way.

use std::io::Read;

use tar::{Archive, Builder, EntryType, Header};

use super::{Context, ContextError, Owner, Selection, Style, files, recast, unpacked, written};

fn tar_of(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut out = Builder::new(Vec::new());
    for (name, kind, text) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if *kind == EntryType::Directory {
            0o755
        } else {
            0o640
        });
        header.set_uid(1234);
        // Builder refuses what hostile archives hold, so the name is written by hand.
        header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
        let data = match kind {
            EntryType::Regular => text.as_bytes(),
            EntryType::Symlink | EntryType::Link => {
                header.as_gnu_mut().expect("gnu").linkname[..text.len()]
                    .copy_from_slice(text.as_bytes());
                &[]
            }
            _ => &[],
        };
        header.set_size(data.len() as u64);
        header.set_cksum();
        out.append(&header, data).expect("in memory");
    }
    out.into_inner().expect("in memory")
}

use EntryType::{Directory as D, Link as H, Regular as F, Symlink as S};

fn sample() -> Vec<u8> {
    tar_of(&[
        ("./", D, ""),
        ("./a.txt", F, "one"),
        ("./dir/", D, ""),
        ("./dir/b.txt", F, "two"),
        ("./dir/hard", H, "./a.txt"),
        ("./dir/soft", S, "../a.txt"),
        ("./implicit/c.log", F, "three"),
        ("./link", S, "dir"),
    ])
}

/// `name kind uid content-or-target`, in the order of the archive.
fn listed(tar: &[u8]) -> Vec<String> {
    let mut archive = Archive::new(tar);
    let one = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.expect("entry");
        let name = String::from_utf8(entry.path_bytes().into_owned()).expect("utf-8");
        let link = entry
            .link_name_bytes()
            .map(|l| String::from_utf8_lossy(&l).into_owned());
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        let kind = entry.header().entry_type().as_byte() as char;
        let uid = entry.header().uid().expect("uid");
        format!("{name} {kind} {uid} {}", link.unwrap_or(text))
    };
    archive.entries().expect("tar").map(one).collect()
}

fn style(destination: &str) -> Style {
    Style {
        owner: Some(Owner::default()),
        destination: destination.to_owned(),
        ..Style::default()
    }
}

fn copied(tar: &[u8], paths: &[&str], destination: &str) -> Vec<String> {
    let paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
    let context = Context::read(tar).expect("good");
    let selection = context.select(&paths, false).expect("there");
    let mut out = Vec::new();
    recast(tar, &selection, &style(destination), &mut out).expect("copied");
    listed(&out)
}

#[test]
fn directories_bring_their_content_and_files_their_name() {
    let tar = sample();
    let dir = ["d/b.txt 0 0 two", "d/hard 0 0 one", "d/soft 2 0 ../a.txt"];
    let mut found = copied(&tar, &["dir"], "/d");
    found.sort();
    assert_eq!(found, dir);
    assert_eq!(
        copied(&tar, &["a.txt", "implicit"], "/"),
        ["a.txt 0 0 one", "c.log 0 0 three"]
    );
    // A source is followed within the context, and keeps what it was called.
    assert_eq!(copied(&tar, &["dir/soft"], "/d"), ["d/soft 0 0 one"]);
    assert_eq!(copied(&tar, &["link/b.txt"], "/d"), ["d/b.txt 0 0 two"]);
    assert_eq!(
        copied(&tar, &["*.txt", "*/*.log"], "/d"),
        ["d/a.txt 0 0 one", "d/c.log 0 0 three"]
    );
}

#[test]
fn two_names_of_one_file_stay_one_file() {
    let found = copied(&sample(), &[""], "/");
    assert!(found.contains(&"a.txt 0 0 one".to_owned()), "{found:?}");
    assert!(
        found.contains(&"dir/hard 1 0 a.txt".to_owned()),
        "{found:?}"
    );
}

fn select(tar: &[u8], path: &str) -> Result<Selection, ContextError> {
    Context::read(tar)?.select(&[path.to_owned()], false)
}

#[test]
fn the_hash_is_of_what_is_copied_and_nothing_else() {
    let hash = |tar: &[u8], path| select(tar, path).expect("there").sha256();
    let tar = sample();
    let other = tar_of(&[("a.txt", F, "other"), ("dir/b.txt", F, "two"), ("x", F, "")]);
    assert_eq!(hash(&tar, "dir/b.txt"), hash(&other, "dir/b.txt"));
    assert_ne!(hash(&tar, "a.txt"), hash(&other, "a.txt"));
    assert_ne!(hash(&tar, "dir"), hash(&other, "dir"));
}

#[test]
fn dockerignore_applies_to_what_was_sent() {
    let tar = tar_of(&[
        (".dockerignore", F, "*\n!keep\n"),
        ("keep/a", F, "1"),
        ("drop", F, "2"),
    ]);
    assert!(select(&tar, "keep/a").is_ok());
    assert!(select(&tar, "drop").is_err());
    assert_eq!(
        copied(&tar, &["."], "/x"),
        ["x/a 0 0 1"].map(|s| s.replace("x/a", "x/keep/a"))
    );
}

#[test]
fn hostile_contexts_are_refused_by_name() {
    for (entries, word) in [
        (vec![("../a", F, "x")], "leads out"),
        (vec![("a/../../b", F, "x")], "leads out"),
        (vec![("/etc/passwd", F, "x")], "relative"),
        (vec![("dev", EntryType::Char, "")], "no file"),
        (vec![("blk", EntryType::Block, "")], "no file"),
        (vec![("h", H, "/etc/passwd")], "relative"),
        (vec![("h", H, "missing")], "hard link"),
    ] {
        let error = Context::read(tar_of(&entries).as_slice()).expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(Context::read(&b"no tar at all, but long enough to be looked at as one"[..]).is_err());
}

#[test]
fn symlinks_lead_nowhere_outside_and_end() {
    let tar = tar_of(&[
        ("up", S, "../../etc"),
        ("etc/x", F, "inner"),
        ("loop", S, "loop"),
        ("abs", S, "/etc"),
    ]);
    assert_eq!(copied(&tar, &["up/x"], "/"), ["x 0 0 inner"]);
    assert_eq!(copied(&tar, &["abs/x"], "/"), ["x 0 0 inner"]);
    assert!(select(&tar, "loop").is_err());
    assert!(select(&tar, "etc/y").is_err());
}

#[test]
fn archives_are_told_apart_and_unpacked() {
    let inner = tar_of(&[("in", F, "deep")]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &inner).expect("in memory");
    let gz = gz.finish().expect("in memory");
    let mut out = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(gz.len() as u64);
    header.set_mode(0o600);
    out.append_data(&mut header, "x.tgz", gz.as_slice())
        .expect("in memory");
    let tar = out.into_inner().expect("in memory");
    let context = Context::read(tar.as_slice()).expect("good");
    let selection = context.select(&["x.tgz".to_owned()], true).expect("there");
    assert_eq!(selection.archives(), ["x.tgz"]);
    assert!(!selection.has_entries());
    let mut plain = Vec::new();
    unpacked(tar.as_slice(), "x.tgz", &mut plain).expect("unpacked");
    assert_eq!(plain, inner);
}

#[test]
fn what_has_no_time_of_its_own_is_of_the_time_that_it_is_made() {
    let style = Style {
        make_destination: true,
        made_at: 1_700_000_000,
        ..style("/d")
    };
    let times = |tar: &[u8]| -> Vec<(String, u64)> {
        let mut archive = Archive::new(tar);
        let entries = archive.entries().expect("tar").map(|entry| {
            let entry = entry.expect("entry");
            let name = entry.path().expect("path").display().to_string();
            (name, entry.header().mtime().expect("time"))
        });
        entries.collect()
    };
    let mut out = Vec::new();
    files(&[("x".to_owned(), "text".to_owned())], &style, &mut out).expect("written");
    let now = 1_700_000_000;
    assert_eq!(
        times(&out),
        [("d/".to_owned(), now), ("d/x".to_owned(), now)]
    );
    let tar = tar_of(&[("a", F, "1")]);
    let mut out = Vec::new();
    written(tar.as_slice(), &style, &mut out).expect("copied");
    let given = times(&tar)[0].1;
    assert_eq!(
        times(&out),
        [("d/".to_owned(), now), ("d/a".to_owned(), given)]
    );
}

#[test]
fn what_another_sandbox_gave_keeps_its_links_and_owners() {
    let tar = tar_of(&[("./", D, ""), ("a", F, "1"), ("b", H, "a"), ("s", S, "a")]);
    let mut out = Vec::new();
    let style = Style {
        destination: "/d".to_owned(),
        ..Style::default()
    };
    written(tar.as_slice(), &style, &mut out).expect("copied");
    assert_eq!(
        listed(&out),
        ["d/a 0 1234 1", "d/b 1 1234 d/a", "d/s 2 1234 a"]
    );
}

fn refusal(source: impl Read) -> String {
    let error = Context::read(source).expect_err("refused");
    assert!(matches!(error, ContextError::Refused(_)), "{error:?}");
    error.to_string()
}

#[test]
fn sparse_files_are_refused_in_every_form() {
    let mut header = Header::new_gnu();
    header.set_path("holes").expect("short");
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o600);
    header.set_size(0);
    header.as_gnu_mut().expect("gnu").set_real_size(1 << 33);
    header.set_cksum();
    let mut old = Builder::new(Vec::new());
    old.append(&header, &[][..]).expect("in memory");
    let mut posix = Builder::new(Vec::new());
    let records = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"8589934592"),
    ];
    posix.append_pax_extensions(records).expect("in memory");
    let mut header = Header::new_ustar();
    header.set_size(0);
    posix
        .append_data(&mut header, "holes", &[][..])
        .expect("in memory");
    for tar in [old, posix] {
        let tar = tar.into_inner().expect("in memory");
        assert!(refusal(tar.as_slice()).contains("sparse"));
        let style = style("/d");
        assert!(written(tar.as_slice(), &style, std::io::sink()).is_err());
    }
}

#[test]
fn extension_headers_are_not_read_beyond_their_bound() {
    for kind in [
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::XHeader,
        EntryType::XGlobalHeader,
    ] {
        let mut header = Header::new_gnu();
        header.set_path("long").expect("short");
        header.set_entry_type(kind);
        header.set_size(8 << 30);
        header.set_cksum();
        let endless = header.as_bytes().chain(std::io::repeat(b'a'));
        assert!(refusal(endless).contains("extension header"), "{kind:?}");
    }
}

#[test]
fn what_a_guest_wrote_is_not_taken_for_a_compressed_archive() {
    for name in ["BZh9", "PK\u{3}\u{4}", "Q*M\u{18}"] {
        let tar = tar_of(&[(name, F, "1")]);
        let mut out = Vec::new();
        written(tar.as_slice(), &style("/"), &mut out).expect("copied");
        assert_eq!(listed(&out), [format!("{name} 0 0 1")]);
    }
}

/// Empty files of any names.
fn long_names(names: impl Iterator<Item = String>) -> Vec<u8> {
    let mut out = Builder::new(Vec::new());
    for name in names {
        let mut header = Header::new_gnu();
        header.set_size(0);
        out.append_data(&mut header, name, &[][..])
            .expect("in memory");
    }
    out.into_inner().expect("in memory")
}

#[test]
fn many_rules_for_many_names_are_refused_rather_than_matched() {
    let rules: String = (0..1000).map(|n| format!("{n:0>1000}\n")).collect();
    let mut out = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(rules.len() as u64);
    out.append_data(&mut header, ".dockerignore", rules.as_bytes())
        .expect("in memory");
    for n in 0..20 {
        let mut header = Header::new_gnu();
        header.set_size(0);
        let name = format!("{n}{}", "x".repeat(4000));
        out.append_data(&mut header, name, &[][..])
            .expect("in memory");
    }
    let tar = out.into_inner().expect("in memory");
    assert!(refusal(tar.as_slice()).contains(".dockerignore"));
}

#[test]
fn a_name_is_nested_only_so_deep() {
    let deep = |parts: usize| long_names(std::iter::once(vec!["d"; parts].join("/")));
    assert!(Context::read(deep(256).as_slice()).is_ok());
    assert!(refusal(deep(257).as_slice()).contains("deep"));
}

#[test]
fn one_copy_does_not_take_everything_over_and_over() {
    let deep = vec!["d"; 250].join("/");
    let tar = long_names((0..2500).map(|n| format!("{deep}/{n}")));
    let context = Context::read(tar.as_slice()).expect("good");
    let sources: Vec<_> = (1..=250).map(|depth| vec!["d"; depth].join("/")).collect();
    assert!(context.select(&sources[..2], false).is_ok());
    let error = context.select(&sources, false).expect_err("too much");
    assert!(error.to_string().contains("one copy"), "{error}");
}

#[test]
fn an_archive_whose_compression_is_broken_is_refused() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &sample()).expect("in memory");
    let mut bytes = gzip.finish().expect("in memory");
    let context = |bytes: &[u8]| {
        let mut out = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        out.append_data(&mut header, "x.tar.gz", bytes)
            .expect("in memory");
        out.into_inner().expect("in memory")
    };
    unpacked(&*context(&bytes), "x.tar.gz", std::io::sink()).expect("whole");
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    let error = unpacked(&*context(&bytes), "x.tar.gz", std::io::sink()).expect_err("broken");
    assert!(matches!(error, ContextError::Refused(_)), "{error:?}");
}

#[test]
fn naming_the_same_entries_again_and_again_is_bounded() {
    let long = "n".repeat(60);
    let files: Vec<String> = (0..3000).map(|n| format!("z/{n:05}{long}")).collect();
    let links: Vec<String> = (0..3000).map(|n| format!("a{n}")).collect();
    let mut entries: Vec<(&str, EntryType, &str)> = vec![("z/", D, "")];
    entries.extend(files.iter().map(|name| (name.as_str(), F, "")));
    entries.extend(links.iter().map(|name| (name.as_str(), S, "z")));
    let context = Context::read(&*tar_of(&entries)).expect("fine");
    let error = context
        .select(&["a*".to_owned()], false)
        .expect_err("too much");
    assert!(error.to_string().contains("one copy names"), "{error}");
}
