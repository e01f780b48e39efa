//! Writing a planned tree into an empty private directory.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;

use super::HostError;
use super::machine::Machine;
use super::plan::{Item, Plan};

/// Fails where the tree cannot be written. A source that has vanished or become private since it
/// was planned is left out.
pub(super) fn build(machine: &Machine, plan: &Plan, tree: &Path) -> Result<(), HostError> {
    for (path, item) in &plan.items {
        write(machine, item, &tree.join(path)).map_err(|source| HostError::Write {
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

fn write(machine: &Machine, item: &Item, at: &Path) -> io::Result<()> {
    match item {
        Item::Directory { mode } => {
            fs::create_dir(at)?;
            fs::set_permissions(at, Permissions::from_mode(*mode))
        }
        Item::Link { target } => symlink(target, at),
        Item::Text(text) => {
            fs::write(at, text)?;
            fs::set_permissions(at, Permissions::from_mode(0o644))
        }
        Item::Copy { from, .. } => match machine.open_public(from) {
            Some((source, stat)) => copy(source, &stat, at),
            None => Ok(()),
        },
    }
}

fn copy(source: File, stat: &Stat, at: &Path) -> io::Result<()> {
    let mut file = File::create_new(at)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    io::copy(&mut source.take(size), &mut file)?;
    // No setuid, and nobody but the owner writes.
    file.set_permissions(Permissions::from_mode(stat.st_mode & 0o755))?;
    let since_1970 = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    file.set_modified(SystemTime::UNIX_EPOCH + since_1970)
}
