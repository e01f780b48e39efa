//! Sandboxes as tools.

use std::time::Duration;

use pinfold_sdk::{Client, CreateSandbox, ListSandboxes, NetworkMode, Sandbox};
use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure, Told};
use crate::arguments as args;

/// What a model forgets ends by itself.
const TTL_DEFAULT_MINUTES: u64 = 60;
const LISTED_MAX: u32 = 100;

/// A sandbox as it is now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SandboxFacts {
    sandbox_id: String,
    name: Option<String>,
    /// creating, running, suspended, stopped, failed or destroyed
    state: String,
    /// Why it failed.
    failure: Option<String>,
    image: String,
    template: Option<String>,
    vcpu: f64,
    memory_mib: u32,
    disk_mib: u32,
    /// Whether it may reach the internet.
    internet: bool,
    /// Where commands begin and relative paths lead.
    workdir: String,
    created_at: String,
    /// When it is destroyed by itself.
    expires_at: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SandboxList {
    /// Newest first.
    sandboxes: Vec<SandboxFacts>,
    /// Where there are more: the cursor of the next page.
    next_cursor: Option<String>,
}

/// Makes one and waits until it runs. Nobody would learn of a sandbox whose call was cancelled, so
/// that one is destroyed again.
pub(crate) async fn create(
    client: &Client,
    wanted: args::CreateSandbox,
    cancelled: &CancellationToken,
) -> Answer {
    let minutes = wanted.ttl_minutes.unwrap_or(TTL_DEFAULT_MINUTES);
    let request = CreateSandbox {
        image: wanted.image,
        template: wanted.template,
        fork_of: wanted.fork_of,
        name: wanted.name,
        memory_mib: wanted.memory_mib,
        vcpu: wanted.vcpu,
        disk_mib: wanted.disk_mib,
        network: wanted.internet.map(|internet| match internet {
            true => NetworkMode::Open,
            false => NetworkMode::None,
        }),
        env: wanted.env,
        ttl_ms: Some(minutes.saturating_mul(60_000)),
        ..CreateSandbox::default()
    };
    let sandbox = client.sandboxes().create(&request).await?;
    if cancelled.is_cancelled() {
        client.sandboxes().destroy(&sandbox.id).await?;
        let text = format!("cancelled; {} was destroyed again", sandbox.id);
        return Err(Failure::new("cancelled", text));
    }
    let text = format!(
        "{} runs image {} with working directory {}. It is destroyed by itself in {minutes} minutes \
         unless extend_sandbox moves that.",
        sandbox.id, sandbox.image, sandbox.workdir
    );
    Ok(Told::new(text, &SandboxFacts::from(sandbox)))
}

pub(crate) async fn list(client: &Client, wanted: args::List) -> Answer {
    let query = ListSandboxes {
        limit: Some(LISTED_MAX),
        cursor: wanted.cursor,
        ..ListSandboxes::default()
    };
    let page = client.sandboxes().list(&query).await?;
    let mut lines: Vec<String> = page.items.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("there is no sandbox; make one with create_sandbox".to_owned());
    }
    if let Some(cursor) = &page.next_cursor {
        lines.push(format!("[there are more: cursor {cursor:?}]"));
    }
    let facts = SandboxList {
        sandboxes: page.items.into_iter().map(SandboxFacts::from).collect(),
        next_cursor: page.next_cursor,
    };
    Ok(Told::new(lines.join("\n"), &facts))
}

pub(crate) async fn get(client: &Client, wanted: args::Sandbox) -> Answer {
    let sandbox = client.sandboxes().get(&wanted.sandbox_id).await?;
    Ok(Told::new(line(&sandbox), &SandboxFacts::from(sandbox)))
}

pub(crate) async fn extend(client: &Client, wanted: args::Extend) -> Answer {
    let ttl = Duration::from_secs(wanted.ttl_minutes.saturating_mul(60));
    let sandbox = client.sandboxes().extend(&wanted.sandbox_id, ttl).await?;
    Ok(Told::new(line(&sandbox), &SandboxFacts::from(sandbox)))
}

pub(crate) async fn destroy(client: &Client, wanted: args::Sandbox) -> Answer {
    let sandbox = client.sandboxes().destroy(&wanted.sandbox_id).await?;
    let text = format!("{} is {}", sandbox.id, sandbox.state);
    Ok(Told::new(text, &SandboxFacts::from(sandbox)))
}

fn line(sandbox: &Sandbox) -> String {
    let name = sandbox.name.as_deref().unwrap_or("-");
    let until = match &sandbox.expires_at {
        Some(time) => format!("until {time}"),
        None => "until it is destroyed".to_owned(),
    };
    let mut line = format!(
        "{}  {}  {name}  {}  {until}",
        sandbox.id, sandbox.state, sandbox.image
    );
    if let Some(failure) = &sandbox.failure {
        line.push_str(&format!("  ({failure})"));
    }
    line
}

impl From<Sandbox> for SandboxFacts {
    fn from(sandbox: Sandbox) -> Self {
        Self {
            internet: sandbox.network != NetworkMode::None,
            sandbox_id: sandbox.id,
            name: sandbox.name,
            state: sandbox.state.to_string(),
            failure: sandbox.failure,
            image: sandbox.image,
            template: sandbox.template,
            vcpu: sandbox.vcpu,
            memory_mib: sandbox.memory_mib,
            disk_mib: sandbox.disk_mib,
            workdir: sandbox.workdir,
            created_at: sandbox.created_at,
            expires_at: sandbox.expires_at,
        }
    }
}
