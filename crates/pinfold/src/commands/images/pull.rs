//! `pinfold images pull`: through the server, or straight into the data directory where none runs.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use pinfold_engine::{CredentialFile, Credentials, Drain, EngineConfig, Share};
use pinfold_images::Reference;
use pinfold_model::Ctx;
use pinfold_sdk::{Image, PullImage, PullState};

use super::facts;
use crate::cli::Global;
use crate::output::{Format, line};
use crate::paths::DataDir;
use crate::pulling::{self, Bars, Layer, State};
use crate::{client, compose};

const PASSWORD_VARIABLE: &str = "PINFOLD_REGISTRY_PASSWORD";
const TOKEN_VARIABLE: &str = "PINFOLD_REGISTRY_TOKEN";
const SECRET_MAX_BYTES: u64 = 64 << 10;

#[derive(Debug, Args)]
#[command(
    after_help = "Credentials: --username with --password-stdin or PINFOLD_REGISTRY_PASSWORD, else \
                        PINFOLD_REGISTRY_TOKEN, else the registry's entry of --auth-file. They are \
                        used for this pull and kept nowhere."
)]
pub(crate) struct PullArgs {
    /// What to pull: python:3.12, USER/NAME, HOST:PORT/NAME@sha256:DIGEST
    #[arg(value_name = "REFERENCE")]
    reference: String,

    /// What to call it here [default: as the reference says]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// linux/ARCHITECTURE or linux/ARCHITECTURE/VARIANT [default: the server's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,

    /// Who you are to the registry
    #[arg(long, value_name = "USER", env = "PINFOLD_REGISTRY_USERNAME")]
    username: Option<String>,

    /// Read the password from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// Credentials by registry, in the format of docker's config.json
    #[arg(long, value_name = "FILE", env = "PINFOLD_REGISTRY_AUTH_FILE")]
    auth_file: Option<PathBuf>,

    /// Speak plain HTTP to a registry on another machine; needs an admin key
    #[arg(long)]
    insecure: bool,

    /// For every project, not this one alone; needs an admin key
    #[arg(long)]
    shared: bool,

    #[command(flatten)]
    format: Format,
}

pub(super) async fn run(global: &Global, args: PullArgs) -> Result<()> {
    let credentials = credentials(&args)?;
    let image = match client::is_served(global).await? {
        true => {
            let bars = Bars::new(&args.reference);
            let client = client::connect(global)?;
            let pulled = client
                .images()
                .pull_watched(&request(&args, credentials), |pull| bars.show(&state(pull)))
                .await;
            bars.clear();
            pulled?
        }
        false => directly(global, &args, credentials).await?,
    };
    match args.format.json {
        true => args.format.one(&image, &facts(&image)),
        false => line(&image.id),
    }
}

fn request(args: &PullArgs, credentials: Credentials) -> PullImage {
    let mut request = PullImage {
        reference: args.reference.clone(),
        name: args.name.clone(),
        platform: args.platform.clone(),
        insecure: args.insecure,
        shared: args.shared,
        ..PullImage::default()
    };
    match credentials {
        Credentials::Anonymous => {}
        Credentials::Basic { username, password } => {
            request.username = Some(username);
            request.password = Some(password);
        }
        Credentials::Bearer(token) => request.token = Some(token),
    }
    request
}

async fn directly(global: &Global, args: &PullArgs, credentials: Credentials) -> Result<Image> {
    let data = DataDir::locate(global.data_dir.as_deref())?;
    let config = EngineConfig::default();
    let engine = compose::offline_engine(&data, global.database.as_deref(), config).await?;
    let ctx = Ctx::new(engine.system_principal());
    let pull = pinfold_engine::PullImage {
        name: args.name.as_deref().map(str::parse).transpose()?,
        platform: args.platform.clone(),
        credentials: (credentials != Credentials::Anonymous).then_some(credentials),
        insecure: args.insecure,
        share: match args.shared {
            true => Share::Everyone,
            false => Share::Project,
        },
        ..pinfold_engine::PullImage::new(&args.reference)
    };
    let image = pulling::watched(&engine, &ctx, pull).await;
    engine.shutdown(Drain::KeepSandboxes).await;
    Ok(pinfold_api::image_to_wire(image?))
}

fn credentials(args: &PullArgs) -> Result<Credentials> {
    if let Some(username) = &args.username {
        let password = match args.password_stdin {
            true => from_stdin()?,
            false => secret(PASSWORD_VARIABLE)?.with_context(|| {
                format!("--username needs --password-stdin, or the password in {PASSWORD_VARIABLE}")
            })?,
        };
        return Ok(Credentials::Basic {
            username: username.clone(),
            password,
        });
    }
    if let Some(token) = secret(TOKEN_VARIABLE)? {
        return Ok(Credentials::Bearer(token));
    }
    let Some(path) = &args.auth_file else {
        return Ok(Credentials::Anonymous);
    };
    let file = CredentialFile::read(path)
        .with_context(|| format!("cannot use the credentials in {}", path.display()))?;
    let reference: Reference = args.reference.parse()?;
    Ok(file.for_registry_of(&reference)?)
}

fn secret(variable: &str) -> Result<Option<String>> {
    match std::env::var(variable) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("{variable} is not UTF-8"),
    }
}

fn from_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(SECRET_MAX_BYTES)
        .read_to_string(&mut text)
        .context("cannot read the password from stdin")?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => bail!("there is no password on stdin"),
        password => Ok(password.to_owned()),
    }
}

fn state(pull: &pinfold_sdk::ImagePull) -> State {
    let layers = pull.layers.iter().map(|layer| Layer {
        digest: layer.digest.clone(),
        done: layer.downloaded_bytes,
        total: layer.total_bytes,
    });
    State {
        layers: layers.collect(),
        unpacked: (pull.state == PullState::Unpacking).then_some(pull.unpacked_bytes),
    }
}
