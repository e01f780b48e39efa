//! A directory as the context of a build: a tar in a file of its own, without what `.dockerignore`
//! names.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use pinfold_images::{CONTEXT_DEPTH_MAX, Ignore};
use tempfile::NamedTempFile;

use crate::output::{printable, remark};

const IGNORE_FILE: &str = ".dockerignore";

/// Packs in a thread of its own; the file goes when the answer is dropped.
pub(super) async fn pack(directory: PathBuf) -> Result<NamedTempFile> {
    tokio::task::spawn_blocking(move || packed(&directory)).await?
}

fn packed(directory: &Path) -> Result<NamedTempFile> {
    let ignore = match fs::read_to_string(directory.join(IGNORE_FILE)) {
        Ok(text) => Ignore::parse(&text).map_err(anyhow::Error::msg)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ignore::default(),
        Err(error) => return Err(error).context("cannot read .dockerignore"),
    };
    let file = NamedTempFile::with_prefix("pinfold-context-")?;
    let mut tar = tar::Builder::new(BufWriter::new(file.as_file()));
    tar.follow_symlinks(false);
    // A server takes no sparse files: of these a few bytes stand for as many as one likes.
    tar.sparse(false);
    below(&mut tar, directory, "", &ignore, 0)?;
    tar.into_inner()?.flush()?;
    Ok(file)
}

fn below(
    tar: &mut tar::Builder<impl Write>,
    directory: &Path,
    name: &str,
    ignore: &Ignore,
    depth: usize,
) -> Result<()> {
    if depth >= CONTEXT_DEPTH_MAX {
        bail!("{} is nested too deep", directory.display());
    }
    let failed = || format!("cannot read {}", directory.display());
    let mut entries = fs::read_dir(directory)
        .with_context(failed)?
        .collect::<io::Result<Vec<_>>>()
        .with_context(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let own = entry.file_name();
        let Some(own) = own.to_str() else {
            bail!("{} has no name that is UTF-8", path.display());
        };
        let name = match name {
            "" => own.to_owned(),
            above => format!("{above}/{own}"),
        };
        let kind = entry.file_type().with_context(failed)?;
        // The rules themselves go along: the server obeys them too.
        let excluded = ignore.excludes(&name) && name != IGNORE_FILE;
        if kind.is_dir() {
            if !excluded {
                tar.append_dir(&name, &path)
                    .with_context(|| format!("cannot pack {}", path.display()))?;
            }
            if !excluded || ignore.has_exceptions() {
                below(tar, &path, &name, ignore, depth + 1)?;
            }
        } else if !excluded {
            append(tar, &path, &name, kind)?;
        }
    }
    Ok(())
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    path: &Path,
    name: &str,
    kind: fs::FileType,
) -> Result<()> {
    let packed = if kind.is_symlink() {
        tar.append_path_with_name(path, name)
    } else if kind.is_file() {
        File::open(path).and_then(|mut file| tar.append_file(name, &mut file))
    } else {
        let name = printable(name);
        remark(&format!(
            "warning: {name} is no file, directory or link, and is not sent"
        ));
        return Ok(());
    };
    packed.with_context(|| format!("cannot pack {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_sent_as_zeros_and_what_is_no_file_is_not_sent() {
        let dir = tempfile::tempdir().expect("directory");
        let file = File::create(dir.path().join("holes")).expect("file");
        file.set_len(1 << 20).expect("length");
        std::os::unix::net::UnixListener::bind(dir.path().join("socket")).expect("socket");
        let tar = packed(dir.path()).expect("packed");
        let mut archive = tar::Archive::new(tar.reopen().expect("file"));
        let entries = archive.entries().expect("tar").map(|entry| {
            let entry = entry.expect("entry");
            let name = entry.path().expect("name").to_string_lossy().into_owned();
            (name, entry.header().entry_type(), entry.size())
        });
        let entries: Vec<_> = entries.collect();
        let whole = ("holes".to_owned(), tar::EntryType::Regular, 1 << 20);
        assert_eq!(entries, [whole]);
    }

    #[test]
    fn what_is_ignored_is_not_sent() {
        let dir = tempfile::tempdir().expect("directory");
        for (name, text) in [
            (".dockerignore", "*.log\nout\n!out/keep\n"),
            ("Dockerfile", "FROM x"),
            ("a.log", "no"),
            ("out/no", "no"),
            ("out/keep", "yes"),
            ("d/e", "yes"),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            fs::write(path, text).expect("file");
        }
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("d/link")).expect("link");
        let tar = packed(dir.path()).expect("packed");
        let mut archive = tar::Archive::new(tar.reopen().expect("file"));
        let names = archive.entries().expect("tar").map(|entry| {
            let entry = entry.expect("entry");
            let size = entry.size();
            (
                entry.path().expect("name").to_string_lossy().into_owned(),
                size,
            )
        });
        let names: Vec<_> = names.collect();
        let plain: Vec<_> = names
            .iter()
            .map(|(name, _)| name.trim_end_matches('/'))
            .collect();
        assert_eq!(
            plain,
            [
                ".dockerignore",
                "Dockerfile",
                "d",
                "d/e",
                "d/link",
                "out/keep"
            ]
        );
        assert_eq!(names[4].1, 0, "a link is sent as one");
    }
}
