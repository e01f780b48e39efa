//! What a new engine does first: finds what an earlier one left.
//!
//! ```text
//! record live, guest answers      -> adopted; its commands go on where they were
//! record live, nothing there      -> failed(lost); its commands are lost
//! record creating, never ran      -> booted again
//! alive, no record says live      -> destroyed
//! command unfinished, sandbox not live -> lost
//! ```
//! The End in a command's journal is written before anybody sees the end, so a command that has one
//! has ended like that, whatever its record says yet.
//!
//! Owners find out by themselves and in parallel; this only gives each sandbox its owner, and each
//! unfinished command its task, before the first use case.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pinfold_model::{
    Command, CommandId, CommandState, Error, Image, ImageId, Result, SandboxId, limits,
};
use pinfold_runtime::journal::OpenError;
use pinfold_store::Progress;

use crate::commands::start_spec;
use crate::engine::Shared;
use crate::errors::journal_error;
use crate::live::{self, Birth, LiveCommand, LiveSandbox};

pub(crate) async fn recover(shared: &Arc<Shared>) -> Result<()> {
    let live = shared.store.sandboxes().list_live().await?;
    let mut unfinished = by_sandbox(shared.store.commands().list_unfinished_all().await?);
    let mut images = HashMap::new();
    let known: HashSet<_> = live.iter().map(|sandbox| sandbox.id.clone()).collect();
    for sandbox in live {
        let image = image(shared, &mut images, &sandbox.spec.image).await?;
        let id = sandbox.id.clone();
        let nascent = live::adopt(shared, sandbox, image);
        for command in unfinished.remove(&id).unwrap_or_default() {
            match ending(shared, &command)? {
                Some(step) => record(shared, &command.id, &step).await?,
                None => go_on(shared, nascent.live(), command),
            }
        }
        nascent.begin(Birth::Recovered);
    }
    for (sandbox, commands) in unfinished {
        lose(shared, &sandbox, commands).await?;
    }
    let orphans = crate::reconcile::destroy_orphans(Arc::clone(shared), known);
    shared.tasks.spawn(orphans);
    Ok(())
}

fn by_sandbox(commands: Vec<Command>) -> HashMap<SandboxId, Vec<Command>> {
    let mut map: HashMap<_, Vec<_>> = HashMap::new();
    for command in commands {
        map.entry(command.sandbox.clone())
            .or_default()
            .push(command);
    }
    map
}

/// An image in use cannot be removed, so one that is missing was lost with its store.
async fn image(
    shared: &Shared,
    known: &mut HashMap<ImageId, Image>,
    id: &ImageId,
) -> Result<Image> {
    if let Some(image) = known.get(id) {
        return Ok(image.clone());
    }
    let found = shared.store.images().get(id).await?;
    let image = found.ok_or_else(|| {
        Error::internal(format!("the image {id} of a live sandbox is not recorded"))
    })?;
    known.insert(id.clone(), image.clone());
    Ok(image)
}

/// Gives the command a task that asks the guest about it.
fn go_on(shared: &Arc<Shared>, sandbox: &Arc<LiveSandbox>, command: Command) {
    let start = start_spec(sandbox, &command);
    let life = sandbox.view().life;
    let command = LiveCommand::new(command, Arc::clone(sandbox), life, start);
    let command = Arc::new(command);
    let in_use = sandbox.use_it();
    shared.registry.add_command(Arc::clone(&command));
    let task = live::supervise(
        Arc::clone(shared),
        command,
        Birth::Recovered,
        in_use,
        Box::new(|| {}),
    );
    sandbox.run(&shared.tasks, task);
}

/// Their sandbox has ended, and the engine before us died before it could say so.
async fn lose(shared: &Shared, sandbox: &SandboxId, commands: Vec<Command>) -> Result<()> {
    for command in commands {
        match ending(shared, &command)? {
            Some(step) => record(shared, &command.id, &step).await?,
            None => end_journal(shared, &command.id)?,
        }
    }
    let now = shared.clock.now();
    shared
        .store
        .commands()
        .lose_unfinished(sandbox, now)
        .await?;
    Ok(())
}

fn end_journal(shared: &Shared, id: &CommandId) -> Result<()> {
    match shared
        .journals
        .reopen(id, limits::JOURNAL_DEFAULT_CAP_BYTES)
    {
        Ok(mut writer) => {
            writer.end(CommandState::Lost).map_err(Error::internal)?;
        }
        Err(error) => tracing::warn!(command = %id, %error, "journal without end"),
    }
    Ok(())
}

/// How the command ended, if its journal says that it did.
fn ending(shared: &Shared, command: &Command) -> Result<Option<Progress>> {
    let journal = match shared.journals.get(&command.id) {
        Ok(journal) => journal,
        Err(OpenError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(journal_error(error)),
    };
    let status = journal.status();
    let Some(end) = status.end else {
        return Ok(None);
    };
    let page = journal
        .page(end.seq - 1, 1, None)
        .map_err(Error::internal)?;
    let at = page.records.first().map(|record| record.time);
    Ok(Some(Progress {
        last_seq: Some(end.seq),
        truncated: status.truncated,
        ended_at: at,
        ..Progress::new(end.state)
    }))
}

async fn record(shared: &Shared, id: &CommandId, step: &Progress) -> Result<()> {
    shared.store.commands().advance(id, step).await?;
    Ok(())
}
