//! Deciding what the generated tree holds, and its name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pinfold_model::Digest;
use rustix::fs::{FileType, Stat};
use sha2::{Digest as _, Sha256};

use super::allow::{ALLOWED, is_secret_by_name};
use super::machine::{Machine, is, is_within};
use super::usr::{self, Companion};
use super::{Bind, HostError, accounts};

/// Goes into every name; changes with what the tree is made of.
const GENERATION: &[u8] = b"pinfold host tree 1";
const ENTRIES_MAX: usize = 20_000;
/// Larger files of `/etc` are left out: no configuration is.
const FILE_MAX_BYTES: u64 = 16 << 20;
const TOTAL_MAX_BYTES: u64 = 128 << 20;

/// Directories that programs expect, empty. Modes as Debian's base-files has them.
const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
    ("workspace", 0o755),
];
const LINKS: &[(&str, &str)] = &[
    ("etc/mtab", "../proc/self/mounts"),
    ("var/lock", "/run/lock"),
    ("var/run", "/run"),
];
/// Each sandbox has its own.
const PLACEHOLDERS: &[&str] = &["etc/hostname", "etc/hosts", "etc/resolv.conf"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Directory {
        mode: u32,
    },
    Link {
        target: PathBuf,
    },
    Text(String),
    /// A copy of the machine's file `from`, without links and as big and old as seen.
    Copy {
        from: PathBuf,
        seen: Seen,
    },
}

/// What tells whether a source has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    mode: u32,
    size: u64,
    mtime: (i64, u64),
}

/// The tree: relative paths, parents before what is in them.
pub(super) struct Plan {
    pub(super) items: BTreeMap<PathBuf, Item>,
    copied_bytes: u64,
}

pub(super) fn make(machine: &Machine) -> Result<(Plan, Vec<Bind>), HostError> {
    let layout = usr::look(machine)?;
    let mut plan = Plan {
        items: BTreeMap::new(),
        copied_bytes: 0,
    };
    plan.add_skeleton(&layout.companions);
    let visible: Vec<&str> = layout.companions.iter().map(|(name, _)| *name).collect();
    let mut etc = Etc {
        machine,
        visible,
        plan: &mut plan,
    };
    for allowed in ALLOWED {
        etc.add_allowed(allowed)?;
    }
    plan.add_accounts(machine);
    Ok((plan, layout.binds))
}

impl Plan {
    /// A name that is the same as long as every source is, in hex.
    pub(super) fn key(&self) -> String {
        let mut sha = Sha256::new();
        let mut part = |bytes: &[u8]| {
            sha.update((bytes.len() as u64).to_le_bytes());
            sha.update(bytes);
        };
        part(GENERATION);
        for (path, item) in &self.items {
            part(path.as_os_str().as_bytes());
            part(format!("{item:?}").as_bytes());
        }
        Digest::from_sha256(sha.finalize().into()).hex().to_owned()
    }

    fn add_skeleton(&mut self, companions: &[(&str, Companion)]) {
        for (path, mode) in DIRECTORIES {
            self.items
                .insert(path.into(), Item::Directory { mode: *mode });
        }
        for (path, target) in LINKS {
            let target = target.into();
            self.items.insert(path.into(), Item::Link { target });
        }
        for path in PLACEHOLDERS {
            self.items.insert(path.into(), Item::Text(String::new()));
        }
        for (name, companion) in companions {
            let item = match companion {
                Companion::Link(target) => Item::Link {
                    target: target.clone(),
                },
                Companion::MountPoint => Item::Directory { mode: 0o755 },
            };
            self.items.insert(name.into(), item);
        }
    }

