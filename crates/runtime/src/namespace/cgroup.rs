//! Resource limits through control groups, in the three layouts that exist: v2, v1, and hybrid.
//!
//! Every hierarchy holds `pinfold/INSTANCE/SANDBOX`. Which one a controller is in is found once
//! from /proc/self/mountinfo; a controller that cannot be used is reported, not silently missing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use pinfold_model::Resources;
use pinfold_model::usage::Gauge;
use rustix::fs::{Mode, OFlags};

mod layout;
mod v1;
mod v2;

pub(super) use layout::Layout;

/// Where sandboxes of one server stand in every hierarchy.
#[derive(Debug, Clone)]
pub(super) struct Cgroups {
    layout: Layout,
}

/// Begins the name of a group that is not a sandbox's yet; no id of one begins so.
const AHEAD: &str = "ahead-";

/// Groups for the next sandbox, in every v1 hierarchy. They take its name when it comes (v2 knows no
/// renaming, and one group there costs less than five); dropped before, they go.
#[derive(Debug)]
pub(super) struct Ahead {
    directories: Vec<PathBuf>,
}

impl Ahead {
    /// Gives the one in `hierarchy` its name. Whether there was one that could take it.
    fn becomes(&mut self, hierarchy: &layout::Hierarchy, directory: &Path) -> bool {
        let is_there = |made: &PathBuf| made.parent() == Some(&hierarchy.path);
        let Some(at) = self.directories.iter().position(is_there) else {
            return false;
        };
        if std::fs::rename(&self.directories[at], directory).is_err() {
            return false;
        }
        self.directories.swap_remove(at);
        true
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        for directory in &self.directories {
            // What cannot go now is met by the next server.
            let _ = std::fs::remove_dir(directory);
        }
    }
}

/// What the spawner needs so that a new process lands in its groups.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// v2: the directory to be cloned into.
    pub(super) directory: Option<OwnedFd>,
    /// v1: files to write oneself into.
    pub(super) join: Vec<OwnedFd>,
}

impl Cgroups {
    /// `instance` keeps several servers on one machine apart; letters, digits and `-`.
    pub(super) fn open(instance: &str) -> Self {
        let layout = Layout::detect(&format!("pinfold/{instance}"));
        Self { layout }
    }

