//! A command and the end of what it wrote.

use pinfold_model::{Command, CommandId, Ctx, Error, Result};

use super::kept_journal;
use super::run::may_have_written;
use crate::Engine;

/// A command as it is now. Of one that runs still, or whose output is no longer kept, both streams
/// are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputTail {
    pub command: Command,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// There is more before what is here, or there was: what is no longer kept.
    pub stdout_cut: bool,
    pub stderr_cut: bool,
}

impl Engine {
    /// The last `max_bytes` of each stream of a command that has ended.
    pub async fn command_tail(
        &self,
        ctx: &Ctx,
        id: &CommandId,
        max_bytes: usize,
    ) -> Result<OutputTail> {
        self.timed(ctx, "command.tail", async {
            let command = self.any_command(ctx, id).await?;
            let nothing = |command| OutputTail {
                command,
                stdout: Vec::new(),
                stderr: Vec::new(),
                stdout_cut: false,
                stderr_cut: false,
            };
            if !command.state.is_terminal() {
                return Ok(nothing(command));
            }
            let Some(journal) = kept_journal(&self.inner.parts.journals, &command)? else {
                let lost = may_have_written(&command);
                return Ok(OutputTail {
                    stdout_cut: lost,
                    stderr_cut: lost,
                    ..nothing(command)
                });
            };
            let last = command.last_seq.unwrap_or(journal.status().last_seq);
            // One byte more tells whether there are more.
            let read = move || journal.tails(last, max_bytes as u64 + 1);
            let tails = tokio::task::spawn_blocking(read).await;
            let tails = tails.map_err(Error::internal)?.map_err(Error::internal)?;
            let (stdout, stdout_cut) = last_bytes(tails.stdout, max_bytes);
            let (stderr, stderr_cut) = last_bytes(tails.stderr, max_bytes);
            Ok(OutputTail {
                command,
                stdout,
                stderr,
                stdout_cut,
                stderr_cut,
            })
        })
        .await
    }
}

fn last_bytes(mut bytes: Vec<u8>, max: usize) -> (Vec<u8>, bool) {
    let over = bytes.len().saturating_sub(max);
    bytes.drain(..over);
    (bytes, over > 0)
}
