//! Use cases of commands: starting exactly once, watching, feeding and ending them.

mod attended;
mod collect;
mod kept;
mod logs;
mod reader;
mod run;
mod start;
mod tail;
mod text;
mod utf8;

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::command::CancelMode;
use pinfold_model::{Code, Command, CommandId, Ctx, Error, Result, SandboxId, WindowSize};
use pinfold_store::{Page, PageRequest};

use crate::Engine;
use crate::live::{LiveCommand, has_ended};
use crate::usecase::Note;

pub use attended::Attended;
pub use logs::{LogPage, LogsRequest};
pub use reader::OutputReader;
pub use run::{RunOptions, RunOutput};
pub use tail::OutputTail;
pub use text::{TextChunk, TextPage, TextReader, TextTail};
pub use utf8::TextDecoder;

pub(crate) use collect::Collecting;
pub(crate) use kept::{find_journal, kept_journal};
pub(crate) use run::may_have_written;
pub(crate) use start::{absolute, new_command, start, start_spec};

/// Bytes of one write to a command's stdin; more is for several writes.
const STDIN_WRITE_MAX_BYTES: usize = 8 << 20;
/// The highest signal number of Linux.
const SIGNAL_MAX: i32 = 64;

impl Engine {
    pub async fn get_command(&self, ctx: &Ctx, id: &CommandId) -> Result<Command> {
        self.timed(ctx, "command.get", self.any_command(ctx, id))
            .await
    }

    /// Commands of one sandbox, newest first.
    pub async fn list_commands(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        page: &PageRequest,
    ) -> Result<Page<Command>> {
        self.timed(ctx, "command.list", async {
            self.any_sandbox(ctx, sandbox).await?;
            let mut page = self.store().commands().list(sandbox, page).await?;
            for item in &mut page.items {
                // What a live command is stands in memory first; its record follows behind.
                if let Some(live) = self.inner.registry.command(&item.id) {
                    *item = live.command();
                } else if !item.state.is_terminal() {
                    // It ended since the list was read.
                    if let Some(ended) = self.store().commands().get(&item.id).await? {
                        *item = ended;
                    }
                }
            }
            Ok(page)
        })
        .await
    }

    /// Waits until the command has ended, at most `patience` (for ever where `None`), and answers
    /// with what it is then.
    pub async fn wait_command(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        patience: Option<Duration>,
    ) -> Result<Command> {
        self.timed(ctx, "command.wait", async {
            let Some(live) = self.live_command(ctx, id).await? else {
                return self.any_command(ctx, id).await;
            };
            Ok(match patience {
                None => live.ended().await,
                Some(patience) => match tokio::time::timeout(patience, live.ended()).await {
                    Ok(command) => command,
                    Err(_) => live.command(),
                },
            })
        })
        .await
    }

    /// Signals everything the command started: TERM, or KILL. Of a command that has ended it
    /// answers with how it ended; asking again is harmless, and a forced cancel may follow a
    /// graceful one.
    pub async fn cancel_command(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        mode: CancelMode,
    ) -> Result<Command> {
        let note = Note::new("command.cancel");
        note.about(id.as_str());
        note.fact("force", mode == CancelMode::Force);
        self.audited_behind(ctx, &note, async {
            let Some(live) = self.live_command(ctx, id).await? else {
                return self.any_command(ctx, id).await;
            };
            note.of(live.project());
            let command = live.note_cancel(mode);
            if command.state.is_terminal() {
                return Ok(command);
            }
            // Recorded first: an engine that starts after this one passes it on if need be.
            self.store().commands().set_cancel(id, mode).await?;
            match live.cancel(mode).await {
                Err(error) if error.code() != Code::CommandEnded => Err(error),
                _ => Ok(live.command()),
            }
        })
        .await
    }

    /// Writes all bytes to the command's stdin, waiting while its pipe is full. At most 8 MiB.
    pub async fn write_stdin(&self, ctx: &Ctx, id: &CommandId, bytes: &[u8]) -> Result<()> {
        if bytes.len() > STDIN_WRITE_MAX_BYTES {
            return Err(Error::new(
                Code::BodyTooLarge,
                "one write to stdin may hold at most 8 MiB; send more in several",
            ));
        }
        self.timed(ctx, "command.stdin", async {
            self.need_live_command(ctx, id)
                .await?
                .write_stdin(bytes)
                .await
        })
        .await
    }

    /// Lets the command see the end of its input. Repeating it changes nothing.
    pub async fn close_stdin(&self, ctx: &Ctx, id: &CommandId) -> Result<()> {
        self.timed(ctx, "command.stdin_close", async {
            self.need_live_command(ctx, id).await?.close_stdin().await
        })
        .await
    }

    /// Sets the size of the command's terminal and tells its foreground processes.
    pub async fn resize_command(&self, ctx: &Ctx, id: &CommandId, size: WindowSize) -> Result<()> {
        self.timed(ctx, "command.resize", async {
            self.need_live_command(ctx, id).await?.resize(size).await
        })
        .await
    }

    /// Signals the command's foreground process group, as a terminal would. Not a cancel.
    pub async fn signal_command(&self, ctx: &Ctx, id: &CommandId, signal: i32) -> Result<()> {
        if !(1..=SIGNAL_MAX).contains(&signal) {
            return Err(Error::invalid(
                "signal",
                "a signal is a number from 1 to 64",
            ));
        }
        let note = Note::new("command.signal");
        note.about(id.as_str());
        note.fact("signal", signal);
        self.audited_behind(ctx, &note, async {
            self.need_live_command(ctx, id).await?.signal(signal).await
        })
        .await
    }

    async fn need_live_command(&self, ctx: &Ctx, id: &CommandId) -> Result<Arc<LiveCommand>> {
        match self.live_command(ctx, id).await? {
            // One that has ended stays until its end is recorded.
            Some(live) if !live.has_ended() => Ok(live),
            Some(_) => Err(has_ended()),
            None => self.any_command(ctx, id).await.and(Err(has_ended())),
        }
    }
}
