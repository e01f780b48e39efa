//! `pinfold objects put`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;
use pinfold_sdk::{Client, CreateObject, Object, Upload, UploadObjectQuery};
use tokio::io::AsyncReadExt;

use crate::client::sandbox;
use crate::output::{Format, byte_bar};
use crate::values;

/// Read from stdin at a time.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Debug, Args)]
#[command(
    after_help = "SANDBOX:PATH copies a file inside a sandbox, as its bytes are now. A local \
                        file with a colon in its name is written ./NAME."
)]
pub(crate) struct PutArgs {
    /// A local file, - for stdin, or SANDBOX:PATH
    #[arg(value_name = "SOURCE")]
    source: String,

    /// Its name [default: that of the file]
    #[arg(long, short, value_name = "NAME")]
    name: Option<String>,

    /// Its content type [default: what the name's ending tells]
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    content_type: Option<String>,

    /// A fact about it
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = metadata)]
    metadata: Vec<(String, String)>,

    /// Delete it by itself after this time, such as 7d
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    retention: Option<Duration>,

    #[command(flatten)]
    format: Format,
}

fn metadata(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form KEY=VALUE")),
    }
}

pub(super) async fn run(client: &Client, args: PutArgs) -> Result<()> {
    let format = args.format;
    let object = match inside(&args.source) {
        Some((name, path)) => copied(client, name, path, &args).await?,
        None => uploaded(client, &args).await?,
    };
    format.one(&object, &super::facts(&object))
}

/// `SANDBOX:PATH`, as `pinfold sandbox cp` takes it.
fn inside(source: &str) -> Option<(&str, &str)> {
    let (name, path) = source.split_once(':')?;
    (!name.is_empty() && !name.contains('/') && !path.is_empty()).then_some((name, path))
}

async fn copied(client: &Client, name: &str, path: &str, args: &PutArgs) -> Result<Object> {
    let request = CreateObject {
        name: args.name.clone(),
        content_type: args.content_type.clone(),
        metadata: args.metadata.iter().cloned().collect(),
        retention_ms: args.retention.map(values::milliseconds),
        sandbox_id: Some(sandbox(client, name).await?.id),
        path: Some(path.to_owned()),
    };
    Ok(client.objects().create(&request).await?)
}

async fn uploaded(client: &Client, args: &PutArgs) -> Result<Object> {
    let stdin = args.source == "-";
    let path = PathBuf::from(&args.source);
    let (body, total) = match stdin {
        true => (Upload::stream(standard_input()), None),
        false => local(&path).await?,
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None if stdin => bail!("what comes from stdin has no name: give it one with --name"),
        None => own_name(&path)?,
    };
    let bar = byte_bar(&name, total);
    let counted = bar.clone();
    let query = UploadObjectQuery {
        name,
        content_type: args.content_type.clone(),
        retention_ms: args.retention.map(values::milliseconds),
        metadata: args.metadata.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    let body = body.on_progress(move |sent| counted.set_position(sent));
    let put = client.objects().put(&query, body).await;
    bar.finish_and_clear();
    Ok(put?)
}

async fn local(path: &Path) -> Result<(Upload, Option<u64>)> {
    let meta = std::fs::metadata(path);
    let meta = meta.with_context(|| format!("cannot read {}", path.display()))?;
    if meta.is_dir() {
        bail!(
            "{} is a directory; an object is one file, such as a tar of it",
            path.display()
        );
    }
    // Pipes and devices have a size of 0 and bytes to read.
    let total = meta.is_file().then_some(meta.len());
    Ok((Upload::file(path).await?, total))
}

fn own_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| {
        format!(
            "{} has no name that an object could have: give it one with --name",
            path.display()
        )
    })?;
    Ok(name.to_owned())
}

fn standard_input() -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send {
    futures::stream::try_unfold(tokio::io::stdin(), |mut stdin| async move {
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        let read = stdin.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), stdin)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_inside_names_its_sandbox() {
        assert_eq!(inside("box:/out/a.csv"), Some(("box", "/out/a.csv")));
        assert_eq!(inside("sbx_1:a"), Some(("sbx_1", "a")));
        for local in ["a.csv", "./a:b", "/x/a:b", ":a", "a:", "-"] {
            assert_eq!(inside(local), None, "{local}");
        }
    }

    #[test]
    fn facts_have_a_key() {
        assert_eq!(metadata("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(metadata("=b").is_err() && metadata("a").is_err());
    }
}
