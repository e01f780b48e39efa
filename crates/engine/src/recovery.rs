//! What a new engine does first: finds what an earlier one left.
//!
//! ```text
//! record live, guest answers      -> adopted; its commands go on where they were
//! record live, nothing there      -> failed(lost); its commands are lost
//! record creating, never ran      -> booted again
//! alive, no record says live      -> destroyed
//! command unfinished, sandbox not live -> killed where that was destroyed, else lost
//! ```
//! The End in a command's journal is written before anybody sees the end, so a command that has one
//! has ended like that, whatever its record says yet.
//!
//! Owners find out by themselves and in parallel; this only gives each sandbox its owner, and each
//! unfinished command its task, before the first use case.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pinfold_model::command::{Attendance, CancelMode};
use pinfold_model::sandbox::EndReason;
use pinfold_model::{
    Command, CommandId, Error, Image, ImageId, Result, Sandbox, SandboxId, SandboxState, SecretEnv,
    limits,
};
use pinfold_runtime::journal::OpenError;
use pinfold_store::{Progress, Transition, Unfinished};

use crate::commands::start_spec;
use crate::engine::Shared;
use crate::gateways::gateway_env;
use crate::live::{self, Birth, Early, LiveCommand, LiveSandbox};
use crate::secrets::secret_env;

pub(crate) async fn recover(shared: &Arc<Shared>) -> Result<()> {
    let live = shared.store.sandboxes().list_live().await?;
    let unfinished = shared.store.commands().list_unfinished_all().await?;
    forget_inputs(shared, &unfinished)?;
    let mut unfinished = by_sandbox(unfinished);
    let mut images = HashMap::new();
    let known: HashSet<_> = live.iter().map(|sandbox| sandbox.id.clone()).collect();
    // All can be found before any of them begins: a fork asks for its original.
    let mut found = Vec::new();
    for sandbox in live {
        let id = sandbox.id.clone();
        let Some(image) = image(shared, &mut images, &sandbox.spec.image).await? else {
            abandon(shared, &sandbox, unfinished.remove(&id).unwrap_or_default()).await?;
            continue;
        };
        let nascent = live::adopt(shared, sandbox, image);
        take_secrets(shared, nascent.live()).await;
        for command in unfinished.remove(&id).unwrap_or_default() {
            match ending(shared, &command) {
                Some(step) => record(shared, &command.id, &step).await?,
                None => go_on(shared, nascent.live(), command),
            }
        }
        found.push(nascent);
    }
    for nascent in found {
        nascent.begin(Birth::Recovered, None);
    }
    for (sandbox, commands) in unfinished {
        let recorded = shared.store.sandboxes().get(&sandbox).await?;
        let destroyed = recorded.is_some_and(|known| known.state == SandboxState::Destroyed);
        let how = if destroyed {
            Unfinished::Killed
        } else {
            Unfinished::Lost
        };
        end(shared, &sandbox, commands, how).await?;
    }
    for run in shared.store.pipeline_runs().list_unfinished().await? {
        crate::pipelines::go_on(shared, run);
    }
    let orphans = crate::reconcile::destroy_orphans(Arc::clone(shared), known);
    shared.tasks.spawn(orphans);
    Ok(())
}

