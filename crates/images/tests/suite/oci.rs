//! OCI layouts: what is chosen, what is verified, what comes out.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use oci_spec::image::{Arch, Config, ConfigBuilder, MediaType, Os};
use pinfold_images::{ImportError, Imported, Importer, Limits, Refusal};

use crate::archive::{Tar, gzip};
use crate::layout::{Layout, digest, for_platform, named};
use crate::world::{World, go_on};

fn import(world: &World, path: &Path, select: Option<&str>) -> Result<Imported, ImportError> {
    Importer::new(&world.store).import(path, select, &mut go_on)
}

fn new_layout(world: &World) -> Layout {
    Layout::new(world.path("layout"))
}

fn some_config() -> Config {
    ConfigBuilder::default()
        .env(vec!["PATH=/bin".to_owned(), "A=b=c".to_owned()])
        .user("app:app")
        .working_dir("/srv")
        .entrypoint(vec!["/entry".to_owned()])
        .cmd(vec!["serve".to_owned()])
        .labels(HashMap::from([("k".to_owned(), "v".to_owned())]))
        .build()
        .expect("complete")
}

fn three_layers() -> Vec<Vec<u8>> {
    ["one", "two", "three"]
        .map(|name| Tar::new().file(name, name.as_bytes()).end())
        .to_vec()
}

#[test]
fn layers_come_in_order_with_the_configuration() {
    let world = World::new();
    let layout = new_layout(&world);
    let tars = three_layers();
    let path = layout.finish(vec![layout.image(some_config(), &tars)]);
    let image = import(&world, path, None).expect("whole");
    let diff_ids: Vec<_> = tars.iter().map(|tar| digest(tar)).collect();
    assert_eq!(image.layers, diff_ids);
    assert_eq!(image.size_bytes, 11);
    assert_eq!(
        image.config.env,
        BTreeMap::from([
            ("PATH".to_owned(), "/bin".to_owned()),
            ("A".to_owned(), "b=c".to_owned()),
        ])
    );
    assert_eq!(image.config.user.as_deref(), Some("app:app"));
    assert_eq!(image.config.workdir.as_deref(), Some("/srv"));
    assert_eq!(image.config.entrypoint, ["/entry"]);
    assert_eq!(image.config.cmd, ["serve"]);
    assert_eq!(image.config.labels["k"], "v");
    let top = world.store.path(&image.layers[2]).expect("unpacked");
    assert_eq!(fs::read(top.join("three")).expect("file"), b"three");
}

#[test]
fn a_layout_in_a_tar_is_the_same_image_compressed_or_not() {
    let world = World::new();
    let layout = new_layout(&world);
    layout.finish(vec![layout.image(some_config(), &three_layers())]);
    let from_dir = import(&world, &layout.dir, None).expect("directory");
    for (name, bytes) in [("l.tar", layout.tar()), ("l.tgz", gzip(&layout.tar()))] {
        let path = world.path(name);
        fs::write(&path, bytes).expect("archive");
        let world = World::new();
        let image = import(&world, &path, None).expect(name);
        assert_eq!(image.layers, from_dir.layers);
        assert_eq!(image.config, from_dir.config);
        assert_eq!(world.leftovers().len(), 3);
    }
}

#[test]
fn nested_indexes_lead_to_this_architecture() {
    let world = World::new();
    let layout = new_layout(&world);
    let ours = layout.image(Config::default(), &[Tar::new().file("ours", b"").end()]);
    let theirs = layout.manifest(Config::default(), Arch::s390x, vec![], vec![]);
    let attestation = layout.manifest(Config::default(), Arch::from("unknown"), vec![], vec![]);
    let platforms = layout.index(vec![
        for_platform(theirs.clone(), Os::Linux, Arch::s390x),
        for_platform(attestation, Os::from("unknown"), Arch::from("unknown")),
        for_platform(ours.clone(), Os::Linux, Arch::default()),
    ]);
    let outer = layout.index(vec![platforms]);
    let path = layout.finish(vec![named(outer, "app:1")]);
    let image = import(&world, path, Some("app:1")).expect("chosen");
    assert!(world.tree(&image).join("ours").exists());

    let only_theirs = for_platform(theirs, Os::Linux, Arch::s390x);
    let error = import(&world, layout.finish(vec![only_theirs]), None).expect_err("foreign");
    assert!(error.to_string().contains("linux/s390x"), "{error}");
}

