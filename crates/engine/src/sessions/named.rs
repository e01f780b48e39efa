//! Use cases of terminals with a name: opened once, left and found again, shown to one at a time.
//!
//! ```text
//! name -> row -> command with a terminal        runs on while nobody is attached, for an hour
//!                  |
//!                place: attached or not, since when, up to which record it was shown
//! ```
//! The row outlives the server, as the command does. A place does not: after a restart of the server
//! whoever comes back is shown the journal from its beginning.

use std::sync::Arc;

use pinfold_model::journal::Record;
use pinfold_model::{
    Code, Command, CommandId, Ctx, Error, Purpose, Result, SandboxId, TerminalName, WindowSize,
    limits,
};
use pinfold_store::NamedCommand;

use super::places::{Place, hang_up};
use super::{OpenTerminal, Terminal, TerminalInput, spec_of};
use crate::commands::{OutputReader, new_command, start};
use crate::live::LiveCommand;
use crate::usecase::Note;
use crate::{Engine, Origin};

/// A terminal that has a name.
#[derive(Debug, Clone)]
pub struct NamedTerminal {
    pub command: Command,
    pub size: WindowSize,
    /// Whether somebody is attached.
    pub attached: bool,
    /// New: it was opened now.
    pub origin: Origin,
}

/// A terminal that nobody else may attach to until this is dropped.
#[derive(Debug)]
pub struct AttachedTerminal {
    output: OutputReader,
    input: TerminalInput,
    place: Place,
}

impl AttachedTerminal {
    /// The next record that nobody was shown; `None` after its end. Whoever asks for another has been
    /// shown the one before. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Option<Record>> {
        self.place.shown(self.output.position());
        self.output.next().await
    }

    #[must_use]
    pub fn input(&self) -> TerminalInput {
        self.input.clone()
    }
}

impl Engine {
    /// The terminal of that name, which is opened as `open` says where none is there that runs. Where
    /// one is, only `size` is done.
    ///
    /// # Errors
    /// `quota_exceeded` beyond the names that a sandbox may have.
    pub async fn named_terminal(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        name: &TerminalName,
        open: OpenTerminal,
        size: Option<WindowSize>,
    ) -> Result<NamedTerminal> {
        let note = Note::new("terminal.open");
        self.audited_behind(ctx, &note, async {
            // Whose it is comes first: nobody waits for turns of others.
            note.of(&self.any_sandbox(ctx, sandbox).await?.project);
            note.fact("sandbox", sandbox.as_str());
            // Of those who want the same name at once one opens it. Held until the command can be
            // found, and never while a guest is asked.
            let turn = self.inner.terminals.turn(sandbox).await;
            let lease = self.lease(ctx, sandbox).await?;
            if let Some(live) = self.running_terminal(sandbox, name).await? {
                drop(turn);
                note.about(live.id().as_str());
                note.fact("replay", true);
                return self.found_terminal(&live, size).await;
            }
            self.require_free_name(sandbox, name).await?;
            let open = OpenTerminal {
                size: size.unwrap_or_default(),
                ..open
            };
            let spec = spec_of(open);
            spec.validate()?;
            let named = NamedCommand {
                sandbox: sandbox.clone(),
                name: name.clone(),
                command: CommandId::generate(),
            };
            note.about(named.command.as_str());
            // The name comes first: one without its command is given again, and a command without its
            // name would be found by nobody.
            self.store().terminals().put(&named).await?;
            let live = lease.live();
            let command = new_command(self.shared(), live, named.command, spec, Purpose::Command);
            let starting = start(self.shared(), lease, command, None);
            drop(turn);
            let begun = starting.answer().await?;
            Ok(self.shown_terminal(begun.value, Origin::New))
        })
        .await
    }

    /// Attaches to the terminal of that name, from where the one before left.
    ///
    /// # Errors
    /// `session_not_found` where none of that name runs; `in_use` while somebody else is attached.
    pub async fn attach_named_terminal(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        name: &TerminalName,
    ) -> Result<AttachedTerminal> {
        self.timed(ctx, "terminal.attach", async {
            let command = self.need_terminal(ctx, sandbox, name).await?;
            let place = self.inner.terminals.places.take(&command.id, self.now());
            let place = place.ok_or_else(|| {
                let text = format!("somebody is attached to the terminal {:?}", name.as_str());
                Error::new(Code::InUse, text)
            })?;
            let attached = self.attach_terminal(ctx, &command.id, place.from()).await?;
            let Terminal { output, input } = attached;
            Ok(AttachedTerminal {
                output,
                input,
                place,
            })
        })
        .await
    }