/// What commands have in their environment; as it is now, since the values were recorded nowhere.
async fn take_secrets(shared: &Shared, live: &LiveSandbox) {
    let sandbox = live.view().sandbox;
    let names = &sandbox.spec.more.secrets;
    let mut env = gateway_env(shared, &sandbox);
    if names.is_empty() && env.is_empty() {
        return;
    }
    match secret_env(shared, &sandbox.project, names).await {
        Ok(values) => {
            // Where both have one name, that of a gateway holds.
            env = values.into_iter().chain(env).collect();
        }
        Err(error) => {
            tracing::warn!(sandbox = %live.id(), %error, "its commands have no secrets from here on");
        }
    }
    live.set_secret_env(SecretEnv::new(env));
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

async fn image(
    shared: &Shared,
    known: &mut HashMap<ImageId, Image>,
    id: &ImageId,
) -> Result<Option<Image>> {
    if let Some(image) = known.get(id) {
        return Ok(Some(image.clone()));
    }
    let found = shared.store.images().get(id).await?;
    if let Some(image) = &found {
        known.insert(id.clone(), image.clone());
    }
    Ok(found)
}

/// An image in use is kept, also one that was withdrawn, so one that is missing was lost with a part of the store:
/// nobody could say what its sandbox is.
async fn abandon(shared: &Shared, sandbox: &Sandbox, commands: Vec<Command>) -> Result<()> {
    let id = &sandbox.id;
    tracing::error!(sandbox = %id, "the image of a live sandbox is not recorded");
    let change = Transition {
        reason: Some(EndReason::Lost),
        failure: Some("its image is missing".to_owned()),
        spec: sandbox.spec.ended(),
        ..Transition::new(SandboxState::Failed, shared.clock.now())
    };
    let sandboxes = shared.store.sandboxes();
    sandboxes
        .transition(id, &SandboxState::ALL, &change)
        .await?;
    if let Err(error) = shared.driver.destroy(id).await {
        tracing::error!(sandbox = %id, %error, "remains of a failed sandbox");
    }
    end(shared, id, commands, Unfinished::Lost).await
}

/// Gives the command a task that asks the guest about it.
fn go_on(shared: &Arc<Shared>, sandbox: &Arc<LiveSandbox>, command: Command) {
    let start = start_spec(sandbox, &command);
    let life = sandbox.view().life;
    let command = LiveCommand::new(command, Arc::clone(sandbox), life, start);
    let command = Arc::new(command);
    if command.command().spec.attendance == Attendance::Attended {
        // Whoever waited for it waited for the engine before us.
        command.note_cancel(CancelMode::Force);
    }
    let in_use = command.keeps_in_use().then(|| sandbox.use_it()).flatten();
    shared.registry.add_command(Arc::clone(&command));
    let task = live::supervise(
        Arc::clone(shared),
        command,
        Birth::Recovered,
        Early::default(),
        in_use,
        Box::new(|| {}),
    );
    sandbox.run(&shared.tasks, task);
}

/// Their sandbox has ended, and the engine before us died before it could say so.
async fn end(
    shared: &Shared,
    sandbox: &SandboxId,
    commands: Vec<Command>,
    how: Unfinished,
) -> Result<()> {
    for command in &commands {
        match ending(shared, command) {
            Some(step) => record(shared, &command.id, &step).await?,
            None => {
                if let Some(step) = end_journal(shared, command, how)? {
                    record(shared, &command.id, &step).await?;
                }
            }
        }
    }
    let now = shared.clock.now();
    shared
        .store
        .commands()
        .end_unfinished(sandbox, how, now)
        .await?;
    for command in commands {
        live::drop_input(shared, &command.id);
    }
    Ok(())
}

/// A crash between recording an end and dropping the input, or between keeping an input and
/// recording its command, leaves what nobody will read. Nothing is on its way to a record yet.
fn forget_inputs(shared: &Shared, unfinished: &[Command]) -> Result<()> {
    let read: HashSet<&CommandId> = unfinished.iter().map(|command| &command.id).collect();
    for id in shared.journals.list_inputs().map_err(Error::internal)? {
        if !read.contains(&id) {
            live::drop_input(shared, &id);
        }
    }
    Ok(())
}

/// Appends End; what is to be recorded then.
fn end_journal(shared: &Shared, command: &Command, how: Unfinished) -> Result<Option<Progress>> {
    let (id, cap) = (&command.id, limits::JOURNAL_DEFAULT_CAP_BYTES);
    let mut writer = match shared.journals.reopen(id, cap) {
        Ok(writer) => writer,
        Err(error) => {
            tracing::warn!(command = %id, %error, "journal without end");
            return Ok(None);
        }
    };
    writer.end(how.state()).map_err(Error::internal)?;
    let status = *writer.status();
    Ok(status.end.map(|end| Progress {
        started_at: command.started_at,
        ended_at: Some(end.time),
        last_seq: Some(end.seq),
        truncated: status.truncated,
        ..Progress::new(end.state)
    }))
}

/// How the command ended, if its journal says that it did. One that cannot be read says nothing.
fn ending(shared: &Shared, command: &Command) -> Option<Progress> {
    let journal = match shared.journals.get(&command.id) {
        Ok(journal) => journal,
        Err(OpenError::NotFound(_)) => return None,
        Err(error) => {
            tracing::error!(command = %command.id, %error, "journal not readable");
            return None;
        }
    };
    let status = journal.status();
    let end = status.end?;
    Some(Progress {
        // When it began was not recorded if that was less than a second before the end.
        started_at: command.started_at.or(Some(command.created_at)),
        ended_at: Some(end.time),
        last_seq: Some(end.seq),
        truncated: status.truncated,
        ..Progress::new(end.state)
    })
}

async fn record(shared: &Shared, id: &CommandId, step: &Progress) -> Result<()> {
    shared.store.commands().advance(id, step).await?;
    live::drop_input(shared, id);
    Ok(())
}
