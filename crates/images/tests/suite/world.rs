//! A temporary directory with a store in it and things around it that must not change.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pinfold_images::{ImportError, Imported, Importer, LayerStore, Progress};

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) store: LayerStore,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir(dir.path().join("outside")).expect("outside");
        fs::write(dir.path().join("outside/secret"), "secret").expect("secret");
        let store = LayerStore::open(&dir.path().join("store")).expect("store");
        Self { dir, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn import(&self, tar: &[u8]) -> Result<Imported, ImportError> {
        Importer::new(&self.store).import_rootfs_tar(tar, None, &mut go_on)
    }

    /// The tree of an image of one layer.
    pub(crate) fn tree(&self, image: &Imported) -> PathBuf {
        assert_eq!(image.layers.len(), 1);
        self.store.path(&image.layers[0]).expect("layer is here")
    }

    /// Everything outside the store, with contents and what a hard link or chown would change.
    pub(crate) fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut seen = BTreeMap::new();
        look(&self.dir.path().join("outside"), &mut seen);
        for entry in fs::read_dir(self.dir.path()).expect("list") {
            let name = PathBuf::from(entry.expect("entry").file_name());
            seen.insert(name, String::new());
        }
        seen
    }

    /// What imports leave in the store.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let names = |sub: &str| -> Vec<PathBuf> {
            let list = fs::read_dir(self.path("store").join(sub)).expect("list");
            list.map(|entry| entry.expect("entry").path()).collect()
        };
        [names("tmp"), names("layers")].concat()
    }
}

pub(crate) fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn look(path: &Path, seen: &mut BTreeMap<PathBuf, String>) {
    let meta = fs::symlink_metadata(path).expect("stat");
    let content = match meta.is_file() {
        true => fs::read(path).expect("read"),
        false => Vec::new(),
    };
    let facts = (
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.nlink(),
        meta.mtime(),
    );
    seen.insert(path.to_owned(), format!("{facts:?} {content:?}"));
    if meta.is_dir() {
        for entry in fs::read_dir(path).expect("list") {
            look(&entry.expect("entry").path(), seen);
        }
    }
}
