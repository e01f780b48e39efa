//! Where things are on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// What everybody on this machine shares: claims of id ranges.
const MACHINE_ROOT: &str = "/run/pinfold";
const ROOT_DATA: &str = "/var/lib/pinfold";

/// A data directory: everything one installation keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The one asked for, or the default: `/var/lib/pinfold` as root, else `pinfold` in the XDG
    /// data directory. Absolute; it need not exist.
    pub(crate) fn locate(asked: Option<&Path>) -> Result<Self> {
        let path = match asked {
            Some(path) => path.to_owned(),
            None if is_root() => ROOT_DATA.into(),
            None => user_data_dir(|name| std::env::var_os(name))?,
        };
        let path = std::path::absolute(&path)
            .with_context(|| format!("cannot use the data directory {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, for its owner only, where it is missing.
    pub(crate) fn make(&self) -> Result<()> {
        make_private(&self.0)
            .with_context(|| format!("cannot make the data directory {}", self.0.display()))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("pinfold.db")
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.0.join("images")
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.0.join("journals")
    }

    /// The databases of axons.
    pub(crate) fn axons(&self) -> PathBuf {
        self.0.join("axons")
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }

    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.0.join("sandboxes")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.0.join("uploads")
    }

    pub(crate) fn admin_key(&self) -> PathBuf {
        self.0.join("admin.key")
    }

    /// What secrets are sealed under.
    pub(crate) fn secrets_key(&self) -> PathBuf {
        self.0.join("secrets.key")
    }

    /// By which SSH clients know this installation.
    pub(crate) fn ssh_host_key(&self) -> PathBuf {
        self.0.join("ssh_host_ed25519_key")
    }

    /// Held by the server that serves this directory.
    pub(crate) fn server_lock(&self) -> PathBuf {
        self.0.join("server.lock")
    }

    /// Below it each embedded run has a directory of its own.
    pub(crate) fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }
}

/// Shared by all servers and runs of this machine (of this user, without root).
pub(crate) fn machine_dir() -> Result<PathBuf> {
    let path = if is_root() {
        MACHINE_ROOT.into()
    } else {
        runtime_dir()
    };
    make_private(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// For what ends with the machine or the login.
pub(crate) fn runtime_dir() -> PathBuf {
    if is_root() {
        return MACHINE_ROOT.into();
    }
    match absolute_variable(std::env::var_os("XDG_RUNTIME_DIR")) {
        Some(runtime) => runtime.join("pinfold"),
        None => {
            let user = rustix::process::geteuid().as_raw();
            std::env::temp_dir().join(format!("pinfold-{user}"))
        }
    }
}

/// Makes a directory that only its owner, who has to be us, can enter.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    // In a shared directory such as /tmp anybody may have been there first.
    let meta = std::fs::symlink_metadata(path)?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            "it belongs to another user",
        ));
    }
    Ok(())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// XDG Base Directory Specification 0.8: relative values count as not set.
fn user_data_dir(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    if let Some(data) = absolute_variable(variable("XDG_DATA_HOME")) {
        return Ok(data.join("pinfold"));
    }
    match absolute_variable(variable("HOME")) {
        Some(home) => Ok(home.join(".local/share/pinfold")),
        None => bail!("neither HOME nor XDG_DATA_HOME is set; name a directory with --data-dir"),
    }
}

fn absolute_variable(value: Option<OsString>) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_data_is_where_xdg_says() {
        let only = |wanted: &'static str, value: &'static str| {
            user_data_dir(move |name| (name == wanted).then(|| value.into()))
        };
        assert_eq!(
            only("XDG_DATA_HOME", "/d").expect("set"),
            Path::new("/d/pinfold")
        );
        assert_eq!(
            only("HOME", "/h").expect("set"),
            Path::new("/h/.local/share/pinfold")
        );
        assert!(only("XDG_DATA_HOME", "relative").is_err());
    }

    #[test]
    fn a_directory_of_somebody_else_is_not_used() {
        let temp = tempfile::tempdir().expect("directory");
        let path = temp.path().join("a/b");
        make_private(&path).expect("made");
        make_private(&path).expect("again");
        if is_root() {
            std::os::unix::fs::chown(&path, Some(1), None).expect("chown");
            assert!(make_private(&path).is_err());
        }
    }
}
