//! Files of a sandbox and images over the wire.

use pinfold_sdk::{ErrorCode, MakeDirectory, MoveFile, Upload, WriteOptions};

use super::{Server, within};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_read_in_part_moved_listed_and_archived() {
    let server = Server::start().await;
    within(async {
        let sandbox = server.sandbox().await;
        let files = server.client.files(&sandbox);
        let options = WriteOptions {
            mode: Some(0o600),
            parents: true,
        };
        let body: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let path = "/tmp/deep/er/data.bin";
        let entry = files
            .write(path, Upload::bytes(body.clone()), &options)
            .await;
        let entry = entry.expect("written");
        assert_eq!((entry.size_bytes, &*entry.mode), (1_000_000, "0600"));

        let whole = files.read(path).await.expect("readable");
        assert_eq!(whole.total_bytes(), Some(1_000_000));
        assert_eq!(whole.collect().await.expect("all of it"), body);
        let part = files
            .read_range(path, 999_990, 100)
            .await
            .expect("readable");
        assert_eq!(part.collect().await.expect("a part"), body[999_990..]);
        let behind = files
            .read_range(path, 1_000_000, 1)
            .await
            .expect_err("behind the end");
        assert_eq!(behind.code(), Some(ErrorCode::RangeNotSatisfiable));
        // Files of proc have no size to announce.
        let proc = files.read("/proc/self/status").await.expect("readable");
        assert!(!proc.collect().await.expect("text").is_empty());

        let moved = MoveFile {
            from: path.into(),
            to: "/tmp/deep/moved.bin".into(),
            overwrite: None,
        };
        assert_eq!(
            files.rename(&moved).await.expect("moved").path,
            "/tmp/deep/moved.bin"
        );
        let gone = files.stat(path).await.expect_err("moved away");
        assert_eq!(gone.code(), Some(ErrorCode::FileNotFound));
        let made = MakeDirectory {
            path: "/tmp/deep/sub".into(),
            parents: None,
            mode: None,
        };
        files.make_directory(&made).await.expect("made");
        let listing = files.list("/tmp/deep", None).await.expect("listed");
        let names: Vec<_> = listing.entries.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, ["er", "moved.bin", "sub"]);

        let tar = files.archive("/tmp/deep").await.expect("an archive");
        let tar = tar.collect().await.expect("all of it");
        files
            .unpack("/tmp/copy", Upload::bytes(tar))
            .await
            .expect("unpacked");
        let copy = files.read("/tmp/copy/moved.bin").await.expect("readable");
        assert_eq!(copy.collect().await.expect("all of it"), body);
        files.remove("/tmp/copy", true).await.expect("removed");
        let broken = Upload::stream(futures::stream::iter([
            Ok("half".into()),
            Err(std::io::Error::other("cut")),
        ]));
        let kept = "/tmp/deep/moved.bin";
        files
            .write(kept, broken, &options)
            .await
            .expect_err("broken off");
        assert_eq!(
            files.stat(kept).await.expect("still there").size_bytes,
            1_000_000
        );
    })
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_uploaded_found_and_removed() {
    let server = Server::start().await;
    within(async {
        let images = server.client.images();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(5);
        header.set_mode(0o644);
        tar.append_data(&mut header, "etc/hello", &b"hello"[..])
            .expect("an entry");
        let tar = tar.into_inner().expect("a tar");
        let image = images.import("team/tiny:1", Upload::bytes(tar), None).await;
        let image = image.expect("imported");
        assert_eq!(image.names, ["team/tiny:1"]);
        assert_eq!(images.get("team/tiny:1").await.expect("found").id, image.id);
        images.remove("team/tiny:1").await.expect("removed");
        let gone = images.get(&image.id).await.expect_err("removed");
        assert_eq!(gone.code(), Some(ErrorCode::ImageNotFound));
        let malformed = images
            .import("broken", Upload::bytes(vec![7; 4096]), None)
            .await;
        assert_eq!(
            malformed.expect_err("no tar").code(),
            Some(ErrorCode::InvalidImage)
        );
        let left = std::fs::read_dir(&server.upload_dir).expect("readable");
        let left = left.filter(|entry| {
            let name = entry.as_ref().expect("an entry").file_name();
            name.to_string_lossy().starts_with("image-upload-")
        });
        assert_eq!(left.count(), 0);
    })
    .await;
    server.end().await;
}