    pub async fn resize_named_terminal(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        name: &TerminalName,
        size: WindowSize,
    ) -> Result<()> {
        self.timed(ctx, "terminal.resize", async {
            let command = self.need_terminal(ctx, sandbox, name).await?;
            self.resize_terminal(&command.id, size).await
        })
        .await
    }

    /// Signals the foreground process group of the terminal of that name.
    pub async fn signal_named_terminal(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        name: &TerminalName,
        signal: i32,
    ) -> Result<()> {
        let command = self.need_terminal(ctx, sandbox, name).await?;
        self.signal_command(ctx, &command.id, signal).await
    }

    /// Ends the terminal of that name and everything it started, and frees the name.
    pub async fn close_named_terminal(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        name: &TerminalName,
    ) -> Result<()> {
        let (engine, ctx) = (self.clone(), ctx.clone());
        let (sandbox, name) = (sandbox.clone(), name.clone());
        // To its end even if the caller goes away.
        self.detached(async move { engine.close_terminal(&ctx, sandbox, name).await })
            .await
    }

    async fn close_terminal(
        &self,
        ctx: &Ctx,
        sandbox: SandboxId,
        name: TerminalName,
    ) -> Result<()> {
        let note = Note::new("terminal.close");
        self.audited(ctx, &note, async {
            let command = self.need_terminal(ctx, &sandbox, &name).await?;
            note.about(command.id.as_str());
            note.of(&command.project);
            hang_up(self.shared(), &command.id).await;
            let named = NamedCommand {
                sandbox,
                name,
                command: command.id,
            };
            Ok(self.store().terminals().delete(&named).await?)
        })
        .await
    }

    async fn need_terminal(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        name: &TerminalName,
    ) -> Result<Command> {
        // Whose it is comes first.
        self.any_sandbox(ctx, sandbox).await?;
        let found = self.running_terminal(sandbox, name).await?;
        found.map(|live| live.command()).ok_or_else(|| {
            let text = format!("no terminal {:?} runs in the sandbox", name.as_str());
            Error::new(Code::SessionNotFound, text)
        })
    }

    /// The command of that name, where it runs.
    async fn running_terminal(
        &self,
        sandbox: &SandboxId,
        name: &TerminalName,
    ) -> Result<Option<Arc<LiveCommand>>> {
        let Some(named) = self.store().terminals().get(sandbox, name).await? else {
            return Ok(None);
        };
        let live = self.inner.registry.command(&named.command);
        Ok(live.filter(|live| !live.has_ended()))
    }

    /// One that somebody else opened, perhaps just now.
    async fn found_terminal(
        &self,
        live: &LiveCommand,
        size: Option<WindowSize>,
    ) -> Result<NamedTerminal> {
        // One whose record failed is never answered.
        let _ = tokio::time::timeout(self.config().attach_timeout, live.answered()).await;
        if self.inner.registry.command(live.id()).is_none() {
            let text = "the terminal could not be opened; try again";
            return Err(Error::new(Code::Unavailable, text));
        }
        if let Some(size) = size {
            self.resize_terminal(live.id(), size).await?;
        }
        Ok(self.shown_terminal(live.command(), Origin::Replay))
    }

    async fn require_free_name(&self, sandbox: &SandboxId, name: &TerminalName) -> Result<()> {
        let named = self.store().terminals().list(sandbox).await?;
        let mut others = 0;
        for one in named {
            let live = self.inner.registry.command(&one.command);
            if live.is_some_and(|live| !live.has_ended()) {
                others += 1;
            } else if one.name != *name {
                self.store().terminals().delete(&one).await?;
            }
        }
        if others >= limits::NAMED_TERMINALS_MAX {
            let max = limits::NAMED_TERMINALS_MAX;
            return Err(Error::new(
                Code::QuotaExceeded,
                format!("a sandbox has at most {max} terminals with a name; close one first"),
            ));
        }
        Ok(())
    }

    async fn resize_terminal(&self, id: &CommandId, size: WindowSize) -> Result<()> {
        let live = self.inner.registry.command(id);
        let live = live.ok_or_else(crate::live::has_ended)?;
        live.resize(size).await?;
        self.inner.terminals.places.resized(id, size, self.now());
        Ok(())
    }

    fn shown_terminal(&self, command: Command, origin: Origin) -> NamedTerminal {
        let (attached, size) = self.inner.terminals.places.look(&command.id);
        NamedTerminal {
            size: size.or(command.spec.tty).unwrap_or_default(),
            attached,
            command,
            origin,
        }
    }
}
