//! Keeping files of a sandbox behind a command that has ended.
//!
//! Each file is copied with an idempotency key of the command's own, so that whoever repeats the
//! request, also after a crash in the middle, comes to the same objects.

use pinfold_model::collect::{
    Collect, CollectFailure, CollectFailureKind, CollectFile, CollectOn, CollectReport,
};
use pinfold_model::{Code, Command, CommandId, CommandState, Ctx, Error, Result};

use crate::files::FileAt;
use crate::{CreateObject, Engine};

impl Engine {
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
        let command = self.wait_command(ctx, id, None).await?;
        let Some(wanted) = &command.spec.collect else {
            return Ok(());
        };
        if self.store().commands().collect(id).await?.is_some() {
            return Ok(());
        }
        let report = self.collected_files(ctx, &command, wanted).await;
        // The reference to the command needs its record, which is written before it starts.
        Ok(self.store().commands().put_collect(id, &report).await?)
    }

    async fn collected_files(
        &self,
        ctx: &Ctx,
        command: &Command,
        wanted: &Collect,
    ) -> CollectReport {
        if wanted.on == CollectOn::Success && !succeeded(command.state) {
            return CollectReport::Skipped;
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
                Err(error) => failed.push(failure(file, &error)),
            }
        }
        CollectReport::Done { stored, failed }
    }
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
