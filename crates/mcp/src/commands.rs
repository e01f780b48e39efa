//! Commands as tools: run with progress, started, read, cancelled.

use std::time::Duration;

use pinfold_sdk::{
    CancelMode, Client, Command, CommandState, Error, ListCommands, LogsQuery, Record,
    StartCommand, StreamName, StreamOptions,
};
use rmcp::RoleServer;
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::RequestContext;
use serde::Serialize;

use crate::answer::{Answer, Failure, Told};
use crate::arguments as args;
use crate::output::{Gathered, Position, bytes_of};
use crate::progress::Progress;

/// Below the patience that clients have with one call.
const WAIT_MAX_SECONDS: u64 = 50;
/// Of a command that is waited for. Below the time after which a session without a word ends.
const RUN_DEFAULT_SECONDS: u64 = 600;
const RUN_MAX_SECONDS: u64 = 3000;
const LISTED_MAX: u32 = 100;
/// Of a shell line where it is listed.
const LINE_MAX_CHARS: usize = 500;

/// How a command stands and what it wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OutputFacts {
    command_id: String,
    /// queued, starting, running, exited, cancelled, timed_out, killed or lost
    state: String,
    /// Where it ended by itself; null while it runs.
    exit_code: Option<i32>,
    /// The number of the signal that ended it.
    signal: Option<i32>,
    stdout: String,
    stderr: String,
    /// Some of what was written is not here: read it with read_output from next_position on.
    truncated: bool,
    /// The command wrote more than the server keeps; what came after that is lost.
    output_lost: bool,
    /// Where read_output goes on.
    next_position: String,
}

/// A command without its output.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CommandFacts {
    command_id: String,
    /// queued, starting, running, exited, cancelled, timed_out, killed or lost
    state: String,
    exit_code: Option<i32>,
    signal: Option<i32>,
    /// The shell line; its beginning where it is long.
    command: Option<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CommandList {
    /// Newest first.
    commands: Vec<CommandFacts>,
}

/// Runs one to its end; cancelling the call ends it.
pub(crate) async fn run(
    client: &Client,
    wanted: args::Run,
    context: &RequestContext<RoleServer>,
) -> Answer {
    let seconds = wanted.timeout_seconds.unwrap_or(RUN_DEFAULT_SECONDS);
    if !(1..=RUN_MAX_SECONDS).contains(&seconds) {
        return Err(Failure::invalid(format!(
            "timeout_seconds must be from 1 to {RUN_MAX_SECONDS}; start what takes longer with \
             start_command"
        )));
    }
    let request = StartCommand {
        shell: Some(wanted.command),
        cwd: wanted.cwd,
        env: wanted.env,
        user: wanted.user,
        stdin_data: wanted.stdin,
        timeout_ms: Some(seconds * 1000),
        ..StartCommand::default()
    };
    let command = client
        .commands()
        .start(&wanted.sandbox_id, &request)
        .await?;
    let mut progress = Progress::of(context);
    let followed = tokio::select! {
        followed = follow(client, &command.id, &mut progress) => followed,
        () = context.ct.cancelled() => return Err(cancelled(client, &command.id).await),
    };
    let (gathered, ended) = followed?;
    Ok(told(&gathered, &ended))
}

/// Starts one and answers at once.
pub(crate) async fn start(client: &Client, wanted: args::Start) -> Answer {
    let request = StartCommand {
        shell: Some(wanted.command),
        cwd: wanted.cwd,
        env: wanted.env,
        user: wanted.user,
        stdin_data: wanted.stdin,
        timeout_ms: wanted
            .timeout_seconds
            .map(|seconds| seconds.saturating_mul(1000)),
        ..StartCommand::default()
    };
    let command = client
        .commands()
        .start(&wanted.sandbox_id, &request)
        .await?;
    let text = format!(
        "{} started; read its output with read_output, end it with cancel_command",
        command.id
    );
    Ok(Told::new(text, &CommandFacts::from(command)))
}

/// What a command wrote, from a position on.
pub(crate) async fn read(client: &Client, wanted: args::ReadOutput) -> Answer {
    let position: Position = wanted.position.as_deref().unwrap_or("0").parse()?;
    let commands = client.commands();
    let patience = wanted.wait_seconds.unwrap_or(0);
    if patience > WAIT_MAX_SECONDS {
        let text = format!("wait_seconds may be at most {WAIT_MAX_SECONDS}; ask again instead");
        return Err(Failure::invalid(text));
    }
    if patience > 0 {
        let patience = Duration::from_secs(patience);
        commands.wait_at_most(&wanted.command_id, patience).await?;
    }
    // Before the output, so that an end that is told has all its output before it.
    let command = commands.get(&wanted.command_id).await?;
    let mut gathered = Gathered::page(position);
    let mut after = position.seq;
    loop {
        let query = LogsQuery {
            after_seq: Some(after),
            ..LogsQuery::default()
        };
        let page = commands.logs(&wanted.command_id, &query).await?;
        for record in &page.records {
            gathered.push(record);
        }
        if gathered.is_full() || page.at_end || page.next_after_seq == after {
            break;
        }
        after = page.next_after_seq;
    }
    Ok(told(&gathered, &command))
}