#[test]
fn one_of_several_images_has_to_be_named() {
    let world = World::new();
    let layout = new_layout(&world);
    let image = |name: &str| {
        let tar = Tar::new().file(name, b"").end();
        named(layout.image(Config::default(), &[tar]), name)
    };
    let path = layout.finish(vec![image("first"), image("second")]);
    let chosen = import(&world, path, Some("second")).expect("named");
    assert!(world.tree(&chosen).join("second").exists());
    match import(&world, path, None).expect_err("which?") {
        ImportError::Ambiguous { present } => assert_eq!(present, r#""first", "second""#),
        other => panic!("{other}"),
    }
    match import(&world, path, Some("third")).expect_err("none") {
        ImportError::NoSuchImage { present, .. } => assert_eq!(present, r#""first", "second""#),
        other => panic!("{other}"),
    }
}

/// An image whose one layer blob is replaced before the import.
fn with_blob(change: impl Fn(&[u8]) -> Vec<u8>) -> ImportError {
    let world = World::new();
    let layout = new_layout(&world);
    let tar = Tar::new().file("f", &[9; 5000]).end();
    let path = layout.finish(vec![
        layout.image(Config::default(), std::slice::from_ref(&tar)),
    ]);
    let blob = layout.blob_path(digest(&gzip(&tar)).as_str());
    let bytes = fs::read(&blob).expect("blob");
    fs::write(&blob, change(&bytes)).expect("blob");
    let before = world.outside();
    let error = import(&world, path, None).expect_err("not what was named");
    assert_eq!(world.outside(), before);
    assert!(world.leftovers().is_empty());
    error
}

#[test]
fn blobs_are_what_their_descriptors_say() {
    let error = with_blob(|bytes| bytes[..bytes.len() - 1].to_vec());
    assert!(matches!(error, ImportError::BlobSize { .. }), "{error}");
    let error = with_blob(|bytes| [bytes, b"more"].concat());
    assert!(matches!(error, ImportError::BlobSize { .. }), "{error}");
    let flip = |at: usize| {
        move |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            bytes
        }
    };
    // In the gzip header's time, which no decoder minds, and in the compressed data.
    for at in [5, 20] {
        let error = with_blob(flip(at));
        assert!(matches!(error, ImportError::BlobDigest { .. }), "{error}");
    }
}

#[test]
fn a_missing_blob_and_a_blob_outside_are_refused() {
    let world = World::new();
    let layout = new_layout(&world);
    let manifest = layout.image(Config::default(), &three_layers());
    let blob = layout.blob_path(manifest.digest().as_ref());
    let path = layout.finish(vec![manifest]);
    let outside = world.path("outside/manifest");
    fs::rename(&blob, &outside).expect("move");
    let error = import(&world, path, None).expect_err("missing");
    assert!(error.to_string().contains("missing"), "{error}");
    std::os::unix::fs::symlink(&outside, &blob).expect("link");
    let error = import(&world, path, None).expect_err("outside");
    assert!(matches!(error, ImportError::Read(_)), "{error}");
    assert!(world.leftovers().is_empty());
}

#[test]
fn a_layer_has_to_unpack_to_its_diff_id() {
    let world = World::new();
    let layout = new_layout(&world);
    let tar = Tar::new().file("f", b"").end();
    let blob = layout.blob(MediaType::ImageLayerGzip, &gzip(&tar));
    let other = digest(b"something else").to_string();
    let manifest = layout.manifest(Config::default(), Arch::default(), vec![other], vec![blob]);
    let error = import(&world, layout.finish(vec![manifest]), None).expect_err("mismatch");
    assert!(matches!(error, ImportError::DiffId { .. }), "{error}");
    assert!(world.leftovers().is_empty());
}

#[test]
fn naming_a_layer_of_the_store_is_not_enough_to_get_it() {
    let world = World::new();
    let private = world
        .import(&Tar::new().file("private", b"").end())
        .expect("import");
    let layout = new_layout(&world);
    let blob = layout.blob(MediaType::ImageLayer, &Tar::new().file("mine", b"").end());
    let claimed = vec![private.layers[0].to_string()];
    let manifest = layout.manifest(Config::default(), Arch::default(), claimed, vec![blob]);
    let error = import(&world, layout.finish(vec![manifest]), None).expect_err("claimed");
    assert!(matches!(error, ImportError::DiffId { .. }), "{error}");
}

#[test]
fn a_layer_that_is_there_is_not_unpacked_again() {
    let world = World::new();
    let layout = new_layout(&world);
    let path = layout.finish(vec![layout.image(Config::default(), &three_layers())]);
    let first = import(&world, path, None).expect("first");
    let tree = world.store.path(&first.layers[0]).expect("unpacked");
    fs::write(tree.join("witness"), "").expect("witness");
    let second = import(&world, path, None).expect("second");
    assert_eq!(second.layers, first.layers);
    assert_eq!(second.report, first.report);
    assert!(tree.join("witness").exists());
}

#[test]
fn a_repeated_layer_counts_once_at_its_highest_place() {
    let world = World::new();
    let layout = new_layout(&world);
    let tars = three_layers();
    let twice = [tars[0].clone(), tars[1].clone(), tars[0].clone()];
    let path = layout.finish(vec![layout.image(Config::default(), &twice)]);
    let image = import(&world, path, None).expect("legal");
    assert_eq!(image.layers, [digest(&tars[1]), digest(&tars[0])]);
    assert_eq!(image.size_bytes, 6);
}

#[test]
fn hostile_layers_are_refused_like_any_tar() {
    for (tar, expected) in [
        (
            Tar::new().symlink("d", "/").file("d/x", b""),
            Refusal::ThroughSymlink,
        ),
        (Tar::new().file("../x", b""), Refusal::ParentComponent),
        (Tar::new().file(".wh...", b""), Refusal::WhiteoutName),
        (Tar::new().file("d/.wh..", b""), Refusal::WhiteoutName),
        (Tar::new().file(".wh.", b""), Refusal::WhiteoutName),
        (Tar::new().file(".wh..wh.plnk", b""), Refusal::WhiteoutName),
        (Tar::new().file(".wh.d/x", b""), Refusal::WhiteoutName),
        (
            Tar::new().symlink("d", "..").file("d/.wh.outside", b""),
            Refusal::ThroughSymlink,
        ),
        (
            Tar::new().symlink("d", "..").file("d/.wh..wh..opq", b""),
            Refusal::ThroughSymlink,
        ),
    ] {
        let world = World::new();
        let layout = new_layout(&world);
        let path = layout.finish(vec![layout.image(Config::default(), &[tar.end()])]);
        let before = world.outside();
        match import(&world, path, None).expect_err("hostile") {
            ImportError::Refused { refusal, .. } => assert_eq!(refusal, expected),
            other => panic!("{expected:?}: {other}"),
        }
        assert_eq!(world.outside(), before);
        assert!(world.leftovers().is_empty());
    }
}

#[test]
fn documents_layers_and_nesting_are_bounded() {
    let world = World::new();
    let layout = new_layout(&world);
    let manifest = layout.image(Config::default(), &three_layers());
    let limited = |limits: Limits, path: &Path| {
        Importer::new(&world.store)
            .with_limits(limits)
            .import_oci_layout(path, None, &mut go_on)
            .expect_err("too much")
            .to_string()
    };
    let path = layout.finish(vec![manifest.clone()]);
    let few_layers = Limits {
        layers: 2,
        ..Limits::default()
    };
    assert!(limited(few_layers, path).contains("layers"));
    let small_documents = Limits {
        document_bytes: 100,
        ..Limits::default()
    };
    assert!(limited(small_documents, path).contains("JSON document"));
    let mut nested = manifest;
    for _ in 0..6 {
        nested = layout.index(vec![nested]);
    }
    let path = layout.finish(vec![nested]);
    assert!(limited(Limits::default(), path).contains("nested indexes"));
}

#[test]
fn what_is_no_layout_is_told_apart() {
    let world = World::new();
    let empty = world.path("empty");
    fs::create_dir(&empty).expect("dir");
    let error = import(&world, &empty, None).expect_err("no layout");
    assert!(error.to_string().contains("no OCI layout"), "{error}");

    let docker = world.path("docker.tar");
    let tar = Tar::new()
        .file("0123abcd.json", b"{}")
        .file("0123abcd/layer.tar", b"")
        .file("manifest.json", b"[]");
    fs::write(&docker, tar.end()).expect("archive");
    let error = import(&world, &docker, None).expect_err("docker archive");
    assert!(error.to_string().contains("docker archive"), "{error}");

    let rootfs = world.path("rootfs.tar.gz");
    fs::write(&rootfs, gzip(&Tar::new().dir("./").dir("./usr").end())).expect("archive");
    let image = import(&world, &rootfs, None).expect("root filesystem");
    assert!(world.tree(&image).join("usr").is_dir());

    let missing = import(&world, &world.path("missing"), None).expect_err("missing");
    assert!(matches!(missing, ImportError::Read(_)));
}
