//! Files inside sandboxes.

use std::time::Duration;

use pinfold_engine::{DirectoryCursor, FileKind, MakeDirectory, MoveFile, ReadRange, WriteFile};
use pinfold_model::{Code, ExitStatus, SandboxId};

use super::place::{Life, Place};

fn write(path: &str) -> WriteFile {
    WriteFile {
        path: path.into(),
        mode: None,
        parents: true,
        exclusive: false,
        expect_bytes: None,
        within: None,
    }
}

async fn put(life: &Life, sandbox: &SandboxId, path: &str, bytes: &[u8]) {
    let mut writer = life
        .engine
        .write_file(&life.ctx, sandbox, write(path))
        .await
        .expect("begin");
    writer.write(bytes).await.expect("write");
    let entry = writer.finish().await.expect("finish");
    assert_eq!(entry.size_bytes, bytes.len() as u64);
}

async fn get(life: &Life, sandbox: &SandboxId, path: &str, range: ReadRange) -> Vec<u8> {
    let reader = life.engine.read_file(&life.ctx, sandbox, path, range).await;
    let mut reader = reader.expect("begin");
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next().await.expect("chunk") {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

#[test]
fn files_go_in_and_come_out_whole_or_in_part() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        put(&life, &sandbox, "deep/er/file", &bytes).await;
        let whole = ReadRange::default();
        assert!(get(&life, &sandbox, "/workspace/deep/er/file", whole).await == bytes);
        for (offset, length, expected) in [
            (5, Some(10), &bytes[5..15]),
            (2_999_990, None, &bytes[2_999_990..]),
            (5, Some(0), &[][..]),
            (9_000_000, None, &[][..]),
        ] {
            let range = ReadRange { offset, length };
            assert!(
                get(&life, &sandbox, "deep/er/file", range).await == expected,
                "{range:?}"
            );
        }
        let abandoned = life
            .engine
            .write_file(&life.ctx, &sandbox, write("deep/er/file"))
            .await;
        let mut abandoned = abandoned.expect("begin");
        abandoned.write(b"half").await.expect("write");
        abandoned.abort().await.expect("abort");
        assert!(get(&life, &sandbox, "deep/er/file", whole).await == bytes);
    });
    life.clean_up(&place);
}

/// A guest may stand still for as long as it likes; nobody else waits for it.
#[test]
fn transfers_of_a_sandbox_that_stands_still_hold_nobody_up() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (still, other) = (life.sandbox().await, life.sandbox().await);
        let bytes = vec![7; 4 << 20];
        put(&life, &still, "large", &bytes).await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        let mut writers = Vec::new();
        for n in 0..4 {
            let begun = engine.write_file(ctx, &still, write(&format!("to-{n}")));
            writers.push(begun.await.expect("begin"));
        }
        let range = ReadRange::default();
        let reader = engine.read_file(ctx, &still, "large", range).await;
        let mut reader = reader.expect("begin");
        engine.suspend_sandbox(ctx, &still).await.expect("suspend");
        let mut under_way = tokio::task::JoinSet::new();
        for mut writer in writers {
            let bytes = bytes.clone();
            under_way.spawn(async move {
                writer.write(&bytes).await.expect("write");
                writer.finish().await.expect("finish").size_bytes
            });
        }
        under_way.spawn(async move {
            let mut read = 0;
            while let Some(chunk) = reader.next().await.expect("chunk") {
                read += chunk.len() as u64;
            }
            read
        });
        for _ in 0..20 {
            let beside = tokio::time::timeout(Duration::from_secs(20), life.sh(&other, "echo on"));
            assert_eq!(beside.await.expect("in time").stdout, b"on\n");
        }
        assert!(
            under_way.try_join_next().is_none(),
            "nothing moves in there"
        );
        engine.resume_sandbox(ctx, &still).await.expect("resume");
        assert_eq!(under_way.join_all().await, [bytes.len() as u64; 5]);
    });
    life.clean_up(&place);
}

