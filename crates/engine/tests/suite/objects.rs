//! Objects: copied from files, uploaded in one step and in several, read, deleted, collected.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use pinfold_engine::{CreateObject, ObjectBody, ObjectFilter, Origin, PageRequest, ReadRange};
use pinfold_model::{Code, Error, Object, ObjectState, Result};
use sha2::{Digest, Sha256};

use super::access::stranger;
use super::place::{Life, Place};

pub(crate) fn named(name: &str) -> CreateObject {
    CreateObject {
        name: Some(name.into()),
        ..CreateObject::default()
    }
}

pub(crate) fn body(bytes: &[u8]) -> ObjectBody {
    let pieces: Vec<Result<Bytes>> = bytes
        .chunks(100_003)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    ObjectBody {
        pieces: futures::stream::iter(pieces).boxed(),
        announced: Some(bytes.len() as u64),
    }
}

/// Breaks off after its first piece.
pub(super) fn broken(first: Vec<u8>) -> ObjectBody {
    let pieces = [
        Ok(Bytes::from(first)),
        Err(Error::invalid("body", "the body broke off")),
    ];
    ObjectBody {
        pieces: futures::stream::iter(pieces).boxed(),
        announced: None,
    }
}

pub(crate) async fn put(life: &Life, name: &str, bytes: &[u8]) -> Object {
    let made = life
        .engine
        .create_object(&life.ctx, named(name), body(bytes), None)
        .await;
    made.expect("create").value
}

pub(super) async fn read(life: &Life, object: &Object, range: ReadRange) -> Result<Vec<u8>> {
    let mut reader = life
        .engine
        .read_object(&life.ctx, &object.id, range)
        .await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

pub(super) async fn whole(life: &Life, object: &Object) -> Vec<u8> {
    let bytes = read(life, object, ReadRange::default()).await;
    bytes.expect("read")
}

/// The files of the storage.
pub(super) fn stored(place: &Place) -> Vec<String> {
    fn names(directory: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Vec::new();
        };
        entries
            .map(|entry| {
                entry
                    .expect("entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }
    names(&place.objects())
}

/// Waits until so many files are in the storage: what is dropped is removed behind.
pub(super) async fn until_stored(place: &Place, count: usize) {
    while stored(place).len() != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    pinfold_model::Digest::from_sha256(digest).to_string()
}

#[test]
fn a_file_becomes_an_object_that_outlives_its_sandbox() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let line = "mkdir -p out && head -c 3000000 /dev/urandom > out/data.csv && \
                    sha256sum out/data.csv | cut -d' ' -f1";
        let run = life.sh(&sandbox, line).await;
        let digest = String::from_utf8(run.stdout).expect("hex");
        let (engine, ctx) = (&life.engine, &life.ctx);
        let request = CreateObject::default();
        let made = engine
            .create_object_from_file(ctx, &sandbox, "out/data.csv", request.clone(), Some("k"))
            .await;
        let made = made.expect("create");
        let object = made.value;
        assert_eq!(made.origin, Origin::New);
        assert_eq!(
            (object.name.as_str(), object.content_type.as_str()),
            ("data.csv", "text/csv")
        );
        assert_eq!(object.size_bytes, Some(3_000_000));
        let expected = format!("sha256:{}", digest.trim());
        assert_eq!(object.digest.clone().expect("sealed").as_str(), expected);
        let source = object.source.clone().expect("from a file");
        assert_eq!(
            (source.sandbox, source.path.as_deref()),
            (sandbox.clone(), Some("/workspace/out/data.csv"))
        );

        // The bytes are those of that moment.
        life.sh(&sandbox, "echo other > out/data.csv").await;
        engine
            .destroy_sandbox(ctx, &sandbox)
            .await
            .expect("destroy");
        assert_eq!(digest_of(&whole(&life, &object).await), expected);
        let again = engine
            .create_object_from_file(ctx, &sandbox, "out/data.csv", request, Some("k"))
            .await
            .expect("the same request");
        assert_eq!(
            (again.origin, again.value),
            (Origin::Replay, object.clone())
        );
        let other = engine
            .create_object_from_file(ctx, &sandbox, "out/other", named("x"), Some("k"))
            .await;
        assert_eq!(
            other.expect_err("another request").code(),
            Code::IdempotencyConflict
        );
        let gone = engine
            .create_object_from_file(ctx, &sandbox, "out/data.csv", named("x"), None)
            .await;
        assert_eq!(gone.expect_err("destroyed").code(), Code::SandboxGone);
        let of_sandbox = ObjectFilter {
            sandbox: Some(sandbox),
            ..ObjectFilter::default()
        };
        let list = engine
            .list_objects(ctx, &of_sandbox, &PageRequest::default())
            .await;
        assert_eq!(list.expect("list").items, [object]);
    });
    life.clean_up(&place);
}

#[test]
fn only_regular_files_that_exist_become_objects() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        life.sh(
            &sandbox,
            "mkdir d; touch empty; ln -s empty link; ln -s /nowhere broken",
        )
        .await;
        let copy = |path: &'static str| {
            let sandbox = sandbox.clone();
            let life = &life;
            async move {
                life.engine
                    .create_object_from_file(
                        &life.ctx,
                        &sandbox,
                        path,
                        CreateObject::default(),
                        None,
                    )
                    .await
                    .map(|made| made.value)
            }
        };
        for (path, code) in [
            ("missing", Code::FileNotFound),
            ("broken", Code::FileNotFound),
            ("d", Code::NotAFile),
            ("/dev/zero", Code::InvalidArgument),
        ] {
            assert_eq!(copy(path).await.expect_err(path).code(), code, "{path}");
        }
        for path in ["empty", "link"] {
            let object = copy(path).await.expect(path);
            assert_eq!(object.size_bytes, Some(0));
            assert!(whole(&life, &object).await.is_empty());
        }
        // What the kernel makes up has no size before it is read.
        let version = copy("/proc/version").await.expect("copied");
        assert!(version.size_bytes > Some(0));
    });
    life.clean_up(&place);
}

