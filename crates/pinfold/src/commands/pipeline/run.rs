//! `pinfold pipeline run`: from a document to its last step's end.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures::FutureExt;
use futures::future::BoxFuture;
use pinfold_engine::{EngineConfig, ImageOrTemplate, PIPELINE_DOCUMENT_MAX_BYTES};
use pinfold_model::ExitStatus;
use pinfold_sdk::{
    Client, CreateSandbox, ErrorCode, PipelineEvent, PipelineRun, PipelineStream, SubmitPipeline,
};

use super::follow::{Source, follow};
use super::view::{Shown, View};
use crate::cli::Global;
use crate::client;
use crate::commands::run::{Network, environment};
use crate::commands::sandbox::network;
use crate::commands::serve::{Pull, registry_credentials};
use crate::exit::Ending;
use crate::output::{json_line, line, remark};
use crate::paths::DataDir;
use crate::run::{Installation, PipelineWanted, Signals, pipeline};
use crate::subnet::SubnetArgs;
use crate::values::{self, Variable};

#[derive(Debug, Args)]
#[command(
    after_help = "Runs on the server if one answers, else in this process, as `pinfold run` does. \
                        The exit code is 0, or that of the step that stopped the run. 124: the \
                        time of the run, or of that step, was over. 125: Pinfold failed, or somebody else \
                        cancelled the run. Ctrl-C \
                        cancels the run and waits for its end; a second one leaves at once."
)]
pub(crate) struct RunArgs {
    /// The markdown document, or - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// An image or template [default: the document's, else the server's default image]
    #[arg(long, short, value_name = "NAME")]
    image: Option<String>,

    /// CPUs, such as 2 or 0.5 [default: the document's]
    #[arg(long, value_name = "CPUS", value_parser = values::vcpu_millis)]
    vcpu: Option<u32>,

    /// Memory, such as 512m or 2g [default: the document's]
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    memory: Option<u32>,

    /// What the steps may write to the sandbox's disk, such as 10g
    #[arg(long, value_name = "SIZE", value_parser = values::size_mib)]
    disk: Option<u32>,

    /// What the steps may reach
    #[arg(long, value_name = "MODE", value_enum)]
    network: Option<Network>,

    /// A variable of every step's environment; NAME alone copies the value it has here
    #[arg(long, short, value_name = "NAME[=VALUE]", value_parser = values::variable)]
    env: Vec<Variable>,

    /// Where steps begin [default: /workspace]
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,

    /// Who steps are inside: a name, UID or UID:GID
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,

    /// End the run as failed after this time, such as 90s or 1h30m [default: the document's, else
    /// 24h]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// Say the run's number and leave; needs a server
    #[arg(long, short)]
    detach: bool,

    /// Events as they happen, one JSON object a line; the last one holds the whole run
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    embedded: EmbeddedArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Without a server")]
struct EmbeddedArgs {
    /// What becomes of a wish for an image that is not there
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value = "missing",
        env = "PINFOLD_PULL"
    )]
    pull: Pull,

    /// Credentials by registry, in the format of docker's config.json
    #[arg(long, value_name = "FILE", env = "PINFOLD_REGISTRY_AUTH_FILE")]
    registry_auth: Option<PathBuf>,

    #[command(flatten)]
    subnet: SubnetArgs,
}

pub(super) async fn run(global: &Global, args: RunArgs) -> Result<Ending> {
    let markdown = document(&args.file)?;
    if client::is_served(global).await? {
        return served(&client::connect(global)?, args, markdown).await;
    }
    if args.detach {
        bail!("no server runs that would go on with the run: start one with `pinfold serve`");
    }
    embedded(global, args, markdown).await
}

/// At most what a document may hold, and a byte more, so that the engine can say what is wrong.
fn document(file: &Path) -> Result<String> {
    let most = PIPELINE_DOCUMENT_MAX_BYTES as u64 + 1;
    let shown = file.display();
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        let read = std::io::stdin().take(most).read_to_end(&mut bytes);
        read.context("cannot read stdin")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot open {shown}"))?;
        let read = opened.take(most).read_to_end(&mut bytes);
        read.with_context(|| format!("cannot read {shown}"))?;
    }
    if bytes.len() as u64 == most {
        bail!("{shown} is larger than a document may be, {PIPELINE_DOCUMENT_MAX_BYTES} bytes");
    }
    String::from_utf8(bytes).with_context(|| format!("{shown} is not UTF-8"))
}

