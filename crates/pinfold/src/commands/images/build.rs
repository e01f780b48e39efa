//! `pinfold images build`: a directory and its Dockerfile become an image.

mod context;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use pinfold_images::DOCKERFILE_MAX_BYTES;
use pinfold_sdk::{
    Build, BuildEvent, BuildState, BuildStream, Client, CreateBuild, PipelineStepState, Upload,
    UploadObjectQuery,
};

use crate::cli::Global;
use crate::client;
use crate::commands::run::{Network, environment};
use crate::commands::sandbox::network;
use crate::exit::Ending;
use crate::output::{byte_bar, json_line, line, printable, remark};
use crate::run::Signals;
use crate::values::{self, Variable};

/// Should nobody delete an uploaded context.
const CONTEXT_RETENTION: Duration = Duration::from_secs(48 * 3600);

#[derive(Debug, Args)]
#[command(
    after_help = "The directory is sent without what its .dockerignore names. What an earlier build of the \
                  project did with the same input is taken over. The log goes to stderr, the image's \
                  id to stdout. Ctrl-C cancels the build."
)]
pub(crate) struct BuildArgs {
    /// A directory that COPY and ADD take from, or - for none, with the Dockerfile on stdin
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// What to call the image: NAME or NAME:TAG
    #[arg(long, short = 't', value_name = "NAME")]
    name: String,

    /// The Dockerfile [default: DIR/Dockerfile]
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,

    /// The stage to build [default: the last]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// A value of an ARG; NAME alone copies the value it has here
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]", value_parser = values::variable)]
    args: Vec<Variable>,

    /// A variable of every command that is kept nowhere; NAME alone copies the value it has here
    #[arg(long = "secret", value_name = "NAME[=VALUE]", value_parser = values::variable)]
    secrets: Vec<Variable>,

    /// A shell line to run after the Dockerfile
    #[arg(long, value_name = "LINE")]
    setup: Vec<String>,

    /// Do every step again
    #[arg(long)]
    no_cache: bool,

    /// CPUs of each step, such as 2 or 0.5
    #[arg(long, value_name = "CPUS", value_parser = values::vcpu_millis)]
    vcpu: Option<u32>,

    /// Memory of each step, such as 512m or 2g
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    memory: Option<u32>,

    /// What each step may write, such as 10g
    #[arg(long, value_name = "SIZE", value_parser = values::size_mib)]
    disk: Option<u32>,

    /// What the steps may reach [default: open]
    #[arg(long, value_name = "MODE", value_enum)]
    network: Option<Network>,

    /// End the build as failed after this time, such as 90s or 1h30m [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// Say the build's id and leave
    #[arg(long, short)]
    detach: bool,

    /// Events as they happen, one JSON object a line; the last one holds the whole build
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: BuildArgs) -> Result<Ending> {
    let client = client::connect(global)?;
    let dockerfile = dockerfile(&args)?;
    let context_id = match args.directory.as_os_str() == "-" {
        true => None,
        false => Some(send(&client, &args.directory).await?),
    };
    let created = client
        .builds()
        .create(&request(&args, dockerfile, context_id.clone()))
        .await;
    let build = match created {
        Ok(build) => build,
        Err(error) => {
            forget(&client, context_id.as_deref()).await;
            return Err(error.into());
        }
    };
    if args.detach {
        match args.json {
            true => json_line(&build)?,
            false => line(&build.id)?,
        }
        return Ok(Ending::Done);
    }
    let ended = follow(&client, &build, args.json).await;
    forget(&client, context_id.as_deref()).await;
    conclude(ended?, args.json)
}

fn conclude(build: Build, json: bool) -> Result<Ending> {
    match (build.state, build.image_id, build.failure) {
        (BuildState::Complete, Some(image), _) => {
            if !json {
                line(&image)?;
            }
            Ok(Ending::Done)
        }
        (_, _, Some(failure)) => bail!("the build failed ({}): {}", failure.code, failure.message),
        _ => bail!("the build ended without an image"),
    }
}

