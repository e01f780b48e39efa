//! `pinfold audit`: who did what.

use anyhow::Result;
use clap::Args;
use pinfold_sdk::{AuditEvent, Client, ListAudit, bound};

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{Format, time};

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only this action, such as sandbox.create
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// Only what was done to the thing with this id
    #[arg(long, value_name = "ID")]
    subject: Option<String>,

    /// Only from this time on, as in 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// This many at most, newest first
    #[arg(long, value_name = "COUNT", default_value = "50")]
    limit: usize,

    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(global: &Global, args: AuditArgs) -> Result<Ending> {
    let query = ListAudit {
        action: args.action,
        subject: args.subject,
        since: args.since,
        ..ListAudit::default()
    };
    let events = newest(&client::connect(global)?, query, args.limit).await?;
    let columns = ["TIME", "ACTION", "OUTCOME", "SUBJECT", "KEY"];
    args.format.list(&events, columns, |event| {
        [
            time(&event.at),
            event.action.clone(),
            event.outcome.to_string(),
            event.subject.clone(),
            event.key_id.clone().unwrap_or_else(|| "system".to_owned()),
        ]
    })?;
    Ok(Ending::Done)
}

async fn newest(client: &Client, mut query: ListAudit, limit: usize) -> Result<Vec<AuditEvent>> {
    let mut events = Vec::new();
    while events.len() < limit {
        let left = u32::try_from(limit - events.len()).unwrap_or(u32::MAX);
        query.limit = Some(left.min(bound::PAGE_MAX));
        let page = client.audit().list(&query).await?;
        events.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    Ok(events)
}
