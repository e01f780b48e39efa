//! A directory as the context of a build: a tar in a file of its own, without what `.dockerignore`
//! names.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use pinfold_images::Ignore;
use tempfile::NamedTempFile;

const IGNORE_FILE: &str = ".dockerignore";
const DEPTH_MAX: usize = 256;

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
    if depth > DEPTH_MAX {
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
        } else if !excluded && !kind.is_socket() && !kind.is_fifo() {
            append(tar, &path, &name, kind.is_symlink())?;
        }
    }
    Ok(())
}

fn append(tar: &mut tar::Builder<impl Write>, path: &Path, name: &str, link: bool) -> Result<()> {
    let packed = match link {
        true => tar.append_path_with_name(path, name),
        false => File::open(path).and_then(|mut file| tar.append_file(name, &mut file)),
    };
    packed.with_context(|| format!("cannot pack {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
