//! `pinfold objects get`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use pinfold_sdk::{ByteStream, Client, Object};

use crate::output::byte_bar;

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Its id
    #[arg(value_name = "OBJECT")]
    object: String,

    /// A file or directory, or - for stdout [default: the object's name, here]
    #[arg(value_name = "TARGET")]
    target: Option<PathBuf>,

    /// Replace a file that is there
    #[arg(long, short)]
    force: bool,
}

pub(super) async fn run(client: &Client, args: GetArgs) -> Result<()> {
    let object = client.objects().get(&args.object).await?;
    let stream = client.objects().read(&object.id).await?;
    if args.target.as_deref() == Some(Path::new("-")) {
        return to_stdout(stream).await;
    }
    let target = resolved(&object, args.target)?;
    if target.exists() && !args.force {
        bail!("{} exists; replace it with --force", target.display());
    }
    let bar = byte_bar(&object.name, object.size_bytes);
    let counted = bar.clone();
    let stream = stream.on_progress(move |read| counted.set_position(read));
    let saved = save(stream, &object, &target).await;
    bar.finish_and_clear();
    saved
}

/// An object's name is somebody else's choice: only its last part names a file here, and only below
/// the directory that was meant.
fn resolved(object: &Object, target: Option<PathBuf>) -> Result<PathBuf> {
    let target = target.unwrap_or_else(|| PathBuf::from("."));
    if !target.is_dir() {
        return Ok(target);
    }
    let name = object.name.rsplit('/').next().unwrap_or_default();
    if matches!(name, "" | "." | "..") {
        bail!("{:?} is no name for a file here; name one", object.name);
    }
    Ok(target.join(name))
}

/// Complete under its name, or not there.
async fn save(stream: ByteStream, object: &Object, target: &Path) -> Result<()> {
    let mut part = target.as_os_str().to_owned();
    part.push(format!(".pinfold-{}", std::process::id()));
    let part = PathBuf::from(part);
    let saved = stream.save(&part).await.map_err(anyhow::Error::from);
    let saved = saved.and_then(|count| {
        if object.size_bytes.is_some_and(|size| size != count) {
            bail!("only {count} bytes came; try again");
        }
        std::fs::rename(&part, target).with_context(|| format!("cannot write {}", target.display()))
    });
    if saved.is_err() {
        // What is left of a failed download is of no use to anybody.
        let _ = std::fs::remove_file(&part);
    }
    saved
}

async fn to_stdout(mut stream: ByteStream) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    while let Some(piece) = stream.chunk().await? {
        stdout.write_all(&piece)?;
    }
    Ok(stdout.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_sdk::ObjectState;

    fn object(name: &str) -> Object {
        Object {
            id: "obj_1".into(),
            project_id: "prj_1".into(),
            name: name.into(),
            content_type: "text/plain".into(),
            metadata: Default::default(),
            state: ObjectState::Sealed,
            size_bytes: None,
            digest: None,
            sandbox_id: None,
            path: None,
            created_at: String::new(),
            sealed_at: None,
            deleted_at: None,
            expires_at: None,
        }
    }

    #[test]
    fn names_of_others_lead_nowhere_else() {
        let temp = tempfile::tempdir().expect("directory");
        let here = || Some(temp.path().to_owned());
        for name in ["a.csv", "../../a.csv", "/etc/a.csv"] {
            let resolved = resolved(&object(name), here()).expect("a name");
            assert_eq!(resolved, temp.path().join("a.csv"), "{name}");
        }
        for name in ["..", "a/..", "a/", "."] {
            assert!(resolved(&object(name), here()).is_err(), "{name}");
        }
        let named = resolved(&object("a"), Some("/x/y".into())).expect("a file");
        assert_eq!(named, Path::new("/x/y"));
    }
}
