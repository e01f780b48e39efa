//! A command or a terminal on a session channel. It ends with its channel, and the channel with it.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use pinfold_engine::{Attended, Engine};
use pinfold_model::journal::{RecordBody, Stream as Written};
use pinfold_model::{
    Code, CommandId, CommandSpec, Ctx, Error, ExitStatus, Program, Result, SecretEnv, StdinMode,
};
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelReadHalf};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::time::timeout;

use super::input::{End, input};
use super::output::{Output, Stream};
use super::requests::Requests;
use super::signals::signal_name;
use super::{Place, Setup};
use crate::fault;

/// What clients show of a program that did not come to an end of its own.
const FAILED: u32 = 255;
/// Bytes that a program has not read yet.
const ROOM_BYTES: usize = 1 << 20;
/// Of them, what it is handed at once.
const CHUNK_BYTES: usize = 64 << 10;

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
    let output = Output::new(writer);
    let ended = match wanted {
        Wanted::Program(program) => attend(&place, reader, &output, program, setup).await,
        Wanted::Unreadable => Err(Error::new(
            Code::InvalidArgument,
            "the command is not UTF-8; put it into a file and run that",
        )),
    };
    // Whatever fails here, fails because the client is gone.
    match ended {
        Ok(Some(ExitStatus::Code(code))) => output.exit(code.cast_unsigned()).await,
        Ok(Some(ExitStatus::Signal(number))) => {
            let (name, none) = (signal_name(number), String::new());
            let _ = handle
                .exit_signal_request(output.id(), name, false, none.clone(), none)
                .await;
        }
        Ok(None) => {}
        Err(error) => {
            fault::log(&error, "a program of an SSH client failed");
            let text = format!("pinfold: {}\r\n", error.message());
            let told = output.write(Stream::Stderr, text.into());
            // It may be a client that takes nothing.
            let _ = timeout(place.connection.shared.limits.farewell, told).await;
            output.exit(FAILED).await;
        }
    }
    output.end().await;
    output.close().await;
}

/// `None`: the client closed the channel first, and the command was killed.
async fn attend(
    place: &Place,
    reader: ChannelReadHalf,
    output: &Output,
    program: Program,
    setup: Setup,
) -> Result<Option<ExitStatus>> {
    let (shared, login) = (&place.connection.shared, &place.login);
    let engine = &shared.engine;
    let spec = CommandSpec {
        stdin: StdinMode::Open,
        tty: setup.terminal,
        // Clients send what their users have set up to be sent: it is recorded nowhere.
        secret_env: SecretEnv::new(setup.variables),
        output_cap_bytes: Some(shared.limits.output_max_bytes),
        ..CommandSpec::new(program)
    };
    let terminal = spec.tty.is_some();
    let attended = engine
        .attend_command(login.ctx(), login.sandbox(), spec, None)
        .await?;
    let requests = Requests::default();
    let (bytes, arriving) = input(place, reader, ROOM_BYTES, |request| requests.put(request));
    let input = Input {
        engine,
        ctx: login.ctx(),
        id: attended.id().clone(),
        terminal,
    };
    let fed = async { tokio::join!(input.feed(bytes), input.heed(&requests)) };
    tokio::select! {
        ended = pour(attended, output) => ended.map(Some),
        end = arriving => match end {
            End::Closed => Ok(None),
            End::Stuck => Err(Error::new(
                Code::Timeout,
                "the program did not read what was sent to it for too long",
            )),
        },
        never = fed => match never.1 {},
    }
}

/// Everything that the command writes, and how it ended.
async fn pour(mut attended: Attended, output: &Output) -> Result<ExitStatus> {
    while let Some(record) = attended.next().await? {
        match record.body {
            RecordBody::Output { stream, bytes } => {
                let stream = match stream {
                    Written::Stdout => Stream::Stdout,
                    Written::Stderr => Stream::Stderr,
                };
                let written = output.write(stream, Bytes::from(bytes)).await;
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
    let ended = attended.ended().await?.state.exit_status();
    ended.ok_or_else(|| Error::new(Code::SandboxGone, "the program was lost"))
}

/// The way from the client to the command.
struct Input<'a> {
    engine: &'a Engine,
    ctx: &'a Ctx,
    id: CommandId,
    terminal: bool,
}

impl Input<'_> {
    /// Its input. What comes for a program that reads no more is thrown away: its end is not the
    /// client's.
    async fn feed(&self, mut bytes: DuplexStream) {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        while bytes.read_buf(&mut chunk).await.is_ok_and(|read| read > 0) {
            self.handed(self.engine.write_stdin(self.ctx, &self.id, &chunk).await);
            chunk.clear();
        }
        // A terminal has no end of input; what its user types ends what reads it.
        if !self.terminal {
            self.handed(self.engine.close_stdin(self.ctx, &self.id).await);
        }
    }

    /// And what is asked beside it.
    async fn heed(&self, requests: &Requests) -> Infallible {
        loop {
            let pending = requests.next().await;
            if let Some(size) = pending.size.filter(|_| self.terminal) {
                self.handed(self.engine.resize_command(self.ctx, &self.id, size).await);
            }
            for signal in pending.signals {
                let signalled = self.engine.signal_command(self.ctx, &self.id, signal);
                self.handed(signalled.await);
            }
        }
    }

    fn handed(&self, handed: Result<()>) {
        if let Err(error) = handed {
            tracing::debug!(command = %self.id, %error, "not handed to a command");
            fault::log(
                &error,
                "what an SSH client sent was not handed to its program",
            );
        }
    }
}
