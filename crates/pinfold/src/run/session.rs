//! One command from its start to the last byte it wrote: the engine room of `pinfold run`.
//!
//! ```text
//! our stdin  --pump--> pipe --> command --> pipes --pump--> our stdout, stderr
//! our signals ------> guest --> command's process group
//! guest: it ended --> what is in the pipes is delivered --> done
//! ```
//! Our own descriptors never enter the sandbox: the command has pipes made for it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pinfold_model::{CommandId, ExitStatus};
use pinfold_runtime::guest::{
    ExitReport, FailureKind, Guest, GuestError, GuestEvent, KillScope, Pipes, StartSpec,
};
use tokio::sync::mpsc;

use super::pump::{self, News, Output};
use super::signals::{
    SIGCONT, SIGKILL, SIGPIPE, SIGSTOP, SIGTSTP, SIGWINCH, Signals, stop_ourselves,
};
use super::terminal::{self, Raw};

/// A terminal's last output comes after the end of its last process, by microseconds as a rule; a
/// background child can hold it open for ever.
const TERMINAL_TAIL: Duration = Duration::from_millis(250);
/// How long a command may go on writing to nobody after it was told by signal; its own pipe, which
/// the guest keeps whole, cannot tell it.
const UNWANTED_MAX: Duration = Duration::from_secs(1);
/// News that may wait; the pumps wait beyond.
const NEWS_MAX: usize = 16;

/// How the command's part of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Reported(ExitReport),
    /// We were asked to end while its last output could not be delivered.
    Abandoned(i32),
}

/// Starts the command and stays with it. `raw` is there if our own terminal is its terminal.
pub(crate) async fn run(
    guest: &Guest,
    start: StartSpec,
    raw: Option<&Raw>,
    signals: &mut Signals,
) -> Result<Ended> {
    let (id, has_terminal) = (start.id.clone(), start.terminal.is_some());
    let started = guest
        .start(start)
        .await
        .context("cannot start the command")?;
    let (sender, news) = mpsc::channel(NEWS_MAX);
    let outputs = connect(started.pipes, sender).context("cannot connect the command's pipes")?;
    let mut session = Session {
        guest,
        id,
        raw,
        has_terminal,
        outputs,
        news,
        unwanted_since: None,
    };
    let report = session.until_ended(signals).await?;
    tokio::select! {
        () = session.deliver_rest() => Ok(Ended::Reported(report)),
        signal = signals.next_ending() => Ok(Ended::Abandoned(signal)),
    }
}

fn connect(pipes: Pipes, news: mpsc::Sender<News>) -> std::io::Result<Vec<Output>> {
    let mut outputs = vec![Output::start(
        pipes.stdout,
        rustix::stdio::stdout(),
        news.clone(),
    )?];
    if let Some(stderr) = pipes.stderr {
        outputs.push(Output::start(
            stderr,
            rustix::stdio::stderr(),
            news.clone(),
        )?);
    }
    if let Some(stdin) = pipes.stdin {
        pump::start_input(stdin, news)?;
    }
    Ok(outputs)
}

struct Session<'a> {
    guest: &'a Guest,
    id: CommandId,
    raw: Option<&'a Raw>,
    has_terminal: bool,
    outputs: Vec<Output>,
    news: mpsc::Receiver<News>,
    unwanted_since: Option<Instant>,
}

impl Session<'_> {
    async fn until_ended(&mut self, signals: &mut Signals) -> Result<ExitReport> {
        let mut events = self.guest.events();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(GuestEvent::Exited { id, report }) if id == self.id => return Ok(report),
                    Some(GuestEvent::Exited { .. }) => {}
                    None => bail!("the sandbox has gone, and with it the command"),
                },
                signal = signals.next() => self.pass_on(signal).await?,
                Some(news) = self.news.recv() => self.heed(news).await?,
            }
        }
    }

    async fn pass_on(&self, signal: i32) -> Result<()> {
        match signal {
            SIGWINCH if self.has_terminal => {
                ended_is_fine(self.guest.resize(&self.id, terminal::size()).await)
            }
            SIGWINCH => Ok(()),
            SIGTSTP => self.stop_together().await,
            other => self.kill(other).await,
        }
    }

    /// The command stops, then we do, so that a shell's job control works on both. A process group
    /// without a shell of its own takes no TSTP, hence STOP.
    async fn stop_together(&self) -> Result<()> {
        if !self.has_terminal {
            self.kill(SIGSTOP).await?;
        }
        if let Some(raw) = self.raw {
            raw.pause();
        }
        stop_ourselves();
        if let Some(raw) = self.raw {
            raw.again().context("cannot set up the terminal again")?;
            ended_is_fine(self.guest.resize(&self.id, terminal::size()).await)?;
        }
        if !self.has_terminal {
            self.kill(SIGCONT).await?;
        }
        Ok(())
    }

    async fn heed(&mut self, news: News) -> Result<()> {
        match news {
            News::InputEnded => ended_is_fine(self.guest.close_stdin(&self.id).await),
            News::Unwanted => match self.unwanted_since {
                None => {
                    self.unwanted_since = Some(Instant::now());
                    self.kill(SIGPIPE).await
                }
                Some(since) if since.elapsed() > UNWANTED_MAX => self.kill(SIGKILL).await,
                Some(_) => Ok(()),
            },
        }
    }

    async fn kill(&self, signal: i32) -> Result<()> {
        ended_is_fine(
            self.guest
                .kill(&self.id, signal, KillScope::Foreground)
                .await,
        )
    }

    /// What the command wrote before it ended; daemons that it left may hold the pipes open.
    async fn deliver_rest(&mut self) {
        for output in &mut self.outputs {
            if self.has_terminal {
                output.closed(TERMINAL_TAIL).await;
            }
            output.finish();
        }
        for output in &mut self.outputs {
            output.finished().await;
        }
    }
}

/// The command may have ended a moment ago, and its end will be told next.
fn ended_is_fine(result: Result<(), GuestError>) -> Result<()> {
    match result {
        Err(error) if error.refusal() == Some(FailureKind::NoSuchCommand) => Ok(()),
        // The loss of the guest is told by its events, with better words.
        Err(GuestError::Lost) => Ok(()),
        other => other.context("the sandbox did not take a signal"),
    }
}

impl Ended {
    pub(crate) fn status(self) -> ExitStatus {
        match self {
            Self::Reported(report) => report.status,
            Self::Abandoned(signal) => ExitStatus::Signal(signal),
        }
    }
}
