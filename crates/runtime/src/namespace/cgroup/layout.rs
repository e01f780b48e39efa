//! Which controllers this machine has, and where.

use std::path::{Path, PathBuf};

/// Controllers that sandboxes use. `cpuacct` counts on v1 what v2's `cpu` counts itself.
const WANTED: [&str; 5] = ["memory", "cpu", "cpuacct", "pids", "freezer"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1,
    V2,
}

/// The hierarchies that can limit anything, ready to hold sandboxes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    hierarchies: Vec<Hierarchy>,
}

#[derive(Debug, Clone)]
pub(crate) struct Hierarchy {
    pub(crate) path: PathBuf,
    pub(crate) version: Version,
    controllers: Vec<&'static str>,
}

impl Hierarchy {
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.contains(&controller)
    }
}

impl Layout {
    /// Finds the hierarchies and makes `parent` in each; one that cannot be written is not used.
    pub(crate) fn detect(parent: &str) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for (mount, kind, options) in mounts.lines().filter_map(parse_mount) {
            let (names, version) = match kind {
                "cgroup" => (v1_controllers(options), Version::V1),
                "cgroup2" => (v2_controllers(&mount), Version::V2),
                _ => continue,
            };
            let path = mount.join(parent);
            if names.is_empty() || !usable(&mount, &path, version, &names) {
                continue;
            }
            let mut controllers = names;
            controllers.retain(|name| !hierarchies.iter().any(|known| known.has(name)));
            if !controllers.is_empty() {
                hierarchies.push(Hierarchy {
                    path,
                    version,
                    controllers,
                });
            }
        }
        Self { hierarchies }
    }

    pub(crate) fn has(&self, controller: &str) -> bool {
        self.hierarchy_of(controller).is_some()
    }

    pub(crate) fn hierarchy_of(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|it| it.has(controller))
    }

    /// Each hierarchy once, with its controllers.
    pub(crate) fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }
}

/// Mount point, file system and super options of one line of mountinfo (proc_pid_mountinfo(5)).
fn parse_mount(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    let mut after = after.split(' ');
    let kind = after.next()?;
    Some((
        PathBuf::from(point.replace("\\040", " ")),
        kind,
        after.nth(1).unwrap_or_default(),
    ))
}

fn v1_controllers(options: &str) -> Vec<&'static str> {
    let has = |name: &&str| options.split(',').any(|option| option == *name);
    WANTED.into_iter().filter(has).collect()
}

/// On v2 freezing needs no controller; counting CPU comes with `cpu` or even without.
fn v2_controllers(mount: &Path) -> Vec<&'static str> {
    let available = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    let has = |name: &&str| available.split_whitespace().any(|one| one == *name);
    let mut names: Vec<_> = WANTED.into_iter().filter(has).collect();
    // A hybrid machine's v2 tree without controllers would only cost a directory a sandbox.
    if !names.is_empty() {
        names.push("freezer");
    }
    names
}

fn usable(mount: &Path, directory: &Path, version: Version, names: &[&str]) -> bool {
    if std::fs::create_dir_all(directory).is_err() {
        return false;
    }
    match version {
        Version::V1 => directory.join("tasks").exists(),
        Version::V2 => delegate(mount, directory, names),
    }
}

/// Passes the controllers down from the root to our own directory.
fn delegate(mount: &Path, directory: &Path, names: &[&str]) -> bool {
    let wanted: Vec<String> = names
        .iter()
        .filter(|name| **name != "freezer")
        .map(|name| format!("+{name}"))
        .collect();
    let below = directory
        .strip_prefix(mount)
        .expect("the directory is below its mount");
    let mut at = mount.to_path_buf();
    let mut steps = vec![at.clone()];
    for part in below.components() {
        at.push(part);
        steps.push(at.clone());
    }
    steps.iter().all(|step| {
        wanted
            .iter()
            .all(|one| super::set(step, "cgroup.subtree_control", one).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines_of_both_versions_are_read() {
        let v1 = "36 25 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:18 - cgroup cgroup rw,cpu,cpuacct";
        let (point, kind, options) = parse_mount(v1).expect("v1");
        assert_eq!(
            (point.as_path(), kind),
            (Path::new("/sys/fs/cgroup/cpu,cpuacct"), "cgroup")
        );
        assert_eq!(v1_controllers(options), ["cpu", "cpuacct"]);
        let v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(parse_mount(v2).expect("v2").1, "cgroup2");
        assert!(parse_mount("garbage").is_none());
    }
}
