//! `pinfold objects get`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use pinfold_sdk::{Client, Object};

use crate::download;
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
        return download::to_stdout(stream).await;
    }
    let target = resolved(&object, args.target)?;
    download::check(&target, args.force)?;
    let bar = byte_bar(&object.name, object.size_bytes);
    let counted = bar.clone();
    let stream = stream.on_progress(move |read| counted.set_position(read));
    let saved = download::save(stream, &target).await;
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
