//! Images written as OCI layouts, read again by the import.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use oci_spec::image::Config;
use pinfold_images::{Export, ExportError, Imported, Importer, LayerTree, Platform};
use pinfold_model::{ImageConfig, Time};

use crate::archive::Tar;
use crate::layout::{Layout, digest};
use crate::world::{World, go_on, is_root};

fn exported(world: &World, image: &Imported) -> Result<Vec<u8>, ExportError> {
    let tree = |layer| LayerTree {
        path: world.store.path(layer).expect("unpacked"),
        without: vec!["etc/hosts".to_owned()],
    };
    let export = Export {
        layers: image.layers.iter().map(tree).collect(),
        config: image.config.clone(),
        names: vec!["app:1".to_owned(), "app:latest".to_owned()],
        platform: Platform::default(),
        created_at: Time::now(),
    };
    let layout = export.prepare()?;
    let mut tar = Vec::new();
    layout.write(&mut tar)?;
    assert_eq!(layout.size_bytes(), tar.len() as u64);
    Ok(tar)
}

fn imported(world: &World, tar: &[u8], select: Option<&str>) -> Imported {
    let path = world.path("exported.tar");
    fs::write(&path, tar).expect("tar");
    Importer::new(&world.store)
        .import_oci_layout(&path, select, &mut go_on)
        .expect("an import takes it")
}

/// What is in a tree: kind and mode, owner, time, links, attributes, content.
fn content(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut seen = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        let meta = fs::symlink_metadata(&path).expect("stat");
        let told = match meta.file_type() {
            kind if kind.is_dir() => {
                let names = fs::read_dir(&path).expect("list");
                ahead.extend(names.map(|entry| entry.expect("entry").path()));
                attribute(&path, "trusted.overlay.opaque")
            }
            kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).expect("link")),
            kind if kind.is_file() => format!(
                "{:?} {}",
                digest(&fs::read(&path).expect("read")),
                attribute(&path, "user.note")
            ),
            _ => format!("{}", meta.rdev()),
        };
        // A removal is made when it is unpacked.
        let time = if meta.file_type().is_char_device() {
            0
        } else {
            meta.mtime()
        };
        let links = if meta.is_dir() { 0 } else { meta.nlink() };
        let facts = (meta.mode(), meta.uid(), meta.gid(), time, links, told);
        let name = path.strip_prefix(root).expect("below");
        seen.insert(name.as_os_str().as_bytes().to_vec(), format!("{facts:?}"));
    }
    seen
}

fn attribute(path: &Path, name: &str) -> String {
    let mut value = [0; 64];
    match rustix::fs::getxattr(path, name, &mut value) {
        Ok(count) => String::from_utf8_lossy(&value[..count]).into_owned(),
        Err(_) => String::new(),
    }
}

fn layers(world: &World, tars: &[Vec<u8>], config: Config) -> Imported {
    let layout = Layout::new(world.path("layout"));
    let path = layout.finish(vec![layout.image(config, tars)]);
    Importer::new(&world.store)
        .import_oci_layout(path, None, &mut go_on)
        .expect("import")
}

