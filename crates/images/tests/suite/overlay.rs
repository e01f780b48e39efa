//! Whiteouts as the kernel sees them. As an ordinary user, who cannot mount here, the marks
//! themselves are checked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::image::Config;
use pinfold_images::{Imported, Importer, Ownership};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::archive::Tar;
use crate::layout::Layout;
use crate::world::{World, go_on, is_root};

/// An overlay mount that goes with its value.
struct Overlay(PathBuf);

impl Overlay {
    fn mount(world: &World, image: &Imported, options: &str) -> Self {
        let target = world.path("mnt");
        fs::create_dir_all(&target).expect("target");
        let highest_first: Vec<String> = image
            .layers
            .iter()
            .rev()
            .map(|layer| {
                world
                    .store
                    .path(layer)
                    .expect("unpacked")
                    .display()
                    .to_string()
            })
            .collect();
        let data = format!("lowerdir={}{options}", highest_first.join(":"));
        let data = std::ffi::CString::new(data).expect("no NUL");
        mount(
            "overlay",
            &target,
            "overlay",
            MountFlags::RDONLY,
            data.as_c_str(),
        )
        .expect("mount");
        Self(target)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).expect("unmount");
    }
}

fn import(world: &World, ownership: Ownership, tars: &[Vec<u8>]) -> Imported {
    let layout = Layout::new(world.path("layout"));
    let path = layout.finish(vec![layout.image(Config::default(), tars)]);
    Importer::new(&world.store)
        .with_ownership(ownership)
        .import_oci_layout(path, None, &mut go_on)
        .expect("import")
}

/// All files and directories below `root`.
fn names(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(dir).expect("list") {
            let entry = entry.expect("entry");
            let name = entry.path().strip_prefix(root).expect("below").to_owned();
            found.insert(name.display().to_string());
            if entry.file_type().expect("type").is_dir() {
                ahead.push(entry.path());
            }
        }
    }
    found
}

fn lower_and_upper() -> [Vec<u8>; 2] {
    let lower = Tar::new()
        .file("gone", b"")
        .file("kept", b"")
        .file("dir/old", b"")
        .file("opaque/old", b"")
        .file("opaque/sub/old", b"")
        .file("removed/a/b", b"")
        .file("replaced/old", b"")
        .file("both/old", b"")
        .file("became-file/x", b"")
        .file("became-dir", b"")
        .end();
    let upper = Tar::new()
        .file(".wh.gone", b"")
        .file("dir/new", b"")
        .file("opaque/new", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file(".wh.removed", b"")
        // Removed and made anew in one layer, in both orders.
        .file(".wh.replaced", b"")
        .file("replaced/new", b"")
        .file("both/new", b"")
        .file(".wh.both", b"")
        .file("became-file", b"")
        .file("became-dir/x", b"")
        .end();
    [lower, upper]
}

const MERGED: &[&str] = &[
    "became-dir",
    "became-dir/x",
    "became-file",
    "both",
    "both/new",
    "dir",
    "dir/new",
    "dir/old",
    "kept",
    "opaque",
    "opaque/new",
    "replaced",
    "replaced/new",
];

#[test]
fn whiteouts_hide_what_lower_layers_have() {
    let world = World::new();
    let image = import(&world, Ownership::of_this_process(), &lower_and_upper());
    let upper = world.store.path(&image.layers[1]).expect("unpacked");
    let mark = fs::symlink_metadata(upper.join("gone")).expect("whiteout");
    assert!(mark.file_type().is_char_device() && mark.rdev() == 0);
    assert!(!names(&upper).iter().any(|name| name.contains(".wh.")));
    if is_root() {
        let overlay = Overlay::mount(&world, &image, "");
        let expected: BTreeSet<String> = MERGED.iter().map(ToString::to_string).collect();
        assert_eq!(names(&overlay.0), expected);
    }
}

#[test]
fn an_ordinary_users_marks_are_those_that_its_mounts_obey() {
    let world = World::new();
    let image = import(&world, Ownership::Importer, &lower_and_upper());
    let upper = world.store.path(&image.layers[1]).expect("unpacked");
    let mut value = [0; 8];
    let count = rustix::fs::getxattr(upper.join("opaque"), "user.overlay.opaque", &mut value);
    assert_eq!(
        count.map(|count| value[..count].to_vec()),
        Ok(b"y".to_vec())
    );
    if is_root() {
        let overlay = Overlay::mount(&world, &image, ",userxattr");
        let expected: BTreeSet<String> = MERGED.iter().map(ToString::to_string).collect();
        assert_eq!(names(&overlay.0), expected);
    }
}
