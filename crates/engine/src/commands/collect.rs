//! Keeping files of a sandbox behind a command that has ended.
//!
//! Each file is copied with an idempotency key of the command's own, so that whoever repeats the
//! request, also after a crash in the middle, comes to the same objects (for as long as keys are kept,
//! a day). What a crash cut off, or what could not be had for a while, is taken up by whoever looks at
//! the command next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pinfold_model::collect::{
    Collect, CollectFailure, CollectFailureKind, CollectFile, CollectOn, CollectReport,
};
use pinfold_model::{
    Code, Command, CommandId, CommandState, Ctx, Error, ErrorKind, Principal, Result, Scopes,
};

use crate::files::FileAt;
use crate::{CreateObject, Engine};

/// Whose files are being collected: by one at a time.
#[derive(Debug, Default)]
pub(crate) struct Collecting {
    turns: Mutex<HashMap<CommandId, Weak<tokio::sync::Mutex<()>>>>,
}

impl Collecting {
    fn turn(&self, id: &CommandId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = turns.entry(id.clone()).or_default();
        turn.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *turn = Arc::downgrade(&new);
            new
        })
    }

    fn is_going(&self, id: &CommandId) -> bool {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.get(id).is_some_and(|turn| turn.strong_count() > 0)
    }
}

impl Engine {
    /// Takes up what nobody does any more: of a command that has ended and has no report.
    pub(super) fn take_up_collecting(&self, ctx: &Ctx, command: &Command) {
        let is_wanted = command.spec.collect.is_some() && command.state.is_terminal();
        if !is_wanted || self.inner.collecting.is_going(&command.id) {
            return;
        }
        let (engine, ctx, id) = (self.clone(), ctx.clone(), command.id.clone());
        self.inner.tasks.spawn(async move {
            if let Err(error) = engine.collected_behind(&ctx, &id).await {
                tracing::warn!(command = %id, %error, "its files were not collected");
            }
        });
    }

    /// Waits for the command's end and collects what it asked for. Goes on without the one who
    /// asked; ends with this engine.
    pub(super) async fn collected_behind(&self, ctx: &Ctx, id: &CommandId) -> Result<()> {
        let (engine, ctx, id) = (self.clone(), ctx.clone(), id.clone());
        let ending = self.inner.ending.clone();
        let work = async move {
            tokio::select! {
                biased;
                done = engine.collect(&ctx, &id) => done,
                () = ending.cancelled() => Err(Error::new(
                    Code::Unavailable,
                    "the server is shutting down; repeat the request with its idempotency key",
                )),
            }
        };
        self.detached(work).await
    }

    async fn collect(&self, ctx: &Ctx, id: &CommandId) -> Result<()> {
        let turn = self.inner.collecting.turn(id);
        let command = self.wait_command(ctx, id, None).await?;
        let _turn = turn.lock().await;
        let Some(wanted) = &command.spec.collect else {
            return Ok(());
        };
        if self.store().commands().collect(id).await?.is_some() {
            return Ok(());
        }
        // Whoever ran it or looks at it now: the keys of the copies are the command's own, and what is
        // kept is its project's.
        let own = Ctx {
            principal: Principal {
                project: command.project.clone(),
                key: None,
                scopes: Scopes::All,
                ..ctx.principal.clone()
            },
            ..ctx.clone()
        };
        match self.collected_files(&own, &command, wanted).await {
            // The reference to the command needs its record, which is written before it starts.
            Some(report) => Ok(self.store().commands().put_collect(id, &report).await?),
            None => Ok(()),
        }
    }

    /// `None` where it could not be finished now and may be later.
    async fn collected_files(
        &self,
        ctx: &Ctx,
        command: &Command,
        wanted: &Collect,
    ) -> Option<CollectReport> {
        if wanted.on == CollectOn::Success && !succeeded(command.state) {
            return Some(CollectReport::Skipped);
        }
        let (mut stored, mut failed) = (0, Vec::new());
        for (number, file) in wanted.files.iter().enumerate() {
            let key = format!("collect-{}-{number}", command.id);
            let at = FileAt::of(&file.path, wanted.within.as_deref());
            let object = CreateObject {
                name: file.name.clone(),
                ..CreateObject::default()
            };
            let sandbox = &command.sandbox;
            match self
                .create_object_from_file(ctx, sandbox, at, object, Some(&key))
                .await
            {
                Ok(_) => stored += 1,
                Err(error) if may_pass(&error) => {
                    tracing::debug!(command = %command.id, %error, "not collected yet");
                    return None;
                }
                Err(error) => failed.push(failure(file, &error)),
            }
        }
        Some(CollectReport::Done { stored, failed })
    }
}

/// What may be otherwise at the next look; nothing is reported then.
fn may_pass(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable || error.code() == Code::SandboxNotRunning
}

const fn succeeded(state: CommandState) -> bool {
    matches!(state, CommandState::Exited(status) if status.success())
}

fn failure(file: &CollectFile, error: &Error) -> CollectFailure {
    CollectFailure {
        path: file.path.clone(),
        kind: match error.code() {
            Code::FileNotFound => CollectFailureKind::NotFound,
            Code::PathOutside => CollectFailureKind::Outside,
            _ => CollectFailureKind::Failed,
        },
        message: error.message().to_owned(),
    }
}