#[test]
fn a_body_becomes_an_object_and_comes_back_in_part() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let bytes: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 253) as u8).collect();
        let object = put(&life, "a/b.bin", &bytes).await;
        assert_eq!(object.state, ObjectState::Sealed);
        assert_eq!(
            object.digest.clone().expect("sealed").as_str(),
            digest_of(&bytes)
        );
        assert!(whole(&life, &object).await == bytes);
        for (offset, length, expected) in [
            (7, Some(5), &bytes[7..12]),
            (2_499_999, None, &bytes[2_499_999..]),
            (2_499_999, Some(99), &bytes[2_499_999..]),
            (9_999_999, None, &[][..]),
            (3, Some(0), &[][..]),
        ] {
            let range = ReadRange { offset, length };
            assert!(read(&life, &object, range).await.expect("read") == expected);
        }
        for bad in [
            named(""),
            CreateObject::default(),
            CreateObject {
                content_type: Some("nonsense".into()),
                ..named("a")
            },
            CreateObject {
                retention: Some(Duration::ZERO),
                ..named("a")
            },
        ] {
            let refused = life
                .engine
                .create_object(&life.ctx, bad.clone(), body(b"x"), None)
                .await;
            assert_eq!(
                refused.expect_err("refused").code(),
                Code::InvalidArgument,
                "{bad:?}"
            );
        }
        assert_eq!(stored(&place).len(), 1);
    });
    life.clean_up(&place);
}

#[test]
fn a_repeated_body_is_the_same_object_and_another_is_a_conflict() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let create = |name, bytes: &'static [u8]| {
            life.engine
                .create_object(&life.ctx, named(name), body(bytes), Some("once"))
        };
        let first = create("a", b"content").await.expect("create");
        let again = create("a", b"content").await.expect("replay");
        assert_eq!(
            (again.origin, again.value),
            (Origin::Replay, first.value.clone())
        );
        for (name, bytes) in [("b", &b"content"[..]), ("a", b"other")] {
            let other = create(name, bytes).await.expect_err("another request");
            assert_eq!(other.code(), Code::IdempotencyConflict);
        }
        assert_eq!(stored(&place).len(), 1, "refused bytes are gone");
        let many = futures::future::join_all((0..8).map(|_| {
            life.engine
                .create_object(&life.ctx, named("m"), body(b"many"), Some("many"))
        }));
        let many: Vec<_> = many
            .await
            .into_iter()
            .map(|made| made.expect("ok"))
            .collect();
        let new = many.iter().filter(|made| made.origin == Origin::New);
        assert_eq!(new.count(), 1);
        assert!(many.iter().all(|made| made.value.id == many[0].value.id));
        assert_eq!(stored(&place).len(), 2);
    });
    life.clean_up(&place);
}

#[test]
fn a_body_that_breaks_off_leaves_nothing() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let failed = engine
            .create_object(ctx, named("a"), broken(vec![1; 3 << 20]), None)
            .await;
        assert_eq!(failed.expect_err("broken").code(), Code::InvalidArgument);
        until_stored(&place, 0).await;
        let list = engine
            .list_objects(ctx, &ObjectFilter::default(), &PageRequest::default())
            .await;
        assert!(list.expect("list").items.is_empty());
    });
    life.clean_up(&place);
}

