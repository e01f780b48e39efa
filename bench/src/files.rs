//! Large files into a sandbox and out of it over the API, beside `cp` on this machine.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use pinfold_sdk::{Upload, WriteOptions};

use crate::contenders::Program;
use crate::server::Server;
use crate::stats::{Figure, Series, Unit};

const MEBIBYTES: usize = 1024;
const INSIDE: &str = "/workspace/file";

/// Each one begins when nothing waits for the disk: what the one before has left would be written out at its cost.
pub(crate) async fn measure(program: &Path, rounds: usize) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir()?;
    let server = Server::start(program, place.path()).await?;
    let id = server.create().await?;
    let files = server.client.files(&id);
    let [source, copy, back] = ["source", "copy", "back"].map(|name| place.path().join(name));
    std::fs::write(&source, vec![7; MEBIBYTES << 20])?;
    let cp = Program::new(
        "cp",
        &["cp", &source.to_string_lossy(), &copy.to_string_lossy()],
    );
    let mut up = Series::new("pinfold, upload", "API");
    let mut down = Series::new("pinfold, download", "API");
    let mut plain = Series::new("cp", "process");
    let speed = |start: Instant| MEBIBYTES as f64 / start.elapsed().as_secs_f64();
    for _ in 0..rounds.div_ceil(25) {
        rustix::fs::sync();
        let start = Instant::now();
        let body = Upload::file(&source).await?;
        files.write(INSIDE, body, &WriteOptions::default()).await?;
        up.push(speed(start));
        rustix::fs::sync();
        let start = Instant::now();
        let read = files.read(INSIDE).await?.save(&back).await?;
        ensure!(read == (MEBIBYTES as u64) << 20, "{read} bytes came");
        down.push(speed(start));
        rustix::fs::sync();
        let start = Instant::now();
        cp.run().await?;
        plain.push(speed(start));
        for file in [&copy, &back] {
            std::fs::remove_file(file)?;
        }
        files.remove(INSIDE, false).await?;
    }
    server.destroy(&id).await?;
    server.stop().await?;
    let title = "a file of 1 GiB";
    let series = vec![up, down, plain];
    let unit = Unit::MebibytesPerSecond;
    Ok(vec![Figure::new("files", title, unit, series)])
}
