//! `pinfold run`: one command in a sandbox of its own, without a server.
//!
//! ```text
//! private directory -> the engine's order for the sandbox -> boot -> command -> destroy
//! ```
//! Nothing is recorded and no port is opened. The sandbox ends with this process, however that
//! ends; what a killed one leaves (cgroups, a directory) the next run or server clears.

mod installation;
mod leftovers;
mod pipeline;
mod plan;
mod pump;
mod scratch;
mod session;
mod signals;
mod terminal;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use pinfold_engine::{CreateSandbox, Egress, EngineConfig, Outside};
use pinfold_model::{
    CommandSpec, ExitStatus, Isolation, NetworkMode, Program, SandboxId, StdinMode,
};
use pinfold_runtime::driver::{Driver, GATE_NETWORK, GATE_PREFIX};
use pinfold_runtime::namespace::{Disks, NamespaceDriver, Subnet};

use crate::compose;
use crate::exit::Ending;
use crate::paths::{DataDir, make_private, runtime_dir};

pub(crate) use installation::Installation;
pub(crate) use leftovers::clean as clean_leftovers;
pub(crate) use pipeline::{PipelineWanted, pipeline};
pub(crate) use signals::{SIGCONT, SIGINT, SIGPIPE, SIGTSTP, SIGWINCH, Signals, stop_ourselves};
pub(crate) use terminal::{Hidden, Raw, is_interactive, size as terminal_size};

use plan::Plan;
use scratch::Scratch;
use session::Ended;

/// What to run, and in what.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) sandbox: CreateSandbox,
    /// An image's name or id, or a template's name; `None` is the image `host`.
    pub(crate) image: Option<String>,
    pub(crate) command: CommandSpec,
    /// Where images are kept.
    pub(crate) installation: Installation,
    pub(crate) subnet: Subnet,
    /// Who is asked for the names that a network policy allows.
    pub(crate) name_servers: Vec<SocketAddr>,
}

/// Where this run keeps what it needs.
#[derive(Debug)]
struct Place {
    /// Images, for later runs too.
    images: PathBuf,
    runs: PathBuf,
}

/// Runs the command to its end and leaves nothing behind.
pub(crate) async fn embedded(mut wanted: Wanted) -> Result<Ending> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let place = Place::find(&wanted.installation.data)?;
    let scratch = Scratch::create(&place.runs)
        .with_context(|| format!("cannot use {}", place.runs.display()))?;
    let cleaning = tokio::spawn(leftovers::clean(place.runs.clone()));
    if wanted.command.tty.is_none() && !stdin_is_null() {
        wanted.command.stdin = StdinMode::Open;
    }
    let timeout = wanted.command.timeout;
    let ended = in_scratch(wanted, &place, &scratch, &mut signals).await;
    // Somebody else's remains must not fail this run.
    let _ = cleaning.await;
    if let Err(error) = scratch.remove() {
        tracing::warn!(%error, "this run's directory is left");
    }
    tracing::debug!("cleared");
    ended.map(|ended| ending(ended, timeout))
}

impl Place {
    /// Below the data directory; where that cannot be written, for as long as the login lasts.
    fn find(data: &DataDir) -> Result<Self> {
        let usable = |directory: PathBuf| make_private(&directory).map(|()| directory);
        if let Ok(runs) = usable(data.runs())
            && rustix::fs::access(&runs, rustix::fs::Access::WRITE_OK).is_ok()
        {
            return Ok(Self {
                images: data.layers(),
                runs,
            });
        }
        let instead = runtime_dir();
        let runs = usable(instead.join("runs")).with_context(|| {
            format!(
                "cannot make {}, nor use the data directory",
                instead.display()
            )
        })?;
        Ok(Self {
            images: instead.join("images"),
            runs,
        })
    }
}

async fn in_scratch(
    wanted: Wanted,
    place: &Place,
    scratch: &Scratch,
    signals: &mut Signals,
) -> Result<Ended> {
    let instance = scratch.instance();
    let (directory, subnet) = (scratch.sandboxes(), wanted.subnet);
    // Both take milliseconds: the spawner starts while the engine decides.
    let opening = tokio::task::spawn_blocking(move || {
        compose::namespace_driver(directory, instance, Disks::Memory, subnet)
    });
    // An image that has to be pulled first takes minutes.
    let plan = tokio::select! {
        plan = plan::make(wanted, &place.images, scratch) => plan,
        signal = signals.next_ending() => {
            // What it makes in the directory has to be there, and closed, before that is removed.
            drop(opening.await);
            return Ok(Ended::Abandoned(signal));
        }
    };
    tracing::debug!("planned");
    let driver = opening.await.context("the sandbox driver panicked")??;
    tracing::debug!("driver open");
    let plan = plan?;
    let id = plan.boot.id.clone();
    let ended = boot_and_run(&driver, plan, signals).await;
    destroy(&driver, &id).await;
    ended
}

