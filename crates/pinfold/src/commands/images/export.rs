//! `pinfold images export`: an image as an OCI layout in a tar.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::Global;
use crate::client;
use crate::download;
use crate::output::byte_bar;

/// The server says nothing before it has read all of the image.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Name, name:tag or id
    #[arg(value_name = "IMAGE")]
    image: String,

    /// The tar to write; stdout if absent
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace a file that is there
    #[arg(long, short)]
    force: bool,
}

pub(super) async fn run(global: &Global, args: ExportArgs) -> Result<()> {
    if args.output.is_none() && std::io::stdout().is_terminal() {
        bail!("a tar is nothing for a terminal; write it to a file with --output FILE");
    }
    if let Some(target) = &args.output {
        download::check(target, args.force)?;
    }
    let reading = byte_bar(&format!("reading {}", args.image), None);
    reading.enable_steady_tick(TICK);
    let stream = client::connect(global)?.images().export(&args.image).await;
    reading.finish_and_clear();
    let stream = stream?;
    let bar = byte_bar(&args.image, stream.total_bytes());
    let counted = bar.clone();
    let stream = stream.on_progress(move |read| counted.set_position(read));
    let written = match &args.output {
        Some(target) => download::save(stream, target).await,
        None => download::to_stdout(stream).await,
    };
    bar.finish_and_clear();
    written
}
