//! `pinfold serve`: options of the server.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use pinfold_api::MetricsAccess;
use pinfold_engine::{CredentialFile, Drain, MasterKey, PullPolicy, SecretsKey};
use pinfold_http::{Addresses, BaseUrl, PreviewDomain, Rate};

use crate::cli::Global;
use crate::exit::Ending;
use crate::paths::DataDir;
use crate::serve::{Settings, serve};
use crate::ssh::SshArgs;
use crate::subnet::SubnetArgs;
use crate::telemetry::{self, LogFormat};

const BOOTSTRAP_VARIABLE: &str = "PINFOLD_BOOTSTRAP_KEY";
const SECRETS_VARIABLE: &str = "PINFOLD_SECRETS_KEY";

#[derive(Debug, Args)]
#[command(
    after_help = "The first start takes the admin key from PINFOLD_BOOTSTRAP_KEY (24 characters \
                        or more), or makes one and writes it to admin.key in the data directory. \
                        Secrets are sealed under PINFOLD_SECRETS_KEY (64 hex digits), or under a \
                        key that is made once and kept in secrets.key beside it. \
                        PINFOLD_LOG chooses what is logged: info, debug, pinfold_engine=trace."
)]
pub(crate) struct ServeArgs {
    /// Where to listen
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "PINFOLD_LISTEN",
        default_value = "127.0.0.1:7070"
    )]
    listen: String,

    /// End all sandboxes with the server
    #[arg(long)]
    ephemeral: bool,

    /// What sandboxes boot from when nothing is named [default: host]
    #[arg(long, value_name = "NAME", env = "PINFOLD_DEFAULT_IMAGE")]
    default_image: Option<String>,

    /// What becomes of a wish for an image that is not there
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value = "missing",
        env = "PINFOLD_PULL"
    )]
    pull: Pull,

    /// Credentials by registry, in the format of docker's config.json; every project may pull with
    /// them, also from a registry on this server's network
    #[arg(long, value_name = "FILE", env = "PINFOLD_REGISTRY_AUTH_FILE")]
    registry_auth: Option<PathBuf>,

    /// A registry on another machine that speaks plain HTTP, which every project may then pull from;
    /// may be given several times
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        env = "PINFOLD_INSECURE_REGISTRIES",
        value_delimiter = ','
    )]
    insecure_registry: Vec<String>,

    /// Where the content of objects is kept: s3://BUCKET[/PREFIX], with keys, region and endpoint in
    /// the usual AWS_* variables [default: the data directory]
    #[arg(long, value_name = "URL", env = "PINFOLD_OBJECTS")]
    objects: Option<String>,

    /// Who may read /metrics
    #[arg(
        long,
        value_name = "WHO",
        value_enum,
        default_value = "admin",
        env = "PINFOLD_METRICS"
    )]
    metrics: Metrics,

    /// Requests of each key, such as 50/s or 600/m,20 (20 at once) [default: no limit]
    ///
    /// Wrong keys are limited in the same way by the address they come from.
    #[arg(long, value_name = "RATE", env = "PINFOLD_RATE_LIMIT")]
    rate_limit: Option<Rate>,

    #[command(flatten)]
    subnet: SubnetArgs,

    /// Where callers reach the server, with http or https in front [default: what their requests
    /// say]
    #[arg(long, value_name = "URL", env = "PINFOLD_PUBLIC_URL")]
    public_url: Option<BaseUrl>,

    /// Serve previews at SLUG.DOMAIN too, such as preview.example.org or localhost
    #[arg(long, value_name = "DOMAIN", env = "PINFOLD_PREVIEW_DOMAIN")]
    preview_domain: Option<PreviewDomain>,

    /// Sandboxes that stand booted for whoever creates one like those created lately, at most 1,000 [default: 0]
    ///
    /// A create that finds one takes a fraction of the time; each costs the memory of an idle
    /// sandbox, and the CPU of a boot while no create is under way.
    #[arg(long, value_name = "COUNT", env = "PINFOLD_WARM_SANDBOXES", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u16).range(..=1000))]
    warm_sandboxes: u16,

    /// Active previews that one sandbox may have [default: 100]
    #[arg(long, value_name = "COUNT", env = "PINFOLD_PREVIEWS_PER_SANDBOX")]
    previews_per_sandbox: Option<u32>,

    #[command(flatten)]
    ssh: SshArgs,

    /// How to log to stderr
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "human",
        env = "PINFOLD_LOG_FORMAT"
    )]
    log_format: LogFormat,
}

/// Whether missing images are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// It is pulled from the registry that its name means
    Missing,
    /// It is refused; only admins pull, by asking for it
    Never,
}

impl From<Pull> for PullPolicy {
    fn from(pull: Pull) -> Self {
        match pull {
            Pull::Missing => Self::Missing,
            Pull::Never => Self::Never,
        }
    }
}

/// The credentials in a file that was named, else none.
pub(crate) fn registry_credentials(file: Option<&Path>) -> Result<CredentialFile> {
    let Some(path) = file else {
        return Ok(CredentialFile::default());
    };
    CredentialFile::read(path)
        .with_context(|| format!("cannot use the credentials in {}", path.display()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Metrics {
    /// Holders of an admin key
    Admin,
    /// Everybody who reaches the listener
    Open,
}

/// As many descriptors as this process may have: each connection takes some. Commands in sandboxes
/// have a limit of their own.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the number of descriptors stays as it is");
    }
}

pub(crate) fn run(global: &Global, args: ServeArgs) -> Result<Ending> {
    telemetry::log(args.log_format)?;
    let data = DataDir::locate(global.data_dir.as_deref())?;
    let settings = Settings {
        secrets_key: secrets_key(&data)?,
        data,
        listen: args.listen,
        database: global.database.clone(),
        drain: if args.ephemeral {
            Drain::DestroySandboxes
        } else {
            Drain::KeepSandboxes
        },
        objects: args.objects,
        metrics: match args.metrics {
            Metrics::Admin => MetricsAccess::AdminKey,
            Metrics::Open => MetricsAccess::Open,
        },
        default_image: args.default_image,
        pull: args.pull.into(),
        registry_credentials: registry_credentials(args.registry_auth.as_deref())?,
        insecure_registries: args.insecure_registry,
        bootstrap_key: bootstrap_key()?,
        rate_limit: args.rate_limit,
        subnet: args.subnet.chosen(),
        name_servers: args.subnet.name_servers(),
        addresses: Addresses {
            public_url: args.public_url,
            preview_domain: args.preview_domain,
        },
        warm_sandboxes: args.warm_sandboxes.into(),
        previews_per_sandbox: args.previews_per_sandbox,
        ssh: args.ssh.chosen()?,
    };
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_background();
    result
}

fn bootstrap_key() -> Result<Option<String>> {
    variable(BOOTSTRAP_VARIABLE)
}

/// The operator's own key of secrets, else the one that is kept with the data.
fn secrets_key(data: &DataDir) -> Result<SecretsKey> {
    match variable(SECRETS_VARIABLE)? {
        Some(text) => {
            let key = text.parse::<MasterKey>();
            let key = key.with_context(|| format!("{SECRETS_VARIABLE} cannot be used"))?;
            Ok(SecretsKey::Given(key))
        }
        None => Ok(SecretsKey::File(data.secrets_key())),
    }
}

/// Not an option of the command line: everybody on a machine can read those.
fn variable(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}