fn request(args: &RunArgs, markdown: String) -> SubmitPipeline {
    SubmitPipeline {
        markdown,
        timeout_ms: args.timeout.map(values::milliseconds),
        sandbox: Some(CreateSandbox {
            vcpu: args.vcpu.map(|millis| f64::from(millis) / 1000.0),
            memory_mib: args.memory,
            disk_mib: args.disk,
            network: args.network.map(network),
            env: environment(args.env.clone()),
            workdir: args.workdir.clone(),
            user: args.user.clone(),
            ..CreateSandbox::default()
        }),
    }
}

async fn served(client: &Client, args: RunArgs, markdown: String) -> Result<Ending> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let request = request(&args, markdown);
    let submitting = submit(client, request, args.image.clone());
    tokio::pin!(submitting);
    let mut heard = None;
    let run = loop {
        tokio::select! {
            run = &mut submitting => break run?,
            // The answer is waited for: a run that was accepted has to be cancelled.
            signal = signals.next_ending() => match heard {
                None => heard = Some(signal),
                Some(_) => return Ok(Ending::Command(ExitStatus::Signal(signal))),
            },
        }
    };
    if args.detach && heard.is_none() {
        match args.json {
            true => json_line(&run)?,
            false => line(&run.id.to_string())?,
        }
        return Ok(Ending::Done);
    }
    let shown = shown(args.json);
    if !args.json {
        remark(&format!("run {}", run.id));
    }
    let (source, view) = (Served::new(client, &run), View::new(shown, run.step_count));
    follow(source, view, &mut signals, heard).await
}

const fn shown(json: bool) -> Shown {
    match json {
        true => Shown::Json,
        false => Shown::Text,
    }
}

/// From the template of that name; where there is none, from the image. As in a document.
async fn submit(
    client: &Client,
    mut request: SubmitPipeline,
    name: Option<String>,
) -> Result<PipelineRun> {
    let pipelines = client.pipelines();
    let (Some(name), Some(sandbox)) = (name, &mut request.sandbox) else {
        return Ok(pipelines.submit(&request).await?);
    };
    sandbox.template = Some(name.clone());
    match pipelines.submit(&request).await {
        Err(error) if error.code() == Some(ErrorCode::TemplateNotFound) => {}
        other => return Ok(other?),
    }
    if let Some(sandbox) = &mut request.sandbox {
        sandbox.template = None;
        sandbox.image = Some(name);
    }
    Ok(pipelines.submit(&request).await?)
}

async fn embedded(global: &Global, args: RunArgs, markdown: String) -> Result<Ending> {
    let signals = Signals::listen().context("cannot listen to signals")?;
    let mut request = pinfold_api::pipeline_request(request(&args, markdown))?;
    if let Some(name) = args.image {
        request.sandbox.from = ImageOrTemplate::Named(name);
    }
    let credentials = registry_credentials(args.embedded.registry_auth.as_deref())?;
    let wanted = PipelineWanted {
        request,
        installation: Installation {
            data: DataDir::locate(global.data_dir.as_deref())?,
            database: global.database.clone(),
            pull: EngineConfig {
                pull: args.embedded.pull.into(),
                registry_credentials: credentials,
                ..EngineConfig::default()
            },
        },
        subnet: args.embedded.subnet.chosen(),
    };
    let shown = shown(args.json);
    let view = |run: &pinfold_model::PipelineRun| {
        let steps = u32::try_from(run.steps.len())?;
        Ok(View::new(shown, steps))
    };
    pipeline(wanted, signals, view).await
}

/// A run of a server.
pub(super) struct Served {
    client: Client,
    id: u64,
    stream: PipelineStream,
}

impl Served {
    pub(super) fn new(client: &Client, run: &PipelineRun) -> Self {
        Self {
            client: client.clone(),
            id: run.id,
            stream: client.pipelines().stream(run.id, 0),
        }
    }
}

impl Source for Served {
    async fn next(&mut self) -> Result<Option<PipelineEvent>> {
        Ok(self.stream.next().await?)
    }

    fn cancel(&self) -> BoxFuture<'static, Result<()>> {
        let (client, id) = (self.client.clone(), self.id);
        async move { Ok(client.pipelines().cancel(id).await.map(drop)?) }.boxed()
    }

    fn left(&self) -> Option<String> {
        let id = self.id;
        Some(format!(
            "the run goes on; see `pinfold pipeline logs {id}` and `pinfold pipeline cancel {id}`"
        ))
    }
}