    fn add_accounts(&mut self, machine: &Machine) {
        let read = |path: &str| {
            let mut text = Vec::new();
            if let Some((file, _)) = machine.open_public(Path::new(path)) {
                // What cannot be read is a machine without accounts to show.
                let _ = file.take(FILE_MAX_BYTES).read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        };
        let passwd = accounts::passwd(&read("etc/passwd"));
        let group = accounts::group(&read("etc/group"), &passwd);
        self.items.insert("etc/passwd".into(), Item::Text(passwd));
        self.items.insert("etc/group".into(), Item::Text(group));
    }

    fn add(&mut self, path: &Path, item: Item) -> Result<(), HostError> {
        self.items.insert(path.to_owned(), item);
        if self.items.len() > ENTRIES_MAX {
            return Err(HostError::TooManyEntries(ENTRIES_MAX));
        }
        Ok(())
    }
}

/// Collects the allowed part of `/etc`.
struct Etc<'m> {
    machine: &'m Machine,
    /// Top-level names whose content a sandbox sees as it is.
    visible: Vec<&'m str>,
    plan: &'m mut Plan,
}

impl Etc<'_> {
    fn add_allowed(&mut self, allowed: &str) -> Result<(), HostError> {
        let path = Path::new("etc").join(allowed);
        if !self.machine.is_reachable_by_all(&path) {
            return Ok(());
        }
        let Some(start) = allowed.strip_suffix('*') else {
            return self.add(&path);
        };
        for name in self.machine.list_public(Path::new("etc"), ENTRIES_MAX) {
            if name.starts_with(start.as_bytes()) {
                self.add(&Path::new("etc").join(OsStr::from_bytes(&name)))?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path) -> Result<(), HostError> {
        let name = path.file_name().unwrap_or_default();
        let Some(stat) = self.machine.lstat(path) else {
            return Ok(());
        };
        if is_secret_by_name(name.as_bytes()) {
            return Ok(());
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.add_directory(path, &stat),
            FileType::RegularFile => self.add_copy(path, path.to_owned(), &stat),
            FileType::Symlink => self.add_link(path),
            _ => Ok(()),
        }
    }

    /// Depth is bounded by `ENTRIES_MAX` and by what `/etc` can nest.
    fn add_directory(&mut self, path: &Path, stat: &Stat) -> Result<(), HostError> {
        if stat.st_mode & 0o5 != 0o5 {
            return Ok(());
        }
        self.add_parents(path)?;
        self.plan.add(path, Item::Directory { mode: 0o755 })?;
        for name in self.machine.list_public(path, ENTRIES_MAX) {
            self.add(&path.join(OsStr::from_bytes(&name)))?;
        }
        Ok(())
    }

    /// A link stays a link while a sandbox sees its target, or could; otherwise it becomes a copy
    /// of the file it leads to, if everybody may read that.
    fn add_link(&mut self, path: &Path) -> Result<(), HostError> {
        let (Some(target), Some(end)) =
            (self.machine.read_link(path), self.machine.canonical(path))
        else {
            return Ok(());
        };
        if is_within(&end, "etc") || self.visible.iter().any(|dir| is_within(&end, dir)) {
            self.add_parents(path)?;
            return self.plan.add(path, Item::Link { target });
        }
        match self.machine.lstat(&end) {
            Some(stat) if self.machine.is_reachable_by_all(&end) => self.add_copy(path, end, &stat),
            _ => Ok(()),
        }
    }

    fn add_copy(&mut self, path: &Path, from: PathBuf, stat: &Stat) -> Result<(), HostError> {
        let seen = Seen::of(stat);
        let public = is(stat, FileType::RegularFile) && stat.st_mode & 0o4 != 0;
        if !public || seen.size > FILE_MAX_BYTES {
            return Ok(());
        }
        self.plan.copied_bytes += seen.size;
        if self.plan.copied_bytes > TOTAL_MAX_BYTES {
            return Err(HostError::TooLarge(TOTAL_MAX_BYTES));
        }
        self.add_parents(path)?;
        self.plan.add(path, Item::Copy { from, seen })
    }

    fn add_parents(&mut self, path: &Path) -> Result<(), HostError> {
        for above in path.ancestors().skip(1) {
            if !above.as_os_str().is_empty() && !self.plan.items.contains_key(above) {
                self.plan.add(above, Item::Directory { mode: 0o755 })?;
            }
        }
        Ok(())
    }
}

impl Seen {
    fn of(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode,
            size: u64::try_from(stat.st_size).unwrap_or(u64::MAX),
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}
