//! Being a command's stdio from afar: over its stream of records, or over a terminal's socket.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use bytes::Bytes;
use pinfold_model::ExitStatus;
use pinfold_sdk::{
    Client, Command, CommandState, Error as SdkError, ErrorCode, Pty, PtyEvent, PtyQuery,
    PtyWriter, Record, StreamName, StreamOptions, WindowSize,
};
use tokio::sync::mpsc;

use crate::exit::Ending;
use crate::output::remark;
use crate::run::{Raw, SIGCONT, SIGPIPE, SIGTSTP, SIGWINCH, Signals, terminal_size};

/// Pieces of our own stdin that may wait for the connection.
const INPUT_PIECES_MAX: usize = 4;
const INPUT_PIECE_BYTES: usize = 256 << 10;

/// Our stdin into the command, its output to ours, our signals to it, until it ends.
pub(super) async fn pipes(client: &Client, command: &Command, input: bool) -> Result<Ending> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let mut stream = client
        .commands()
        .stream(&command.id, StreamOptions::default());
    let feeding = feed(client.clone(), command.id.clone());
    tokio::pin!(feeding);
    let mut feeds = input;
    let mut whole = true;
    loop {
        tokio::select! {
            record = stream.next() => match record? {
                Some(Record::Output { stream, encoding, data, .. }) => {
                    let bytes = encoding.decode(data).context("the output is damaged")?;
                    if let Err(error) = deliver(stream, &bytes) {
                        return unread(client, command, error).await;
                    }
                }
                Some(Record::Truncated { .. }) => {
                    say_truncated();
                    whole = false;
                }
                // Half of an output must not pass for the whole.
                Some(Record::End { .. }) if !whole => return Ok(Ending::Ourselves),
                Some(Record::End { command, .. }) => return Ok(ending(&command)),
                None => return Ok(Ending::Ourselves),
            },
            fed = &mut feeding, if feeds => {
                feeds = false;
                fed?;
            }
            signal = signals.next() => match signal {
                SIGTSTP | SIGCONT | SIGWINCH => {}
                other => {
                    let sent = client.commands().signal(&command.id, &other.to_string()).await;
                    unless_ended(sent)?;
                }
            },
        }
    }
}

/// Nobody reads our output: the command learns it as it would have from a pipe of its own.
async fn unread(client: &Client, command: &Command, error: io::Error) -> Result<Ending> {
    if error.kind() != io::ErrorKind::BrokenPipe {
        return Err(error).context("cannot write the command's output");
    }
    unless_ended(client.commands().signal(&command.id, "PIPE").await)?;
    Ok(Ending::Command(ExitStatus::Signal(SIGPIPE)))
}

/// A terminal inside shown on ours.
pub(super) async fn terminal(client: &Client, sandbox: &str, query: &PtyQuery) -> Result<Ending> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let pty = client.commands().pty(sandbox, query).await?;
    let raw = match io::stdin().is_terminal() {
        true => Some(Raw::enter().context("cannot set up the terminal")?),
        false => None,
    };
    let result = converse(pty, &mut signals).await;
    drop(raw);
    result
}

async fn converse(pty: Pty, signals: &mut Signals) -> Result<Ending> {
    let (mut reader, mut writer) = pty.split();
    let mut keys = own_stdin()?;
    let mut typing = true;
    // Attached to a command that was started a moment ago, in whatever size. That something could
    // not be sent is nothing yet: the command may have ended, and the reader knows how.
    let _ = resize(&mut writer).await;
    loop {
        tokio::select! {
            event = reader.next() => match event? {
                Some(PtyEvent::Output(bytes)) => deliver(StreamName::Stdout, &bytes)?,
                Some(PtyEvent::Truncated) => say_truncated(),
                Some(PtyEvent::Exit(command)) => return Ok(ending(&command)),
                Some(_) => {}
                None => anyhow::bail!("the server closed the terminal; the command may run on"),
            },
            piece = keys.recv(), if typing => match piece {
                Some(piece) => typing = writer.write(piece).await.is_ok(),
                // End of input on a terminal is a character, as if somebody had typed it.
                None => {
                    typing = false;
                    let _ = writer.write(Bytes::from_static(&[4])).await;
                }
            },
            signal = signals.next() => match signal {
                SIGTSTP | SIGCONT => {}
                SIGWINCH => drop(resize(&mut writer).await),
                other => drop(writer.signal(&other.to_string()).await),
            },
        }
    }
}

async fn resize(writer: &mut PtyWriter) -> Result<()> {
    let size = terminal_size();
    Ok(writer
        .resize(WindowSize {
            rows: size.rows,
            cols: size.cols,
        })
        .await?)
}

/// Our stdin to its end into the command's, then the end itself.
async fn feed(client: Client, id: String) -> Result<()> {
    let mut pieces = own_stdin()?;
    while let Some(piece) = pieces.recv().await {
        if !taken(client.commands().write_stdin(&id, piece).await)? {
            return Ok(());
        }
    }
    taken(client.commands().close_stdin(&id).await).map(drop)
}

/// Whether the command still reads.
fn taken(result: Result<(), SdkError>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.code(),
                Some(ErrorCode::CommandEnded | ErrorCode::StdinNotOpen)
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn unless_ended(result: Result<(), SdkError>) -> Result<()> {
    match result {
        Err(error) if error.code() == Some(ErrorCode::CommandEnded) => Ok(()),
        other => Ok(other?),
    }
}

/// What comes on stdin, read by a thread of its own, because a read of it can wait for ever.
fn own_stdin() -> Result<mpsc::Receiver<Bytes>> {
    let (sender, pieces) = mpsc::channel(INPUT_PIECES_MAX);
    let read = move || {
        let mut buffer = vec![0; INPUT_PIECE_BYTES];
        loop {
            match rustix::io::retry_on_intr(|| {
                rustix::io::read(rustix::stdio::stdin(), &mut buffer)
            }) {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    if sender
                        .blocking_send(Bytes::copy_from_slice(&buffer[..read]))
                        .is_err()
                    {
                        return;
                    }
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("pinfold-input".to_owned())
        .spawn(read)
        .context("cannot read stdin")?;
    Ok(pieces)
}

fn deliver(stream: StreamName, bytes: &[u8]) -> io::Result<()> {
    match stream {
        StreamName::Stderr => write_all(io::stderr(), bytes),
        _ => write_all(io::stdout(), bytes),
    }
}

fn write_all(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

fn say_truncated() {
    remark("pinfold: the output reached its bound and was cut; raise it with --output-cap");
}

fn ending(command: &Command) -> Ending {
    match (command.state, command.exit_code, command.signal) {
        (CommandState::TimedOut, ..) => {
            remark("pinfold: the command did not end within its timeout and was killed");
            Ending::TimedOut
        }
        (_, Some(code), _) => Ending::Command(ExitStatus::Code(code)),
        (_, _, Some(signal)) => Ending::Command(ExitStatus::Signal(signal)),
        (state, ..) => {
            remark(&format!(
                "pinfold: the command is {state}; nobody knows how it ended"
            ));
            Ending::Ourselves
        }
    }
}
