//! A command or a terminal on a session channel. It ends with its channel, and the channel with it.

use pinfold_engine::{Attended, Engine};
use pinfold_model::command::CommandState;
use pinfold_model::journal::{RecordBody, Stream};
use pinfold_model::{
    Code, CommandId, CommandSpec, Ctx, Error, ExitStatus, Program, Result, SecretEnv, StdinMode,
};
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::inbox::{Inbox, inbox};
use super::setup::window;
use super::{Place, Setup};

/// What clients show of a program that did not come to an end of its own.
const FAILED: u32 = 255;
/// RFC 4254, section 5.2.
const STDERR: u32 = 1;

/// What is to be run.
pub(super) enum Wanted {
    Program(Program),
    /// A line that is no UTF-8.
    Unreadable,
}

pub(super) async fn run(
    place: Place,
    channel: Channel<Msg>,
    handle: Handle,
    wanted: Wanted,
    setup: Setup,
) {
    let (reader, writer) = channel.split();
    let ended = match wanted {
        Wanted::Program(program) => attend(&place, reader, &writer, program, setup).await,
        Wanted::Unreadable => Err(Error::new(
            Code::InvalidArgument,
            "the command is not UTF-8; put it into a file and run that",
        )),
    };
    // Whatever fails here, fails because the client is gone.
    match ended {
        Ok(Some(ExitStatus::Code(code))) => {
            let _ = writer.exit_status(code.cast_unsigned()).await;
        }
        Ok(Some(ExitStatus::Signal(number))) => {
            let (name, none) = (signal_name(number), String::new());
            let _ = handle
                .exit_signal_request(writer.id(), name, false, none.clone(), none)
                .await;
        }
        Ok(None) => {}
        Err(error) => {
            let text = format!("pinfold: {}\r\n", error.message());
            let mut stderr = writer.make_writer_ext(Some(STDERR));
            let _ = stderr.write_all(text.as_bytes()).await;
            let _ = writer.exit_status(FAILED).await;
        }
    }
    let _ = writer.eof().await;
    let _ = writer.close().await;
}

/// `None`: the client closed the channel first, and the command was killed.
async fn attend(
    place: &Place,
    reader: ChannelReadHalf,
    writer: &ChannelWriteHalf<Msg>,
    program: Program,
    setup: Setup,
) -> Result<Option<ExitStatus>> {
    let (engine, login) = (&place.shared.engine, &place.login);
    let spec = CommandSpec {
        stdin: StdinMode::Open,
        tty: setup.terminal,
        // Clients send what their users have set up to be sent: it is recorded nowhere.
        secret_env: SecretEnv::new(setup.variables),
        output_cap_bytes: Some(place.shared.limits.output_max_bytes),
        ..CommandSpec::new(program)
    };
    let terminal = spec.tty.is_some();
    let attended = engine
        .attend_command(login.ctx(), login.sandbox(), spec, None)
        .await?;
    let (inbox, stuck) = inbox(reader, place.shared.limits.stall);
    let input = Input {
        engine,
        ctx: login.ctx(),
        id: attended.id().clone(),
        terminal,
    };
    tokio::select! {
        ended = pour(attended, writer) => ended.map(Some),
        () = input.feed(inbox) => Ok(None),
        () = stuck => Err(Error::new(
            Code::Timeout,
            "the program did not read what was sent to it for too long",
        )),
    }
}

/// Everything that the command writes, and how it ended.
async fn pour(mut attended: Attended, writer: &ChannelWriteHalf<Msg>) -> Result<ExitStatus> {
    let mut stdout = Box::pin(writer.make_writer());
    let mut stderr = Box::pin(writer.make_writer_ext(Some(STDERR)));
    while let Some(record) = attended.next().await? {
        match record.body {
            RecordBody::Output { stream, bytes } => {
                let into: &mut (dyn AsyncWrite + Send + Unpin) = match stream {
                    Stream::Stdout => &mut stdout,
                    Stream::Stderr => &mut stderr,
                };
                let written = into.write_all(&bytes).await;
                written.map_err(|_| Error::new(Code::Unavailable, "the client has gone"))?;
            }
            RecordBody::Truncated => {
                return Err(Error::new(
                    Code::BodyTooLarge,
                    "the program wrote more than is carried on one channel; copy files with sftp",
                ));
            }
            RecordBody::End { .. } => break,
        }
    }
    match attended.ended().await?.state {
        CommandState::Exited(status)
        | CommandState::Cancelled(status)
        | CommandState::TimedOut(status) => Ok(status),
        _ => Err(Error::new(Code::SandboxGone, "the program was lost")),
    }
}

/// The way from the client to the command.
struct Input<'a> {
    engine: &'a Engine,
    ctx: &'a Ctx,
    id: CommandId,
    terminal: bool,
}

impl Input<'_> {
    /// Completes when the client closes the channel. What comes for a program that reads no more is
    /// thrown away: its end is not the client's.
    async fn feed(&self, mut inbox: Inbox) {
        while let Some(message) = inbox.next().await {
            let handed = match message {
                ChannelMsg::Data { data } => {
                    self.engine.write_stdin(self.ctx, &self.id, &data).await
                }
                // A terminal has no end of input; what its user types ends what reads it.
                ChannelMsg::Eof if !self.terminal => {
                    self.engine.close_stdin(self.ctx, &self.id).await
                }
                ChannelMsg::WindowChange {
                    col_width,
                    row_height,
                    ..
                } if self.terminal => {
                    let size = window(col_width, row_height);
                    self.engine.resize_command(self.ctx, &self.id, size).await
                }
                ChannelMsg::Signal { signal } => match signal_number(&signal) {
                    Some(number) => self.engine.signal_command(self.ctx, &self.id, number).await,
                    None => Ok(()),
                },
                ChannelMsg::Close => return,
                _ => Ok(()),
            };
            if let Err(error) = handed {
                tracing::debug!(command = %self.id, %error, "not handed to a command");
            }
        }
    }
}

/// Names of RFC 4254, section 6.10, have their numbers in Linux: see signal(7).
fn signal_number(signal: &Sig) -> Option<i32> {
    Some(match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::Custom(name) if name == "USR2" => 12,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => return None,
    })
}

/// Names beyond the standard's carry where they are from.
fn signal_name(number: i32) -> Sig {
    match number {
        1 => Sig::HUP,
        2 => Sig::INT,
        3 => Sig::QUIT,
        4 => Sig::ILL,
        6 => Sig::ABRT,
        8 => Sig::FPE,
        9 => Sig::KILL,
        10 => Sig::USR1,
        11 => Sig::SEGV,
        12 => Sig::Custom("USR2".to_owned()),
        13 => Sig::PIPE,
        14 => Sig::ALRM,
        15 => Sig::TERM,
        other => Sig::Custom(format!("SIG{other}@pinfold")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_of_signals_belong_together() {
        for number in [1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15] {
            assert_eq!(signal_number(&signal_name(number)), Some(number));
        }
        assert_eq!(signal_number(&Sig::Custom("NOPE".to_owned())), None);
        assert_eq!(signal_number(&signal_name(34)), None);
    }
}
