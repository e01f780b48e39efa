//! The object storage over a directory: what comes back, and what is left behind.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use pinfold_model::{BlobId, Time};
use pinfold_store::{BlobError, Blobs, Content};

async fn put(blobs: &Blobs, bytes: &[u8]) -> Content {
    let mut writer = blobs.begin();
    for piece in bytes.chunks(70_001) {
        writer
            .write(Bytes::copy_from_slice(piece))
            .await
            .expect("write");
    }
    writer.finish(Time::UNIX_EPOCH).await.expect("finish").0
}

async fn get(blobs: &Blobs, blob: &BlobId, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut reader = blobs.read(blob, range).await.expect("begin");
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await.expect("a piece") {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("list");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

async fn sweep(blobs: &Blobs, wanted: &[BlobId]) -> u64 {
    let wanted: HashSet<BlobId> = wanted.iter().cloned().collect();
    let known = |_| std::future::ready(Ok::<_, BlobError>(wanted.clone()));
    blobs.sweep(known).await.expect("sweep")
}

#[tokio::test]
async fn content_comes_back_whole_and_in_part_with_its_digest() {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = Blobs::directory(&dir.path().join("not/made yet")).expect("a place");
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let content = put(&blobs, &bytes).await;
    assert_eq!(content.size_bytes, 5_000_000);
    assert_eq!(get(&blobs, &content.blob, 0..5_000_000).await, bytes);
    for range in [0..1, 4_999_999..5_000_000, 1_048_570..1_048_580, 7..7] {
        let expected = &bytes[range.start as usize..range.end as usize];
        assert_eq!(get(&blobs, &content.blob, range).await, expected);
    }
    let empty = put(&blobs, b"").await;
    assert_eq!(
        empty.digest.as_str(),
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert!(get(&blobs, &empty.blob, 0..0).await.is_empty());
    blobs.remove(&content.blob).await.expect("remove");
    blobs
        .remove(&content.blob)
        .await
        .expect("nothing is removed");
    assert!(blobs.read(&content.blob, 0..1).await.is_err());
}

#[tokio::test]
async fn content_that_was_cut_short_is_not_passed_off_as_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = Blobs::directory(dir.path()).expect("a place");
    let content = put(&blobs, &[7; 1000]).await;
    let file = dir.path().join(content.blob.as_str());
    std::fs::OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|file| file.set_len(600))
        .expect("cut");
    let mut reader = blobs.read(&content.blob, 0..1000).await.expect("begin");
    let mut read = 0;
    let error = loop {
        match reader.next().await {
            Ok(Some(piece)) => read += piece.len(),
            Ok(None) => panic!("it ended as if whole after {read} bytes"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, BlobError::Truncated(_)), "{error:?}");
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = Blobs::directory(dir.path()).expect("a place");
    let mut writer = blobs.begin();
    writer
        .write(Bytes::from(vec![1; 3 << 20]))
        .await
        .expect("write");
    assert!(!names(dir.path()).is_empty(), "it is on its way");
    drop(writer);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !names(dir.path()).is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}",
            names(dir.path())
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_sweep_takes_garbage_and_leaves_what_is_wanted_held_or_foreign() {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = Blobs::directory(dir.path()).expect("a place");
    let wanted = put(&blobs, b"wanted").await;
    let garbage = put(&blobs, b"garbage").await;
    let mut writer = blobs.begin();
    writer
        .write(Bytes::from(vec![1; 3 << 20]))
        .await
        .expect("write");
    let (held, lease) = blobs
        .begin()
        .finish(Time::UNIX_EPOCH)
        .await
        .expect("finish");
    // What a server that was killed leaves: an attempt whose writer is no more.
    let dead = format!("{}#1", BlobId::generate());
    std::fs::write(dir.path().join(&dead), b"half").expect("write");
    std::fs::write(dir.path().join("README"), b"not ours").expect("write");

    assert_eq!(sweep(&blobs, std::slice::from_ref(&wanted.blob)).await, 2);
    let left = names(dir.path());
    let kept = |name: &str| left.iter().any(|left| left == name);
    assert!(kept(wanted.blob.as_str()) && kept(held.blob.as_str()) && kept("README"));
    assert!(!kept(garbage.blob.as_str()) && !kept(&dead));
    drop(lease);
    assert_eq!(sweep(&blobs, std::slice::from_ref(&wanted.blob)).await, 1);
    let (content, _lease) = writer.finish(Time::UNIX_EPOCH).await.expect("finish");
    assert_eq!(get(&blobs, &content.blob, 0..3).await, [1, 1, 1]);
}
