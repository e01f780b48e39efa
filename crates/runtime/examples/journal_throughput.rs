//! How fast a command's output gets into its journal, beside the same child writing into a plain
//! pipe. Prints GiB/s and the ratio of the medians; the kinds alternate within one run.
//!
//! `journal_throughput [MiB per round] [rounds]`; `journal_throughput short [commands]` pumps that
//! many commands of one line each, to be counted with `strace -c -f`.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use pinfold_model::journal::Stream;
use pinfold_model::{CommandId, CommandState, ExitStatus};
use pinfold_runtime::journal::{Journals, Pump};

const BLOCK_KIB: u64 = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let dir = tempfile::tempdir()?;
    let journals = Journals::open(dir.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let number = |at: usize, default: u64| match arguments.get(at) {
        Some(text) => text.parse().context("a number"),
        None => Ok(default),
    };
    if arguments.first().is_some_and(|first| first == "short") {
        return runtime.block_on(short(&journals, number(1, 1000)?));
    }
    let (mib, rounds) = (number(0, 1024)?, number(1, 7)?);
    let mut plain = Vec::new();
    let mut journal = Vec::new();
    let mut followed = Vec::new();
    let mut dropped = Vec::new();
    let journaled = |cap, follow| {
        let id = CommandId::generate();
        let rate = rate(mib, || {
            runtime.block_on(pump(&journals, &id, mib, cap, follow))
        })?;
        journals.remove(&id)?;
        Ok::<_, anyhow::Error>(rate)
    };
    for _ in 0..rounds {
        plain.push(rate(mib, || read_plainly(mib))?);
        journal.push(journaled(u64::MAX, Follow::No)?);
        followed.push(journaled(u64::MAX, Follow::Yes)?);
        dropped.push(journaled(1 << 20, Follow::No)?);
    }
    let base = median(&mut plain);
    println!("{:28} {base:6.2} GiB/s", "plain pipe");
    for (name, rates) in [
        ("journal", &mut journal),
        ("journal, one follower", &mut followed),
        ("journal, past its cap", &mut dropped),
    ] {
        let rate = median(rates);
        println!(
            "{name:28} {rate:6.2} GiB/s   {:.2} of the plain pipe",
            rate / base
        );
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    Yes,
    No,
}

fn flood(mib: u64, stdout: impl Into<Stdio>) -> Result<Child> {
    let child = Command::new("dd")
        .args(["if=/dev/zero", "status=none"])
        .args([
            format!("bs={BLOCK_KIB}K"),
            format!("count={}", mib * 1024 / BLOCK_KIB),
        ])
        .stdin(Stdio::null())
        .stdout(stdout)
        .spawn();
    child.context("dd")
}

fn read_plainly(mib: u64) -> Result<u64> {
    let mut child = flood(mib, Stdio::piped())?;
    let mut pipe = child.stdout.take().context("piped")?;
    let mut buffer = vec![0; 128 << 10];
    let mut total = 0;
    loop {
        match pipe.read(&mut buffer)? {
            0 => break,
            bytes => total += bytes as u64,
        }
    }
    child.wait()?;
    Ok(total)
}

async fn pump(
    journals: &Journals,
    id: &CommandId,
    mib: u64,
    cap: u64,
    follow: Follow,
) -> Result<u64> {
    let writer = journals.create(id, cap)?;
    let journal = writer.journal().clone();
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let follower = (follow == Follow::Yes).then(|| {
        let reader = journal.stream_reader(Stream::Stdout, 0);
        tokio::spawn(async move { reader.copy_to(&mut tokio::io::sink()).await })
    });
    let mut child = flood(mib, writing)?;
    let pump = Pump::start(writer, reading, None)?;
    pump.closed().await;
    child.wait()?;
    pump.finish(CommandState::Exited(ExitStatus::Code(0)))?;
    let status = journal.status();
    if let Some(follower) = follower {
        anyhow::ensure!(
            follower.await?? == status.stream_bytes(Stream::Stdout),
            "follower lost some"
        );
    }
    pump.stop().await;
    Ok(if status.truncated {
        mib << 20
    } else {
        status.stream_bytes(Stream::Stdout)
    })
}

/// Commands of one line each, without processes: what the journal alone costs.
async fn short(journals: &Journals, commands: u64) -> Result<()> {
    let begin = Instant::now();
    for _ in 0..commands {
        let id = CommandId::generate();
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let ((out, out_writing), (err, err_writing)): ((OwnedFd, _), (OwnedFd, _)) =
            (pipe()?, pipe()?);
        let pump = Pump::start(journals.create(&id, 1 << 20)?, out, Some(err))?;
        rustix::io::write(&out_writing, b"hi\n")?;
        drop((out_writing, err_writing));
        pump.finish(CommandState::Exited(ExitStatus::Code(0)))?;
        let collected = journals.get(&id)?.collect(Stream::Stdout, 1 << 20)?;
        anyhow::ensure!(collected.bytes == b"hi\n", "lost a line");
        drop(pump);
    }
    println!(
        "{:.1} us for one short command",
        begin.elapsed().as_secs_f64() * 1e6 / commands as f64
    );
    Ok(())
}

fn rate(mib: u64, run: impl FnOnce() -> Result<u64>) -> Result<f64> {
    let begin = Instant::now();
    let bytes = run()?;
    anyhow::ensure!(bytes == mib << 20, "{bytes} bytes of {mib} MiB arrived");
    Ok(bytes as f64 / begin.elapsed().as_secs_f64() / f64::from(1 << 30))
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