async fn boot_and_run(
    driver: &NamespaceDriver,
    plan: Plan,
    signals: &mut Signals,
) -> Result<Ended> {
    let guest = tokio::select! {
        guest = driver.boot(&plan.boot) => guest.context("the sandbox did not boot")?,
        signal = signals.next_ending() => return Ok(Ended::Abandoned(signal)),
    };
    tracing::debug!("booted");
    // Held until the command has ended.
    let _egress = egress(driver, &plan).await?;
    let raw = match plan.start.terminal {
        Some(_) if rustix::termios::isatty(rustix::stdio::stdin()) => {
            Some(Raw::enter().context("cannot set up the terminal")?)
        }
        _ => None,
    };
    let ended = session::run(&guest, plan.start, raw.as_ref(), signals).await;
    drop(raw);
    tracing::debug!("ended");
    explain(driver, &plan.boot.id, &ended).await;
    ended
}

/// The way out of a sandbox with a network policy.
async fn egress(driver: &NamespaceDriver, plan: &Plan) -> Result<Option<Egress>> {
    if plan.boot.network != NetworkMode::Policy {
        return Ok(None);
    }
    let linked = driver.set_network(&plan.boot.id, plan.boot.network).await;
    let gate = linked.context("the sandbox has no network")?;
    let gate = gate.context("the sandbox has no gate")?;
    let network = (GATE_NETWORK, GATE_PREFIX);
    let egress = Egress::new(
        Outside::new(&plan.name_servers)?,
        network,
        plan.policy.clone(),
    );
    egress.serve(gate.tcp, gate.udp)?;
    Ok(Some(egress))
}

/// What this machine and user can do.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) isolation: Isolation,
    /// Why no sandbox could be made; `None` when one was, ran a command and was removed.
    pub(crate) fault: Option<anyhow::Error>,
}

/// Tries a sandbox of the image `host`.
pub(crate) async fn check(data: DataDir) -> Result<Checked> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let place = Place::find(&data)?;
    let scratch = Scratch::create(&place.runs)
        .with_context(|| format!("cannot use {}", place.runs.display()))?;
    let wanted = Wanted {
        sandbox: CreateSandbox::default(),
        image: None,
        command: CommandSpec::new(Program::Argv(vec!["true".to_owned()])),
        installation: Installation {
            data,
            database: None,
            pull: EngineConfig::default(),
        },
        subnet: Subnet::default(),
        name_servers: Vec::new(),
    };
    let (directory, instance) = (scratch.sandboxes(), scratch.instance());
    let driver = compose::namespace_driver(directory, instance, Disks::Memory, wanted.subnet)?;
    let tried = match plan::make(wanted, &place.images, &scratch).await {
        Ok(plan) => {
            let id = plan.boot.id.clone();
            let ended = boot_and_run(&driver, plan, &mut signals).await;
            destroy(&driver, &id).await;
            ended
        }
        Err(error) => Err(error),
    };
    let isolation = driver.isolation();
    drop(driver);
    scratch
        .remove()
        .context("cannot remove what the check has made")?;
    let fault = match tried.map(Ended::status) {
        Ok(status) if status.success() => None,
        Ok(status) => Some(anyhow!("`true` ended with {status:?}")),
        Err(error) => Some(error),
    };
    Ok(Checked { isolation, fault })
}

/// Names the one cause of death that the status alone does not show.
async fn explain(driver: &NamespaceDriver, id: &SandboxId, ended: &Result<Ended>) {
    let by_force = match ended {
        Ok(ended) => ended.status() == ExitStatus::Signal(signals::SIGKILL),
        Err(_) => true,
    };
    if by_force
        && driver
            .gauge(id)
            .await
            .is_ok_and(|gauge| gauge.oom_kills > 0)
    {
        eprintln!("pinfold: the sandbox ran out of memory; give it more with --memory");
    }
}

/// Returns when nothing of the sandbox is left. What cannot be removed is left to a later run.
async fn destroy(driver: &NamespaceDriver, id: &SandboxId) {
    if let Err(error) = driver.destroy(id).await {
        tracing::warn!(sandbox = %id, error = &error as &dyn std::error::Error, "not destroyed");
    }
    driver.settle().await;
    tracing::debug!("destroyed");
}

fn ending(ended: Ended, timeout: Option<Duration>) -> Ending {
    match ended {
        Ended::Reported(report) if report.timed_out => {
            let timeout = timeout.unwrap_or_default();
            eprintln!("pinfold: the command did not end within {timeout:?} and was killed");
            Ending::TimedOut
        }
        other => Ending::Command(other.status()),
    }
}

/// Whether our stdin is `/dev/null`, which nobody has to pass on.
pub(crate) fn stdin_is_null() -> bool {
    rustix::fs::fstat(rustix::stdio::stdin()).is_ok_and(|stat| {
        let (major, minor) = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device()
            && (major, minor) == (1, 3)
    })
}
