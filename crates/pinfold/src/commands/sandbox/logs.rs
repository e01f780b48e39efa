//! `pinfold sandbox logs`: what a command wrote.

use std::io::{self, Write};

use anyhow::{Result, bail};
use clap::Args;
use pinfold_sdk::{Client, ListCommands, LogsQuery, Record, StreamName, StreamOptions};

use crate::client::sandbox;
use crate::exit::Ending;
use crate::output::{json_line, remark, time};

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Name or id of the sandbox
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// Which command [default: the newest]
    #[arg(value_name = "COMMAND_ID")]
    command: Option<String>,

    /// Stay until the command ends
    #[arg(long, short)]
    follow: bool,

    /// Say when each piece was written
    #[arg(long, short)]
    timestamps: bool,

    /// The records themselves, one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(client: &Client, args: LogsArgs) -> Result<Ending> {
    let command = match &args.command {
        Some(id) => id.clone(),
        None => newest(client, &args.sandbox).await?,
    };
    if args.follow {
        follow(client, &command, &args).await?;
    } else {
        page(client, &command, &args).await?;
    }
    Ok(Ending::Done)
}

async fn newest(client: &Client, name: &str) -> Result<String> {
    let sandbox = sandbox(client, name).await?;
    let query = ListCommands {
        limit: Some(1),
        ..ListCommands::default()
    };
    let page = client.commands().list(&sandbox.id, &query).await?;
    match page.items.into_iter().next() {
        Some(command) => Ok(command.id),
        None => bail!("no command has run in {name} yet"),
    }
}

async fn follow(client: &Client, command: &str, args: &LogsArgs) -> Result<()> {
    let mut stream = client.commands().stream(command, StreamOptions::default());
    while let Some(record) = stream.next().await? {
        show(record, args)?;
    }
    Ok(())
}

async fn page(client: &Client, command: &str, args: &LogsArgs) -> Result<()> {
    let mut query = LogsQuery::default();
    loop {
        let page = client.commands().logs(command, &query).await?;
        for record in page.records {
            show(record, args)?;
        }
        if page.at_end {
            return Ok(());
        }
        query.after_seq = Some(page.next_after_seq);
    }
}

fn show(record: Record, args: &LogsArgs) -> Result<()> {
    if args.json {
        return json_line(&record);
    }
    match record {
        Record::Output {
            time: at,
            stream,
            encoding,
            data,
            ..
        } => {
            let bytes = encoding.decode(data)?;
            let at = args.timestamps.then(|| time(&at));
            match stream {
                StreamName::Stderr => write(io::stderr(), at, &bytes),
                _ => write(io::stdout(), at, &bytes),
            }
        }
        Record::Truncated { .. } => {
            remark("pinfold: the output reached its bound; the rest was dropped");
            Ok(())
        }
        Record::End { .. } => Ok(()),
    }
}

fn write(mut to: impl Write, at: Option<String>, bytes: &[u8]) -> Result<()> {
    if let Some(at) = at {
        write!(to, "{at} ")?;
    }
    to.write_all(bytes)?;
    Ok(to.flush()?)
}
