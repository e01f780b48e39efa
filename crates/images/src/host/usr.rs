//! `/usr` and its companions: links into it where the machine has merged them, else directories
//! of their own that are bound like it.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::machine::{Machine, is, is_within};
use super::{Bind, HostError};

const COMPANIONS: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// How `/usr` and one companion look in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Companion {
    /// A link to this path, relative to the root.
    Link(PathBuf),
    /// An empty directory to bind over.
    MountPoint,
}

pub(super) struct UsrLayout {
    /// By name at the root; `usr` is one of them.
    pub(super) companions: Vec<(&'static str, Companion)>,
    pub(super) binds: Vec<Bind>,
}

pub(super) fn look(machine: &Machine) -> Result<UsrLayout, HostError> {
    if !is_directory(machine, Path::new("usr")) {
        return Err(HostError::NoUsr);
    }
    let mut layout = UsrLayout {
        companions: vec![("usr", Companion::MountPoint)],
        binds: vec![bind(machine, "usr")],
    };
    for name in COMPANIONS {
        if is_directory(machine, Path::new(name)) {
            layout.binds.push(bind(machine, name));
            layout.companions.push((name, Companion::MountPoint));
        } else if let Some(target) = machine.canonical(Path::new(name))
            && (is_within(&target, "usr") || is_companion(&target))
        {
            layout.companions.push((name, Companion::Link(target)));
        }
    }
    Ok(layout)
}

fn bind(machine: &Machine, name: &str) -> Bind {
    Bind {
        source: machine.outside(Path::new(name)),
        target: Path::new("/").join(name),
    }
}

fn is_directory(machine: &Machine, path: &Path) -> bool {
    let stat = machine.lstat(path);
    stat.is_some_and(|stat| is(&stat, FileType::Directory))
}

fn is_companion(target: &Path) -> bool {
    COMPANIONS.iter().any(|name| target == Path::new(name))
}