#[test]
fn what_is_exported_is_what_is_imported_again() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let lower = Tar::new()
        .file("a", b"content")
        .file("etc/hosts", b"left out")
        .dir("opaque")
        .file("opaque/old", b"")
        .file(&long, &[7; 100_000])
        .symlink("absolute", "/etc/passwd")
        .symlink("far", &"x/".repeat(200))
        .symlink("odd", "./a//b/../c")
        .hardlink("again", "a")
        .end();
    let upper = Tar::new()
        .file(".wh.gone", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"new")
        .end();
    let image = layers(&world, &[lower, upper], Config::default());
    let first = world.store.path(&image.layers[0]).expect("unpacked");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(first.join("a"), "user.note", b"kept", flags).expect("attribute");
    rustix::fs::setxattr(first.join("a"), "trusted.note", b"dropped", flags).expect("attribute");
    let odd = first.join(std::ffi::OsStr::from_bytes(b"n\xffme"));
    fs::write(odd, "not UTF-8").expect("file");
    std::os::unix::net::UnixListener::bind(first.join("socket")).expect("socket");
    fs::set_permissions(&first, Permissions::from_mode(0o710)).expect("the root's own mode");

    let again = imported(
        &world,
        &exported(&world, &image).expect("exported"),
        Some("app:1"),
    );

    assert_eq!(again.layers.len(), 2);
    for (layer, copy) in image.layers.iter().zip(&again.layers) {
        let mut wanted = content(&world.store.path(layer).expect("unpacked"));
        wanted.remove(&b"etc/hosts"[..]);
        // Nothing listens there any more.
        wanted.remove(&b"socket"[..]);
        assert_eq!(content(&world.store.path(copy).expect("unpacked")), wanted);
    }
    let copy = world.store.path(&again.layers[0]).expect("unpacked");
    assert_eq!(attribute(&copy.join("a"), "user.note"), "kept");
    assert_eq!(attribute(&copy.join("a"), "trusted.note"), "");
    let files = ["a", "again"].map(|name| fs::metadata(copy.join(name)).expect("stat").ino());
    assert_eq!(files[0], files[1], "names of one file");
}

#[test]
fn the_configuration_goes_along() {
    let world = World::new();
    let config = oci_spec::image::ConfigBuilder::default()
        .env(vec!["A=b=c".to_owned()])
        .user("app")
        .working_dir("/srv")
        .entrypoint(vec!["/init".to_owned()])
        .cmd(vec!["serve".to_owned()])
        .exposed_ports(vec!["80/tcp".to_owned()])
        .labels([("k".to_owned(), "v".to_owned())])
        .build()
        .expect("complete");
    let image = layers(&world, &[Tar::new().file("a", b"").end()], config);
    assert_ne!(image.config, ImageConfig::default());
    let tar = exported(&world, &image).expect("exported");
    for name in ["app:1", "app:latest"] {
        assert_eq!(imported(&world, &tar, Some(name)).config, image.config);
    }
}

#[test]
fn an_export_is_the_same_each_time() {
    let world = World::new();
    let names = (0..300).map(|n| format!("dir/{n}"));
    let tar = names.fold(Tar::new(), |tar, name| tar.file(&name, name.as_bytes()));
    let image = world.import(&tar.end()).expect("import");
    let once = imported(&world, &exported(&world, &image).expect("exported"), None);
    let twice = imported(&world, &exported(&world, &image).expect("exported"), None);
    assert_eq!(once.layers, twice.layers);
}

#[test]
fn names_that_would_mean_removals_are_refused() {
    let world = World::new();
    let image = world
        .import(&Tar::new().file("a", b"").end())
        .expect("import");
    fs::write(world.tree(&image).join(".wh.a"), "").expect("file");
    let error = exported(&world, &image).expect_err("refused");
    assert!(matches!(error, ExportError::Unspeakable { .. }), "{error}");
    assert!(error.to_string().contains(".wh.a"), "{error}");
}

#[test]
fn holes_count_so_that_no_file_takes_for_ever() {
    let world = World::new();
    let image = world
        .import(&Tar::new().file("a", b"").end())
        .expect("import");
    let large = fs::File::create(world.tree(&image).join("large")).expect("file");
    large.set_len(65 << 30).expect("a hole");
    let error = exported(&world, &image).expect_err("refused");
    assert!(matches!(error, ExportError::Limit { .. }), "{error}");
}

#[test]
fn a_layer_that_changes_meanwhile_breaks_the_export() {
    let world = World::new();
    let image = world
        .import(&Tar::new().file("a", b"").end())
        .expect("import");
    let export = Export {
        layers: vec![LayerTree {
            path: world.tree(&image),
            without: Vec::new(),
        }],
        config: ImageConfig::default(),
        names: Vec::new(),
        platform: Platform::default(),
        created_at: Time::now(),
    };
    let layout = export.prepare().expect("read");
    fs::write(world.tree(&image).join("b"), "").expect("file");
    let error = layout.write(std::io::sink()).expect_err("noticed");
    assert!(matches!(error, ExportError::Changed), "{error}");
}
