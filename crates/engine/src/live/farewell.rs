//! Running what a sandbox wants to have run before it is suspended or stopped.
//!
//! The owner has recorded that, so a server that dies amid leaves the rest to the next one, which has the
//! same deadline. Each command has an idempotency key of this farewell and its place, and runs once.
//! Whatever goes wrong here is logged and delays nothing beyond the deadline.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::command::CancelMode;
use pinfold_model::farewell::{Farewell, UnderWay};
use pinfold_model::{Code, CommandId, CommandSpec, Error, Program, Purpose, Result};
use pinfold_store::Idempotency;
use tokio::time::timeout;

use super::supervise::over;
use super::{Change, LiveCommand, LiveSandbox};
use crate::clock::until;
use crate::commands::{new_command, start};
use crate::engine::{Shared, fingerprint};

const OPERATION: &str = "sandbox.farewell";
/// Behind the deadline, for a guest that is slow to answer and for processes that are killed.
const SLACK: Duration = Duration::from_secs(5);

/// Whether there is time for another one.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Goes,
    TooLate,
}

/// Runs what is left and tells the owner, who has been waiting to suspend or stop it.
pub(super) async fn run(shared: Arc<Shared>, live: Arc<LiveSandbox>, life: u32) {
    let (ending, mut view) = (shared.ending.clone(), live.watch());
    let said = async {
        commands(&shared, &live).await;
        live.change(Change::SaidFarewell(life)).await
    };
    tokio::select! {
        biased;
        () = ending.cancelled() => {}
        () = over(&mut view, life) => {}
        _ = said => {}
    }
}

async fn commands(shared: &Arc<Shared>, live: &Arc<LiveSandbox>) {
    let farewell = live.view().sandbox.spec.more.farewell.clone();
    let Some(under_way) = &farewell.under_way else {
        return;
    };
    for (place, program) in farewell.commands.iter().enumerate() {
        let order = order(live, &farewell, place, program);
        match one(shared, live, order, under_way).await {
            Ok(Next::Goes) => {}
            Ok(Next::TooLate) => {
                tracing::info!(sandbox = %live.id(), place, "its farewell took too long");
                return;
            }
            Err(error) => {
                tracing::warn!(sandbox = %live.id(), place, %error, "left out of its farewell");
            }
        }
    }
}

fn order(
    live: &LiveSandbox,
    farewell: &Farewell,
    place: usize,
    program: &Program,
) -> (CommandSpec, Idempotency) {
    let spec = CommandSpec {
        // Also where no server is there to end it.
        timeout: Some(farewell.patience),
        ..CommandSpec::new(program.clone())
    };
    let (key, hash) = (format!("{}-{place}", farewell.times), fingerprint(&spec));
    let claim = Idempotency::new(live.project(), None, OPERATION, key, hash);
    (spec, claim.in_sandbox(live.id()))
}

/// Runs one to its end, once; what an earlier engine has begun is found, also where it is too late.
async fn one(
    shared: &Arc<Shared>,
    live: &Arc<LiveSandbox>,
    (spec, claim): (CommandSpec, Idempotency),
    under_way: &UnderWay,
) -> Result<Next> {
    let now = shared.clock.now();
    let left = until(now, under_way.until);
    if left.is_zero()
        && shared
            .store
            .idempotency()
            .find(&claim, now)
            .await?
            .is_none()
    {
        return Ok(Next::TooLate);
    }
    let started = timeout(left + SLACK, started(shared, live, spec, claim)).await;
    let Some(command) = started.map_err(|_| unanswered())?? else {
        return Ok(Next::Goes);
    };
    tokio::select! {
        biased;
        _ = command.ended() => Ok(Next::Goes),
        () = shared.clock.sleep_until(under_way.until) => {
            end(shared, &command).await;
            Ok(Next::TooLate)
        }
    }
}

/// `None` where it has ended already.
async fn started(
    shared: &Arc<Shared>,
    live: &Arc<LiveSandbox>,
    spec: CommandSpec,
    claim: Idempotency,
) -> Result<Option<Arc<LiveCommand>>> {
    let lease = live.last_lease(shared.config.attach_timeout).await?;
    let new = new_command(shared, live, CommandId::generate(), spec, Purpose::Command);
    let started = start(shared, lease, new, Some(claim)).answer().await?;
    Ok(shared.registry.command(&started.value.id))
}

/// With everything that it started: of a sandbox that is suspended it would go on behind that.
async fn end(shared: &Shared, command: &LiveCommand) {
    command.note_cancel(CancelMode::Force);
    let commands = shared.store.commands();
    if let Err(error) = commands.set_cancel(command.id(), CancelMode::Force).await {
        tracing::warn!(command = %command.id(), %error, "cancel not recorded");
    }
    let ended = async {
        // Where this fails, its own task tries again with the next link.
        let _ = command.cancel(CancelMode::Force).await;
        command.ended().await
    };
    if timeout(SLACK, ended).await.is_err() {
        tracing::warn!(command = %command.id(), "it did not end with its farewell");
    }
}

fn unanswered() -> Error {
    Error::new(Code::GuestUnavailable, "the guest did not answer in time")
}