#[test]
fn an_upload_in_steps_is_sealed_once() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let begun = engine.begin_object(ctx, named("a.txt"), Some("k")).await;
        let object = begun.expect("begin").value;
        assert_eq!(object.state, ObjectState::Uploading);
        let again = engine.begin_object(ctx, named("a.txt"), Some("k")).await;
        assert_eq!(again.expect("replay").value.id, object.id);
        let early = engine.complete_object(ctx, &object.id).await;
        assert_eq!(early.expect_err("empty").code(), Code::ObjectNotSealed);
        let unread = read(&life, &object, ReadRange::default()).await;
        assert_eq!(
            unread.expect_err("not sealed").code(),
            Code::ObjectNotSealed
        );

        for bytes in [&b"first"[..], b"second"] {
            let uploaded = engine.upload_object(ctx, &object.id, body(bytes)).await;
            let uploaded = uploaded.expect("upload");
            assert_eq!(uploaded.state, ObjectState::Uploading);
            assert_eq!(uploaded.size_bytes, Some(bytes.len() as u64));
        }
        assert_eq!(stored(&place).len(), 1, "the first content is gone");
        let failed = engine.upload_object(ctx, &object.id, broken(vec![1])).await;
        failed.expect_err("broken");
        let sealed = engine.complete_object(ctx, &object.id).await.expect("seal");
        assert_eq!(sealed.state, ObjectState::Sealed);
        let again = engine.complete_object(ctx, &object.id).await;
        assert_eq!(again.expect("idempotent"), sealed);
        assert_eq!(whole(&life, &sealed).await, b"second");
        let late = engine.upload_object(ctx, &object.id, body(b"x")).await;
        assert_eq!(late.expect_err("sealed").code(), Code::ObjectSealed);
        assert_eq!(stored(&place).len(), 1);
    });
    life.clean_up(&place);
}

#[test]
fn a_deletion_is_final_and_takes_only_content_of_its_own() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let one = put(&life, "one", b"equal").await;
        let two = put(&life, "two", b"equal").await;
        assert_eq!(stored(&place).len(), 1);
        let deleted = engine.delete_object(ctx, &one.id).await.expect("delete");
        assert_eq!(deleted.state, ObjectState::Deleted);
        let at = deleted.deleted_at.expect("now");
        let again = engine.delete_object(ctx, &one.id).await.expect("repeated");
        assert_eq!(again.deleted_at, Some(at));
        let seen = engine.get_object(ctx, &one.id).await.expect("a tombstone");
        assert_eq!((seen.size_bytes, seen.content), (Some(5), None));
        let gone = read(&life, &one, ReadRange::default()).await;
        assert_eq!(gone.expect_err("deleted").code(), Code::ObjectGone);
        assert_eq!(whole(&life, &two).await, b"equal");
        engine.delete_object(ctx, &two.id).await.expect("delete");
        assert!(stored(&place).is_empty());
        let late = engine.complete_object(ctx, &one.id).await;
        assert_eq!(late.expect_err("deleted").code(), Code::ObjectGone);
    });
    life.clean_up(&place);
}

#[test]
fn objects_of_another_project_do_not_exist() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let object = put(&life, "mine", b"secret").await;
        let stranger = stranger(&life).await;
        let (engine, id) = (&life.engine, &object.id);
        let whole = ReadRange::default();
        let codes = [
            engine.get_object(&stranger, id).await.map(drop),
            engine.read_object(&stranger, id, whole).await.map(drop),
            engine.delete_object(&stranger, id).await.map(drop),
            engine.complete_object(&stranger, id).await.map(drop),
            engine
                .upload_object(&stranger, id, body(b"x"))
                .await
                .map(drop),
            engine
                .sign_object_download(&stranger, id, None)
                .await
                .map(drop),
            engine
                .sign_object_upload(&stranger, id, None)
                .await
                .map(drop),
        ];
        for done in codes {
            assert_eq!(done.expect_err("foreign").code(), Code::ObjectNotFound);
        }
        let list = engine
            .list_objects(&stranger, &ObjectFilter::default(), &PageRequest::default())
            .await;
        assert!(list.expect("list").items.is_empty());
        let sandbox = life.sandbox().await;
        let copied = engine
            .create_object_from_file(&stranger, &sandbox, "/etc/passwd", named("x"), None)
            .await;
        assert_eq!(copied.expect_err("foreign").code(), Code::SandboxNotFound);
    });
    life.clean_up(&place);
}
