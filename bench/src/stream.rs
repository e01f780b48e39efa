//! A flood of output: through the journal to a reader, and through a plain pipe.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::pinfold::{Disks, Pinfold};
use crate::stats::{Figure, OURS, Series, Unit};

const MEBIBYTES: u64 = 256;
/// What a careful reader of a pipe takes at once: all that it can hold.
const BUFFER_BYTES: usize = 64 << 10;

pub(crate) async fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let pinfold = Pinfold::open(place.path(), Disks::Memory).await?;
    let id = pinfold.create().await?;
    let line = format!("head -c {MEBIBYTES}M /dev/zero");
    let mut ours = Series::new(OURS, "engine");
    let mut plain = Series::new("plain pipe", "process");
    for _ in 0..rounds.div_ceil(10) {
        let (took, seen) = pinfold.stream(&id, &line).await?;
        ensure!(seen == MEBIBYTES << 20, "{seen} bytes came");
        ours.push(MEBIBYTES as f64 / took.as_secs_f64());
        let start = Instant::now();
        let seen = plain_pipe(&line).await?;
        ensure!(seen == MEBIBYTES << 20, "{seen} bytes came");
        plain.push(MEBIBYTES as f64 / start.elapsed().as_secs_f64());
    }
    pinfold.destroy(&id).await?;
    pinfold.close().await;
    let title = "256 MiB on stdout of a command, to a reader of all of it";
    let series = vec![ours, plain];
    let unit = Unit::MebibytesPerSecond;
    Ok(vec![Figure::new("stream", title, unit, series)])
}

async fn plain_pipe(line: &str) -> Result<u64> {
    let mut child = Command::new("bash")
        .args(["-c", line])
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().context("a pipe was asked for")?;
    let (mut buffer, mut seen) = (vec![0; BUFFER_BYTES], 0);
    loop {
        match stdout.read(&mut buffer).await? {
            0 => break,
            read => seen += read as u64,
        }
    }
    child.wait().await?;
    Ok(seen)
}