fn dockerfile(args: &BuildArgs) -> Result<String> {
    let stdin = args.directory.as_os_str() == "-" && args.file.is_none();
    let path = args
        .file
        .clone()
        .unwrap_or_else(|| args.directory.join("Dockerfile"));
    let most = DOCKERFILE_MAX_BYTES as u64 + 1;
    let mut text = String::new();
    match stdin || path.as_os_str() == "-" {
        true => std::io::stdin()
            .take(most)
            .read_to_string(&mut text)
            .context("cannot read stdin")?,
        false => {
            let file = std::fs::File::open(&path);
            let file = file.with_context(|| format!("cannot open {}", path.display()))?;
            let read = file.take(most).read_to_string(&mut text);
            read.with_context(|| format!("cannot read {}", path.display()))?
        }
    };
    if text.len() as u64 == most {
        bail!("the Dockerfile is larger than {DOCKERFILE_MAX_BYTES} bytes");
    }
    Ok(text)
}

/// Uploads the directory as an object; its id.
async fn send(client: &Client, directory: &Path) -> Result<String> {
    let packed = context::pack(directory.to_owned()).await?;
    let total = packed.as_file().metadata().ok().map(|meta| meta.len());
    let bar = byte_bar("context", total);
    let counted = bar.clone();
    let query = UploadObjectQuery {
        name: "build context".to_owned(),
        content_type: Some("application/x-tar".to_owned()),
        retention_ms: Some(values::milliseconds(CONTEXT_RETENTION)),
        metadata: BTreeMap::new(),
    };
    let body = Upload::file(packed.path()).await?;
    let body = body.on_progress(move |sent| counted.set_position(sent));
    let put = client.objects().put(&query, body).await;
    bar.finish_and_clear();
    Ok(put?.id)
}

async fn forget(client: &Client, context: Option<&str>) {
    if let Some(id) = context
        && let Err(error) = client.objects().delete(id).await
    {
        remark(&format!("the uploaded context {id} is left: {error}"));
    }
}

fn request(args: &BuildArgs, dockerfile: String, context_id: Option<String>) -> CreateBuild {
    CreateBuild {
        name: args.name.clone(),
        dockerfile,
        context_id,
        target: args.target.clone(),
        args: environment(args.args.clone()),
        secrets: environment(args.secrets.clone()),
        setup: args.setup.clone(),
        no_cache: args.no_cache,
        vcpu: args.vcpu.map(|millis| f64::from(millis) / 1000.0),
        memory_mib: args.memory,
        disk_mib: args.disk,
        network: args.network.map(network),
        timeout_ms: args.timeout.map(values::milliseconds),
        ..CreateBuild::default()
    }
}

/// Shows the build up to its end; the first signal cancels it, a second one ends this.
async fn follow(client: &Client, build: &Build, json: bool) -> Result<Build> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let mut events = client.builds().stream(&build.id, 0);
    let mut cancelled = false;
    for warning in build.warnings.iter().filter(|_| !json) {
        remark(&format!("warning: {warning}"));
    }
    loop {
        tokio::select! {
            ended = next(&mut events, build.step_count, json) => {
                if let Some(build) = ended? {
                    return Ok(build);
                }
            }
            _ = signals.next_ending() => {
                if cancelled {
                    bail!("left the build {} behind while it is being cancelled", build.id);
                }
                cancelled = true;
                client.builds().cancel(&build.id).await?;
            }
        }
    }
}

/// Shows the next event; the build where that was the last one.
async fn next(events: &mut BuildStream, count: u32, json: bool) -> Result<Option<Build>> {
    let Some(event) = events.next().await? else {
        bail!("the events of the build ended without its end");
    };
    if json {
        json_line(&event)?;
    }
    match event {
        BuildEvent::Ended { build, .. } => return Ok(Some(*build)),
        _ if json => {}
        BuildEvent::StepStarted { step, text, .. } => {
            remark(&format!("[{}/{count}] {}", step + 1, printable(&text)));
        }
        BuildEvent::Output { encoding, data, .. } => {
            show(&encoding.decode(data).unwrap_or_default())?;
        }
        BuildEvent::Truncated { .. } => remark("what follows was not kept"),
        BuildEvent::StepEnded { step, result, .. } => {
            let number = step + 1;
            match result.state {
                _ if result.cached => remark(&format!("[{number}/{count}] taken from the cache")),
                PipelineStepState::Failed => remark(&format!("[{number}/{count}] failed")),
                _ => {}
            }
        }
    }
    Ok(None)
}

/// Logs are for people: both streams go to stderr, stdout has the image.
fn show(bytes: &[u8]) -> Result<()> {
    std::io::stderr()
        .write_all(bytes)
        .context("cannot write to stderr")
}
