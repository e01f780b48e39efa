//! The first key: the operator's own choice, or one left in a file for the operator.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use pinfold_engine::Engine;

use super::Settings;

pub(super) async fn first(engine: &Engine, settings: &Settings) -> Result<()> {
    let made = engine
        .bootstrap_key(settings.bootstrap_key.as_deref())
        .await?;
    if let Some(made) = made {
        let path = settings.data.admin_key();
        write(&path, &made.secret)
            .with_context(|| format!("cannot write the first key to {}", path.display()))?;
        tracing::info!(path = %path.display(), "the first start made an admin key");
    }
    Ok(())
}

/// For the owner's eyes only from its first byte on; whole or not there.
fn write(path: &Path, secret: &str) -> std::io::Result<()> {
    let fresh = path.with_extension("key.new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    std::fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_readable_by_its_owner_only() {
        let temp = tempfile::tempdir().expect("directory");
        let path = temp.path().join("admin.key");
        write(&path, "s").expect("write");
        write(&path, "secret").expect("again");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "secret\n");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
