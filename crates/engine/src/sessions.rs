//! Use cases of terminals. A terminal is a command with a terminal and an open stdin: it outlives
//! the connection that shows it, and any number may attach from any record on.

mod named;
mod places;

use std::collections::BTreeMap;

use pinfold_model::{
    Code, Command, CommandId, CommandSpec, Ctx, Error, Level, Program, Resource, Result, SandboxId,
    StdinMode, WindowSize,
};

use crate::commands::OutputReader;
use crate::live::{LiveCommand, has_ended};
use crate::{Accepted, Engine};

pub use named::{AttachedTerminal, NamedTerminal};
pub use places::TERMINAL_IDLE;
pub(crate) use places::{Terminals, reconcile};

/// Which terminal to open.
#[derive(Debug, Clone, Default)]
pub struct OpenTerminal {
    /// `None`: the user's own shell.
    pub program: Option<Program>,
    pub size: WindowSize,
    pub cwd: Option<String>,
    pub user: Option<String>,
    pub env: BTreeMap<String, String>,
}

/// The guest sets SHELL from the image's passwd; the image's `sh` is the last resort.
const OWN_SHELL: &str = "exec \"${SHELL:-/bin/sh}\" -i";

impl Engine {
    /// Starts a command with a terminal of its own.
    pub async fn open_terminal(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: OpenTerminal,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Command>> {
        let spec = spec_of(request);
        self.start_command(ctx, sandbox, spec, idempotency).await
    }

    /// Both ends of a terminal: its output after record `after_seq`, and its input. Fails with
    /// [`Code::SessionNotFound`] for a command without a terminal.
    pub async fn attach_terminal(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        after_seq: u64,
    ) -> Result<Terminal> {
        // Whoever attaches may type.
        ctx.require(Resource::Sandboxes, Level::Write)?;
        let command = self.any_command(ctx, id).await?;
        if command.spec.tty.is_none() {
            return Err(Error::new(
                Code::SessionNotFound,
                format!("the command {id} has no terminal"),
            ));
        }
        Ok(Terminal {
            output: self.reader(ctx, id, after_seq).await?,
            input: TerminalInput {
                live: self.live_command(ctx, id).await?,
            },
        })
    }
}

fn spec_of(request: OpenTerminal) -> CommandSpec {
    let own_shell = || Program::Shell(OWN_SHELL.to_owned());
    CommandSpec {
        cwd: request.cwd,
        env: request.env,
        user: request.user,
        stdin: StdinMode::Open,
        tty: Some(request.size),
        ..CommandSpec::new(request.program.unwrap_or_else(own_shell))
    }
}

/// An attached terminal. Dropping it leaves the command running.
#[derive(Debug)]
pub struct Terminal {
    pub output: OutputReader,
    pub input: TerminalInput,
}

/// The writing side of a terminal.
#[derive(Debug, Clone)]
pub struct TerminalInput {
    live: Option<std::sync::Arc<LiveCommand>>,
}

impl TerminalInput {
    /// What somebody typed. Fails with [`Code::CommandEnded`] when nobody reads any more.
    pub async fn write(&self, bytes: &[u8]) -> Result<()> {
        self.live()?.write_stdin(bytes).await
    }

    pub async fn resize(&self, size: WindowSize) -> Result<()> {
        self.live()?.resize(size).await
    }

    /// To the foreground process group.
    pub async fn signal(&self, signal: i32) -> Result<()> {
        self.live()?.signal(signal).await
    }

    fn live(&self) -> Result<&LiveCommand> {
        let live = self.live.as_deref();
        live.filter(|live| !live.has_ended()).ok_or_else(has_ended)
    }
}
