//! The server's end of its spawner: one thread that asks, one request at a time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use pinfold_proto::spawn::{Boot, Outcome, SPAWNER_LINK_FD, Setup};
use pinfold_proto::transport;
use pinfold_sys::datagram;
use tokio::sync::oneshot;

use super::embedded;

/// Boots that may wait for the spawner at a time; more are refused at once.
const QUEUE: usize = 1024;

/// What the spawner said went wrong.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) step: String,
    pub(super) source: io::Error,
}

/// A booted guest's process.
#[derive(Debug)]
pub(super) struct Booted {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
}

struct Job {
    boot: Boot,
    fds: Vec<OwnedFd>,
    answer: oneshot::Sender<Result<Booted, Refused>>,
}

/// A handle to the running spawner; it ends when the last handle goes.
#[derive(Debug)]
pub(super) struct Spawner {
    jobs: mpsc::SyncSender<Job>,
}

impl Spawner {
    /// Starts the spawner's process and sets it up. Blocks for a few milliseconds.
    /// `hold` is locked and stays so until the spawner and whatever it was about to boot is gone.
    pub(super) fn start(setup: &Setup, hold: &File) -> Result<Self, Refused> {
        let step = |step: &str| {
            let step = step.to_owned();
            move |source| Refused { step, source }
        };
        let (ours, theirs) = datagram::pair().map_err(step("make the spawner's socket"))?;
        let mut child = launch(theirs).map_err(step("start the spawner"))?;
        transport::send(&ours, setup, &[hold.as_fd()]).map_err(step("set up the spawner"))?;
        let mut buffer = vec![0; transport::BUFFER_BYTES];
        receive(&ours, &mut buffer)?;
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        thread::Builder::new()
            .name("pinfold-spawn".to_owned())
            .spawn(move || {
                work(&ours, &queue, &mut buffer);
                drop(ours);
                // It ends with its socket; waiting keeps it from staying a zombie.
                let _ = child.wait();
            })
            .map_err(step("start the spawner's thread"))?;
        Ok(Self { jobs })
    }

    /// Boots one sandbox. The descriptors are closed when it is over.
    pub(super) async fn boot(&self, boot: Boot, fds: Vec<OwnedFd>) -> Result<Booted, Refused> {
        let (answer, result) = oneshot::channel();
        self.jobs
            .try_send(Job { boot, fds, answer })
            .map_err(|error| Refused {
                step: "reach the spawner".to_owned(),
                source: match error {
                    mpsc::TrySendError::Full(_) => io::ErrorKind::ResourceBusy.into(),
                    mpsc::TrySendError::Disconnected(_) => io::ErrorKind::BrokenPipe.into(),
                },
            })?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Starts the program from memory. It gets one descriptor, no argument and no environment.
fn launch(link: OwnedFd) -> io::Result<std::process::Child> {
    // At a high number: the link takes a low one's place before exec resolves this one.
    let program = rustix::io::fcntl_dupfd_cloexec(embedded::spawner()?, 64)?;
    let path = format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&program)
    );
    let mut command = Command::new(path);
    command
        .arg0("pinfold-spawner")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    pinfold_sys::handover::hand_over(&mut command, link, SPAWNER_LINK_FD);
    command.spawn()
}

fn work(link: &OwnedFd, queue: &mpsc::Receiver<Job>, buffer: &mut [u8]) {
    while let Ok(Job { boot, fds, answer }) = queue.recv() {
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let result = transport::send(link, &boot, &borrowed)
            .map_err(|source| Refused {
                step: "ask the spawner".to_owned(),
                source,
            })
            .and_then(|()| receive(link, buffer));
        // Whoever asked may have given up; then the guest goes with its pidfd's owner.
        let booted = result.and_then(|(pid, fds)| match fds.into_iter().next() {
            Some(pidfd) => Ok(Booted { pid, pidfd }),
            None => Err(gone()),
        });
        if let Err(Ok(abandoned)) = answer.send(booted) {
            let kill = rustix::process::Signal::KILL;
            let _ = rustix::process::pidfd_send_signal(&abandoned.pidfd, kill);
        }
    }
}

fn receive(link: &OwnedFd, buffer: &mut [u8]) -> Result<(i32, Vec<OwnedFd>), Refused> {
    let received = transport::receive::<Outcome>(link, buffer).map_err(|source| Refused {
        step: "hear the spawner".to_owned(),
        source,
    })?;
    let Some((outcome, fds)) = received else {
        return Err(gone());
    };
    if outcome.errno != 0 {
        let source = io::Error::from_raw_os_error(outcome.errno);
        return Err(Refused {
            step: outcome.step,
            source,
        });
    }
    Ok((outcome.pid.cast_signed(), fds))
}

fn gone() -> Refused {
    Refused {
        step: "hear the spawner".to_owned(),
        source: io::ErrorKind::BrokenPipe.into(),
    }
}