#[test]
fn parts_of_a_directory_are_all_of_it_whatever_its_names_are() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        // The last two are shown alike.
        let line = r"mkdir /tmp/d && cd /tmp/d && touch a b $(printf 'x\376') $(printf 'x\377')";
        let made = life.sh(&sandbox, line).await;
        assert_eq!(made.command.state.exit_status(), Some(ExitStatus::Code(0)));
        let (mut names, mut after) = (Vec::new(), Some(DirectoryCursor::default()));
        while let Some(at) = after {
            let page = engine.directory_page(ctx, &sandbox, "/tmp/d", &at, 1);
            let page = page.await.expect("page");
            assert!(page.entries.len() <= 1);
            names.extend(page.entries.into_iter().map(|entry| entry.name));
            after = page.next;
        }
        assert_eq!(names, ["a", "b", "x\u{fffd}", "x\u{fffd}"]);
        for limit in [0, 1001] {
            let begin = DirectoryCursor::default();
            let page = engine.directory_page(ctx, &sandbox, "/tmp/d", &begin, limit);
            let refused = page.await.expect_err("no limit");
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
    });
    life.clean_up(&place);
}

#[test]
fn directories_are_listed_changed_and_archived() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let (engine, ctx) = (&life.engine, &life.ctx);
        for name in ["b", "a", "c"] {
            put(&life, &sandbox, &format!("/tmp/d/{name}"), name.as_bytes()).await;
        }
        let list = engine
            .list_directory(ctx, &sandbox, "/tmp/d", 2)
            .await
            .expect("list");
        let names: Vec<_> = list
            .entries
            .iter()
            .map(|entry| entry.path.as_str())
            .collect();
        assert_eq!(
            (names, list.truncated),
            (vec!["/tmp/d/a", "/tmp/d/b"], true)
        );
        let made = MakeDirectory {
            path: "/tmp/d/sub".into(),
            parents: false,
            mode: Some(0o700),
            within: None,
        };
        let made = engine
            .make_directory(ctx, &sandbox, made)
            .await
            .expect("mkdir");
        assert_eq!((made.kind, made.mode), (FileKind::Directory, 0o700));
        let moved = MoveFile {
            from: "/tmp/d/a".into(),
            to: "/tmp/d/b".into(),
            overwrite: false,
            within: None,
        };
        let refused = engine
            .move_file(ctx, &sandbox, moved.clone())
            .await
            .expect_err("exists");
        assert_eq!(refused.code(), Code::FileExists);
        let moved = MoveFile {
            overwrite: true,
            ..moved
        };
        engine.move_file(ctx, &sandbox, moved).await.expect("move");
        assert_eq!(
            get(&life, &sandbox, "/tmp/d/b", ReadRange::default()).await,
            b"a"
        );
        let mode = engine
            .set_file_mode(ctx, &sandbox, "/tmp/d/b", 0o600)
            .await
            .expect("chmod");
        assert_eq!(mode.mode, 0o600);
        let full = engine
            .remove_file(ctx, &sandbox, "/tmp/d", false)
            .await
            .expect_err("not empty");
        assert_eq!(full.code(), Code::DirectoryNotEmpty);

        let mut tar = engine
            .archive(ctx, &sandbox, "/tmp/d")
            .await
            .expect("archive");
        let mut extract = engine
            .extract(ctx, &sandbox, "/tmp/copy")
            .await
            .expect("extract");
        while let Some(chunk) = tar.next().await.expect("chunk") {
            extract.write(&chunk).await.expect("write");
        }
        let copy = extract.finish().await.expect("finish");
        assert_eq!(copy.kind, FileKind::Directory);
        assert_eq!(
            get(&life, &sandbox, "/tmp/copy/b", ReadRange::default()).await,
            b"a"
        );
        engine
            .remove_file(ctx, &sandbox, "/tmp/d", true)
            .await
            .expect("remove");
        let gone = engine
            .stat_file(ctx, &sandbox, "/tmp/d")
            .await
            .expect_err("gone");
        assert_eq!(gone.code(), Code::FileNotFound);
    });
    life.clean_up(&place);
}

#[test]
fn changes_are_watched() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let watch = life
            .engine
            .watch_files(&life.ctx, &sandbox, "/tmp", true)
            .await;
        let mut watch = watch.expect("watch");
        put(&life, &sandbox, "/tmp/new", b"x").await;
        loop {
            let change = watch
                .next()
                .await
                .expect("change")
                .expect("the watch goes on");
            if change.path == "/tmp/new" {
                break;
            }
        }
    });
    life.clean_up(&place);
}
