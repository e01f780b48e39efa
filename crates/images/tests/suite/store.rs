//! The store between processes, which stores opened twice stand for: its locks belong to open
//! files.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use pinfold_images::{Importer, LayerStore};

use crate::archive::Tar;
use crate::world::{World, go_on};

fn some_tar(name: &str) -> Vec<u8> {
    Tar::new().file(name, name.as_bytes()).end()
}

#[test]
fn the_store_is_private_and_reopens() {
    let world = World::new();
    let image = world.import(&some_tar("a")).expect("import");
    let dir = world.path("store");
    assert_eq!(fs::metadata(&dir).expect("store").mode() & 0o7777, 0o700);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("chmod");
    let again = LayerStore::open(&dir).expect("reopen");
    assert_eq!(fs::metadata(&dir).expect("store").mode() & 0o7777, 0o700);
    assert_eq!(
        again.path(&image.layers[0]),
        world.store.path(&image.layers[0])
    );
    assert_eq!(again.size(&image.layers[0]).expect("size"), Some(1));
    assert_eq!(again.layers().expect("layers"), image.layers);
}

#[test]
fn a_dead_imports_leftovers_go_and_a_live_imports_stay() {
    let world = World::new();
    let tmp = world.path("store/tmp");
    let list = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&tmp).expect("list");
        entries.map(|entry| entry.expect("entry").path()).collect()
    };
    let mut seen_alive = false;
    let tar = some_tar("live");
    let mut source = Before {
        inner: tar.as_slice(),
        then: || {
            let alive = list();
            fs::create_dir_all(tmp.join("dead/fs/usr")).expect("leftover");
            fs::write(tmp.join("dead/fs/usr/file"), "x").expect("leftover");
            LayerStore::open(&world.path("store")).expect("second process");
            assert_eq!(list(), alive);
            seen_alive |= !alive.is_empty();
        },
    };
    let image = Importer::new(&world.store)
        .import_rootfs_tar(&mut source, None, &mut go_on)
        .expect("import goes on");
    assert!(
        seen_alive,
        "the store was opened while the import was under way"
    );
    assert!(world.tree(&image).join("live").exists());
}

/// Calls `then` before each read.
struct Before<R, F> {
    inner: R,
    then: F,
}

impl<R: Read, F: FnMut()> Read for Before<R, F> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        (self.then)();
        self.inner.read(buf)
    }
}

#[test]
fn a_sweep_removes_what_nothing_refers_to() {
    let world = World::new();
    let kept = world.import(&some_tar("kept")).expect("import").layers;
    let gone = world.import(&some_tar("gone")).expect("import").layers;
    let sweep = world
        .store
        .sweep()
        .expect("store")
        .expect("no import lives");
    let removed = sweep
        .remove_unreferenced(&HashSet::from_iter(kept.clone()))
        .expect("sweep");
    assert_eq!(removed.layers, gone);
    assert_eq!(removed.size_bytes, 4);
    assert_eq!(world.store.layers().expect("layers"), kept);
    assert_eq!(world.store.path(&gone[0]), None);
    assert_eq!(world.store.size(&gone[0]).expect("size"), None);
    assert_eq!(world.leftovers().len(), 1);
}

#[test]
fn no_sweep_starts_before_an_import_is_recorded() {
    let world = World::new();
    let other = LayerStore::open(&world.path("store")).expect("second process");
    let image = world.import(&some_tar("new")).expect("import");
    assert!(other.sweep().expect("store").is_none());
    drop(image);
    assert!(other.sweep().expect("store").is_some());
}

#[test]
fn imports_of_the_same_layer_at_once_agree() {
    let world = World::new();
    let tar = some_tar("same");
    let layers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let store = LayerStore::open(&world.path("store")).expect("open");
                    let importer = Importer::new(&store);
                    importer
                        .import_rootfs_tar(tar.as_slice(), None, &mut go_on)
                        .expect("import")
                        .layers
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .collect()
    });
    assert!(layers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(world.leftovers().len(), 1);
}

#[test]
fn a_store_of_someone_else_is_not_opened() {
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("file");
    assert!(LayerStore::open(&file).is_err());
    if rustix::process::geteuid().is_root() {
        let theirs = dir.path().join("theirs");
        fs::create_dir(&theirs).expect("dir");
        std::os::unix::fs::chown(&theirs, Some(1000), None).expect("chown");
        assert!(LayerStore::open(&theirs).is_err());
    }
}