    /// Removes the groups that a server which was killed had made ahead. Nobody else may work in this
    /// instance now.
    pub(super) fn remove_ahead(&self) -> io::Result<()> {
        for name in self.sandboxes()? {
            if name.starts_with(AHEAD) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Makes groups for a sandbox to come; `number` is no other's. `None` where they could not be
    /// renamed.
    pub(super) fn ahead(&self, number: u64) -> io::Result<Option<Ahead>> {
        let mut ahead = Ahead {
            directories: Vec::new(),
        };
        for hierarchy in self.layout.hierarchies() {
            if hierarchy.version == layout::Version::V1 {
                let directory = hierarchy.path.join(format!("{AHEAD}{number}"));
                make(&directory)?;
                ahead.directories.push(directory);
            }
        }
        Ok((!ahead.directories.is_empty()).then_some(ahead))
    }

    pub(super) fn none() -> Self {
        Self {
            layout: Layout::default(),
        }
    }

    /// Names of what is enforced, and words on what is not.
    pub(super) fn report(&self) -> (Vec<&'static str>, Vec<String>) {
        let names = [
            ("memory", "cgroup_memory"),
            ("cpu", "cgroup_cpu"),
            ("pids", "cgroup_pids"),
        ];
        let (have, lack): (Vec<_>, Vec<_>) = names
            .into_iter()
            .partition(|(controller, _)| self.layout.has(controller));
        let words = |(controller, _): (&str, &str)| {
            format!("no limit on {controller}: this host offers no cgroup controller for it")
        };
        (
            have.into_iter().map(|(_, name)| name).collect(),
            lack.into_iter().map(words).collect(),
        )
    }

    /// Makes a sandbox's groups, of those made ahead where there are some.
    pub(super) fn create(
        &self,
        sandbox: &str,
        limits: &Resources,
        mut ahead: Option<Ahead>,
    ) -> io::Result<Entry> {
        let mut entry = Entry::default();
        for hierarchy in self.layout.hierarchies() {
            let directory = hierarchy.path.join(sandbox);
            let named = |ahead: &mut Ahead| ahead.becomes(hierarchy, &directory);
            if !ahead.as_mut().is_some_and(named) {
                make(&directory)?;
            }
            match hierarchy.version {
                layout::Version::V1 => {
                    v1::limit(hierarchy, &directory, limits)?;
                    let tasks = directory.join("tasks");
                    entry
                        .join
                        .push(File::options().write(true).open(tasks)?.into());
                }
                layout::Version::V2 => {
                    v2::limit(hierarchy, &directory, limits)?;
                    entry.directory = Some(open_directory(&directory)?);
                }
            }
        }
        Ok(entry)
    }

    pub(super) fn set_frozen(&self, sandbox: &str, frozen: bool) -> io::Result<()> {
        let Some(hierarchy) = self.layout.hierarchy_of("freezer") else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "no freezer"));
        };
        let directory = hierarchy.path.join(sandbox);
        match hierarchy.version {
            layout::Version::V1 => v1::set_frozen(&directory, frozen),
            layout::Version::V2 => v2::set_frozen(&directory, frozen),
        }
    }

    pub(super) fn gauge(&self, sandbox: &str) -> Gauge {
        let mut gauge = Gauge::default();
        for hierarchy in self.layout.hierarchies() {
            let directory = hierarchy.path.join(sandbox);
            match hierarchy.version {
                layout::Version::V1 => v1::read(hierarchy, &directory, &mut gauge),
                layout::Version::V2 => v2::read(&directory, &mut gauge),
            }
        }
        gauge
    }

    /// Microseconds of CPU used so far; `None` where nothing counts them.
    pub(super) fn cpu_used_us(&self, sandbox: &str) -> Option<u64> {
        let counted = |hierarchy: &layout::Hierarchy| {
            let directory = hierarchy.path.join(sandbox);
            match hierarchy.version {
                layout::Version::V1 => v1::cpu_used_us(hierarchy, &directory),
                layout::Version::V2 => v2::cpu_used_us(&directory),
            }
        };
        self.layout.hierarchies().iter().rev().find_map(counted)
    }

    /// Removes the groups; they are empty once the guest's process is gone. `Busy` says that some
    /// process is still on its way out.
    pub(super) fn remove(&self, sandbox: &str) -> io::Result<()> {
        for directory in self.directories(sandbox) {
            match std::fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what this instance has left in the hierarchies, where it is empty.
    pub(super) fn remove_instance(&self) {
        for hierarchy in self.layout.hierarchies() {
            let _ = std::fs::remove_dir(&hierarchy.path);
        }
    }

    /// Sandboxes that have a group, in any hierarchy.
    pub(super) fn sandboxes(&self) -> io::Result<Vec<String>> {
        let mut found = BTreeMap::new();
        for hierarchy in self.layout.hierarchies() {
            let Ok(entries) = std::fs::read_dir(&hierarchy.path) else {
                continue;
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    found.insert(entry.file_name().to_string_lossy().into_owned(), ());
                }
            }
        }
        Ok(found.into_keys().collect())
    }

    /// Every process in the sandbox's groups, as this machine numbers them.
    pub(super) fn processes(&self, sandbox: &str) -> io::Result<Vec<i32>> {
        let Some(directory) = self.directories(sandbox).next() else {
            return Ok(Vec::new());
        };
        match std::fs::read_to_string(directory.join("cgroup.procs")) {
            Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn directories(&self, sandbox: &str) -> impl Iterator<Item = PathBuf> {
        let hierarchies = self.layout.hierarchies().iter();
        hierarchies.map(move |hierarchy| hierarchy.path.join(sandbox))
    }
}

fn make(directory: &Path) -> io::Result<()> {
    match std::fs::create_dir(directory) {
        // The instance's own directory went with its last sandbox.
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir_all(directory),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Writes one setting, naming the file in the error.
fn set(directory: &Path, file: &str, value: impl std::fmt::Display) -> io::Result<()> {
    let path = directory.join(file);
    // cgroup files take one write a value, and no O_CREAT.
    let result = File::options()
        .write(true)
        .open(&path)
        .and_then(|mut f| io::Write::write_all(&mut f, value.to_string().as_bytes()));
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// What not every kernel offers.
fn optional(set: io::Result<()>) -> io::Result<()> {
    match set {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn number(directory: &Path, file: &str) -> Option<u64> {
    read(directory, file)?.trim().parse().ok()
}

/// What a file of the kernel's says, in one read: none that is asked for here is longer.
fn read(directory: &Path, file: &str) -> Option<String> {
    let mut buffer = [0; 4096];
    let mut file = File::open(directory.join(file)).ok()?;
    let len = io::Read::read(&mut file, &mut buffer).ok()?;
    Some(str::from_utf8(&buffer[..len]).ok()?.to_owned())
}

/// The value behind `key` in a file of `key value` lines.
fn field(directory: &Path, file: &str, key: &str) -> Option<u64> {
    read(directory, file)?.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

/// Microseconds of CPU that `vcpu_millis` allows in a period of 100 ms, and not less than the
/// kernel's minimum of 1 ms.
fn quota_us(limits: &Resources) -> u64 {
    (u64::from(limits.vcpu_millis) * 100).max(1000)
}

const PERIOD_US: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cgroups: &Cgroups) -> Vec<String> {
        cgroups.sandboxes().expect("list")
    }

    fn inodes(cgroups: &Cgroups, name: &str) -> Vec<u64> {
        let found = cgroups
            .directories(name)
            .filter_map(|it| it.metadata().ok());
        found
            .map(|it| std::os::unix::fs::MetadataExt::ino(&it))
            .collect()
    }

    #[test]
    fn groups_made_ahead_become_a_sandboxs_or_go() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let cgroups = Cgroups::open(&format!("test-ahead-{}", std::process::id()));
        let limits = Resources::default();
        let ahead = cgroups.ahead(7).expect("made");
        let has_v1 = ahead.is_some();
        let expected = if has_v1 { vec!["ahead-7"] } else { vec![] };
        assert_eq!(names(&cgroups), expected);
        let made = inodes(&cgroups, "ahead-7");
        let entry = cgroups.create("one", &limits, ahead).expect("create");
        assert_eq!(entry.join.is_empty(), !has_v1);
        assert_eq!(names(&cgroups), ["one"]);
        let taken = inodes(&cgroups, "one");
        assert!(made.iter().all(|made| taken.contains(made)), "made anew");
        assert_eq!(cgroups.processes("one").expect("processes"), [0; 0]);

        // A group of that name that is there already is taken as it is, and nothing is left over.
        let ahead = cgroups.ahead(8).expect("made");
        cgroups.create("one", &limits, ahead).expect("again");
        assert_eq!(names(&cgroups), ["one"]);

        std::mem::forget(cgroups.ahead(9).expect("as by a server that is killed"));
        cgroups.remove_ahead().expect("by the next one");
        assert_eq!(names(&cgroups), ["one"]);
        cgroups.remove("one").expect("remove");
        cgroups.remove_instance();
    }
}