pub(crate) async fn cancel(client: &Client, wanted: args::Cancel) -> Answer {
    let mode = match wanted.force {
        Some(true) => CancelMode::Force,
        Some(false) | None => CancelMode::Graceful,
    };
    let command = client.commands().cancel(&wanted.command_id, mode).await?;
    let text = format!(
        "{} was told to end; it {} now",
        command.id,
        ending(&command)
    );
    Ok(Told::new(text, &CommandFacts::from(command)))
}

pub(crate) async fn list(client: &Client, wanted: args::Sandbox) -> Answer {
    let query = ListCommands {
        limit: Some(LISTED_MAX),
        ..ListCommands::default()
    };
    let page = client.commands().list(&wanted.sandbox_id, &query).await?;
    let mut lines: Vec<String> = page.items.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("no command was started in this sandbox".to_owned());
    }
    if page.next_cursor.is_some() {
        lines.push(format!("[only the newest {LISTED_MAX} are shown]"));
    }
    let commands = page.items.into_iter().map(CommandFacts::from).collect();
    Ok(Told::new(lines.join("\n"), &CommandList { commands }))
}

/// To the command's end; what it writes is told on the way where the caller wants that.
async fn follow(
    client: &Client,
    id: &str,
    progress: &mut Progress,
) -> Result<(Gathered, Command), Error> {
    progress.say(&format!("[{id} started]\n")).await;
    let mut stream = client.commands().stream(id, StreamOptions::default());
    let mut gathered = Gathered::both_ends();
    while let Some(record) = stream.next().await? {
        gathered.push(&record);
        match record {
            Record::Output { stream, .. } => progress.wrote(stream, &bytes_of(&record)).await,
            Record::Truncated { .. } => {}
            Record::End { command, .. } => return Ok((gathered, *command)),
        }
    }
    let command = client.commands().wait(id).await?;
    Ok((gathered, command))
}

/// Ends what nobody waits for any more.
async fn cancelled(client: &Client, id: &str) -> Failure {
    match client.commands().cancel(id, CancelMode::Force).await {
        Ok(_) => Failure::new("cancelled", format!("cancelled; {id} was killed")),
        Err(error) => error.into(),
    }
}

/// The output, and behind it what a reader has to know.
fn told(gathered: &Gathered, command: &Command) -> Told {
    let mut text = gathered.text();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let truncated = gathered.left_out() > 0;
    if truncated {
        text.push_str(&format!(
            "[read what is not here with read_output: command_id {:?}, position \"{}\"]\n",
            command.id,
            gathered.next()
        ));
    }
    if gathered.capped {
        text.push_str("[the command wrote more than the server keeps]\n");
    }
    text.push_str(&format!("[{} {}]", command.id, ending(command)));
    if !truncated && !has_ended(command) {
        text.push_str(&format!(
            "\n[read on from position \"{}\"]",
            gathered.next()
        ));
    }
    let facts = OutputFacts {
        command_id: command.id.clone(),
        state: command.state.to_string(),
        exit_code: command.exit_code,
        signal: command.signal,
        stdout: gathered.of(StreamName::Stdout),
        stderr: gathered.of(StreamName::Stderr),
        truncated,
        output_lost: gathered.capped,
        next_position: gathered.next().to_string(),
    };
    Told::new(text, &facts)
}

/// Ends a sentence that begins with the command's id.
fn ending(command: &Command) -> String {
    match (command.state, command.exit_code, command.signal) {
        (CommandState::TimedOut, ..) => "ran out of time and was killed".to_owned(),
        (CommandState::Lost, ..) => "is lost: nobody knows how it ended".to_owned(),
        (CommandState::Exited, Some(code), _) => format!("exited with code {code}"),
        (state, _, Some(signal)) => format!("is {state}, ended by signal {signal}"),
        (state, ..) => format!("is {state}"),
    }
}

/// The time too: a newer server may have endings that this client has no word for.
fn has_ended(command: &Command) -> bool {
    command.state.is_terminal() || command.ended_at.is_some()
}

fn line(command: &Command) -> String {
    let words = beginning(command).unwrap_or_default();
    format!("{} {}: {words:?}", command.id, ending(command))
}

fn beginning(command: &Command) -> Option<String> {
    let argv = || command.argv.as_ref().map(|argv| argv.join(" "));
    let whole = command.shell.clone().or_else(argv)?;
    Some(whole.chars().take(LINE_MAX_CHARS).collect())
}

impl From<Command> for CommandFacts {
    fn from(command: Command) -> Self {
        Self {
            command: beginning(&command),
            command_id: command.id,
            state: command.state.to_string(),
            exit_code: command.exit_code,
            signal: command.signal,
            started_at: command.started_at,
            ended_at: command.ended_at,
        }
    }
}
