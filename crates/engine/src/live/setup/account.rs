//! An account in the sandbox's own files, which its tenant may have written: read up to a bound, and
//! replaced whole. And its home, where that is there and nobody's but root's.

use std::path::Path;

use pinfold_model::setup::Account;
use pinfold_runtime::guest::{
    FailureKind, FileKind, FilePath, FileStat, Follow, Guest, GuestError, WriteOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// As much as the guest looks at.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Whoever has the name stays; whoever else has the number comes after the new one, so that the
/// number means this account.
pub(super) async fn ensure(guest: &Guest, account: &Account) -> Result<(), GuestError> {
    let Account { name, uid, home } = account;
    let user = format!("{name}:x:{uid}:{uid}::{home}:/bin/bash\n");
    let group = format!("{name}:x:{uid}:\n");
    for (path, line) in [(PASSWD, user), (GROUP, group)] {
        let text = read(guest, path).await?;
        if let Some(text) = with_entry(&text, name, &line) {
            write(guest, path, &text).await?;
        }
    }
    own_home(guest, account).await
}

/// What put something below a home may have made it, as root's. Nothing else is given away: not what
/// somebody else has, not what is in it, and not what a symlink in its place leads to.
async fn own_home(guest: &Guest, account: &Account) -> Result<(), GuestError> {
    let home = Path::new(&account.home);
    let (Some(parent), Some(name)) = (home.parent(), home.file_name()) else {
        return Ok(());
    };
    let at = FilePath {
        follow: Follow::No,
        ..FilePath::new(home)
    };
    let stat = match guest.stat(&at).await {
        Err(error) if error.refusal() == Some(FailureKind::NotFound) => return Ok(()),
        stat => stat?,
    };
    if stat.kind != FileKind::Directory || stat.uid != 0 {
        return Ok(());
    }
    let archive = directory(Path::new(name), account.uid, &stat)?;
    // A directory that an archive names is kept, and becomes as the archive has it.
    let mut into = guest.extract(&FilePath::new(parent), false).await?;
    let _ = into.write_all(&archive).await;
    into.finish().await.map(drop)
}

/// A tar of nothing but a directory: as it is, save for its owner.
fn directory(name: &Path, owner: u32, stat: &FileStat) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(stat.mode);
    header.set_uid(owner.into());
    header.set_gid(owner.into());
    header.set_mtime(u64::try_from(stat.modified.as_second()).unwrap_or_default());
    header.set_size(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, std::io::empty())?;
    archive.into_inner()
}

fn with_entry(text: &[u8], name: &str, line: &str) -> Option<Vec<u8>> {
    let of_name = |line: &[u8]| {
        line.strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.starts_with(b":"))
    };
    if text.split(|byte| *byte == b'\n').any(of_name) {
        return None;
    }
    Some([line.as_bytes(), text].concat())
}

/// Nothing where there is no such file.
async fn read(guest: &Guest, path: &str) -> Result<Vec<u8>, GuestError> {
    let mut text = Vec::new();
    let read = guest
        .read(&FilePath::new(path), 0, Some(FILE_MAX_BYTES))
        .await;
    let (_, mut transfer) = match read {
        Err(error) if error.refusal() == Some(FailureKind::NotFound) => return Ok(text),
        read => read?,
    };
    transfer.read_to_end(&mut text).await?;
    Ok(text)
}

async fn write(guest: &Guest, path: &str, text: &[u8]) -> Result<(), GuestError> {
    let options = WriteOptions {
        mode: 0o644,
        parents: true,
        ..WriteOptions::default()
    };
    let mut file = guest.write(&FilePath::new(path), options).await?;
    // The end of the transfer knows why, where this fails.
    let _ = file.write_all(text).await;
    file.finish().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::with_entry;

    #[test]
    fn an_entry_comes_first_and_only_where_the_name_is_free() {
        let there = b"root:x:0:0::/root:/bin/sh\nusers:x:100:\n";
        let with = with_entry(there, "user", "user:x:1:\n").expect("a free name");
        assert!(with.starts_with(b"user:x:1:\nroot:"));
        assert_eq!(with_entry(&with, "user", "user:x:2:\n"), None);
        assert_eq!(with_entry(b"", "a", "a:\n"), Some(b"a:\n".to_vec()));
    }
}
