//! One server a data directory: its lock, its notice to clients, its name among others.

use std::fs::{File, TryLockError};
use std::io::{self, Seek, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::client::Notice;
use crate::paths::DataDir;

/// The data directory is ours while this lives.
#[derive(Debug)]
pub(super) struct Hold {
    lock: File,
    name: PathBuf,
}

impl Hold {
    pub(super) fn take(data: &DataDir) -> Result<Self> {
        let path = data.server_lock();
        let opened = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let lock = opened.with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let whom = Notice::read(&path).map_or_else(
                    || "another server".to_owned(),
                    |notice| format!("the server with process id {}", notice.pid),
                );
                bail!(
                    "the data directory {} is served by {whom}",
                    data.path().display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let mut hold = Self {
            lock,
            name: data.path().join("instance"),
        };
        hold.write(None)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(hold)
    }

    /// Tells clients of this machine where we answer.
    pub(super) fn announce(&mut self, url: &str) -> io::Result<()> {
        self.write(Some(url.to_owned()))
    }

    /// What tells this installation's cgroups from others'; made once, so that it outlives the
    /// directory's being moved.
    pub(super) fn instance(&self) -> Result<String> {
        let known = std::fs::read_to_string(&self.name).ok();
        let sound = |name: &String| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if let Some(name) = known.map(|name| name.trim().to_owned()).filter(sound) {
            return Ok(name);
        }
        let mut bytes = [0; 8];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        let name = format!("srv-{:016x}", u64::from_ne_bytes(bytes));
        let fresh = self.name.with_extension("new");
        std::fs::write(&fresh, &name)
            .and_then(|()| std::fs::rename(&fresh, &self.name))
            .with_context(|| format!("cannot write {}", self.name.display()))?;
        Ok(name)
    }

    fn write(&mut self, url: Option<String>) -> io::Result<()> {
        let notice = serde_json::to_string(&Notice {
            pid: std::process::id(),
            url,
        })?;
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(notice.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_was_first() {
        let temp = tempfile::tempdir().expect("directory");
        let data = DataDir::locate(Some(temp.path())).expect("absolute");
        let hold = Hold::take(&data).expect("first");
        let error = Hold::take(&data).expect_err("second").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(hold);
        Hold::take(&data).expect("free again");
    }

    #[test]
    fn an_installation_keeps_its_name() {
        let temp = tempfile::tempdir().expect("directory");
        let data = DataDir::locate(Some(temp.path())).expect("absolute");
        let first = Hold::take(&data).expect("hold").instance().expect("name");
        let second = Hold::take(&data).expect("hold").instance().expect("name");
        assert_eq!(first, second);
    }
}
