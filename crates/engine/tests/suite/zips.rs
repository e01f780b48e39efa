//! Objects that are zips, as parts of a setup.

use std::io::{Cursor, Write as _};

use pinfold_engine::{CreateSandbox, Wait};
use pinfold_model::setup::SetupObject;
use pinfold_model::{Sandbox, SandboxState, Setup};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::objects::{body, named};
use super::place::{Life, Place};
use super::setup::{set_up, text, with};

fn zip(write: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    write(&mut zip);
    zip.finish().expect("in memory").into_inner()
}

fn file(zip: &mut ZipWriter<Cursor<Vec<u8>>>, name: &str, content: &[u8]) {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    zip.start_file(name, options).expect("in memory");
    zip.write_all(content).expect("in memory");
}

/// A sandbox that has the archive below this path, when its setup is over.
async fn unpacked(life: &Life, archive: &[u8], path: &str) -> Sandbox {
    let mut named = named("it.zip");
    named.content_type = Some("application/zip".to_owned());
    let made = life
        .engine
        .create_object(&life.ctx, named, body(archive), None);
    let object = made.await.expect("create").value.id;
    let setup = Setup {
        objects: vec![SetupObject {
            object,
            path: path.to_owned(),
        }],
        ..Setup::default()
    };
    // One that fails may do so before anybody has seen it run.
    let request = CreateSandbox {
        wait: Wait::No,
        ..with(setup)
    };
    let id = life.create(request).await.id;
    set_up(life, &id).await
}

#[test]
fn a_zip_is_unpacked_with_what_it_says_of_its_entries() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let large: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.to_le_bytes()).collect();
        let archive = zip(|zip| {
            let plain = SimpleFileOptions::default();
            let date = zip::DateTime::from_date_and_time(2001, 2, 3, 4, 5, 6).expect("a date");
            zip.add_directory("dir", plain).expect("in memory");
            let program = plain.unix_permissions(0o4755).last_modified_time(date);
            zip.start_file("dir/run", program).expect("in memory");
            zip.write_all(b"#!/bin/sh\necho ran\n").expect("in memory");
            file(zip, "dir/large é", &large);
            file(zip, "/rooted", b"below");
            file(zip, "empty", b"");
            zip.add_symlink("dir/link", "run", plain)
                .expect("in memory");
        });
        let made = unpacked(&life, &archive, "/srv/all").await;
        assert_eq!(made.state, SandboxState::Running, "{:?}", made.failure);
        let look = "cd /srv/all && dir/link && stat -c '%a %Y' dir/run && cat rooted && echo && \
                    stat -c %s empty && readlink dir/link && sha256sum < 'dir/large é'";
        let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&large));
        assert_eq!(
            text(&life, &made.id, look).await,
            format!("ran\n755 981173106\nbelow\n0\nrun\n{hash}  -\n")
        );
    });
    life.clean_up(&place);
}

/// Four entries that are the same 9 MiB.
fn overlapping() -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let one = zip(|zip| {
        zip.start_file("a", stored).expect("in memory");
        zip.write_all(&vec![7; 9 << 20]).expect("in memory");
    });
    let at = |magic: &[u8]| {
        one.windows(4)
            .rposition(|four| four == magic)
            .expect("there")
    };
    let (list, end) = (at(b"PK\x01\x02"), at(b"PK\x05\x06"));
    let mut all = one[..list].to_vec();
    for name in b"abcd" {
        let mut entry = one[list..end].to_vec();
        entry[46] = *name;
        all.extend(entry);
    }
    let mut last = one[end..].to_vec();
    last[8..10].copy_from_slice(&4_u16.to_le_bytes());
    last[10..12].copy_from_slice(&4_u16.to_le_bytes());
    let listed = (4 * (end - list)) as u32;
    last[12..16].copy_from_slice(&listed.to_le_bytes());
    all.extend(last);
    all
}

#[test]
fn a_hostile_or_broken_zip_is_refused_and_leaves_nothing_outside() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let plain = SimpleFileOptions::default();
        let upwards = zip(|zip| file(zip, "a/../../../tmp/out", b"x"));
        let through = zip(|zip| {
            zip.add_symlink("d", "/tmp", plain).expect("in memory");
            file(zip, "d/out", b"x");
        });
        let sound = zip(|zip| file(zip, "a", &[7; 100_000]));
        let cut = &sound[..sound.len() / 2];
        // Where the central directory says how long the entry is.
        let mut lies = sound.clone();
        let listed = lies.windows(4).rposition(|four| four == b"PK\x01\x02");
        let listed = listed.expect("a list") + 24;
        lies[listed..listed + 4].copy_from_slice(&50_u32.to_le_bytes());
        let many = zip(|zip| {
            for n in 0..1200 {
                let name = format!("{n}-{}", "x".repeat(8000));
                zip.start_file(name, plain).expect("in memory");
            }
        });
        let overlapping = overlapping();
        for (what, archive) in [
            ("upwards", &*upwards),
            ("through a link", &through),
            ("cut", cut),
            ("lies", &lies),
            ("a long list", &many),
            ("overlapping entries", &overlapping),
            ("no zip", b"PK but not one"),
            ("nothing", b""),
        ] {
            let made = unpacked(&life, archive, "/srv/all").await;
            if made.state == SandboxState::Running {
                // What goes through a link may also end below the place itself.
                let outside = text(&life, &made.id, "ls /tmp/out 2>/dev/null || true").await;
                assert_eq!((what, &*outside), ("through a link", ""));
                continue;
            }
            assert_eq!(made.state, SandboxState::Failed, "{what}");
            let why = made.failure.expect("a reason");
            assert!(why.contains("/srv/all"), "{what}: {why}");
        }
    });
    life.clean_up(&place);
}
