//! Removes journals whose sandbox ended longer ago than the operator keeps them.

use std::collections::HashMap;

use pinfold_model::{CommandId, Result, SandboxId, Time};

use crate::clock::later;
use crate::engine::Shared;

/// Digits of an id's UUID (version 7) that hold its time in milliseconds.
const TIME_DIGITS: usize = 12;

pub(super) async fn retire(shared: &Shared) -> Result<()> {
    let retention = shared.config.journal_retention;
    let now = shared.clock.now();
    let store = shared.journals.clone();
    let listed = tokio::task::spawn_blocking(move || store.list()).await;
    let ids = listed.map_err(pinfold_model::Error::internal)?;
    let ids = ids.map_err(pinfold_model::Error::internal)?;
    let mut ended = HashMap::new();
    for id in ids {
        // Most journals are too young, which their names tell without a look at the store.
        if made_at(&id).is_some_and(|at| later(at, retention) > now) {
            continue;
        }
        if is_over(shared, &id, &mut ended, now).await?
            && let Err(error) = shared.journals.remove(&id)
        {
            tracing::warn!(command = %id, %error, "journal not removed");
        }
    }
    Ok(())
}

/// Whether nobody can ask for this journal any more. `ended` remembers sandboxes of this turn.
async fn is_over(
    shared: &Shared,
    id: &CommandId,
    ended: &mut HashMap<SandboxId, Option<Time>>,
    now: Time,
) -> Result<bool> {
    if shared.registry.command(id).is_some() {
        return Ok(false);
    }
    let Some(command) = shared.store.commands().get(id).await? else {
        return Ok(true);
    };
    let at = match ended.get(&command.sandbox) {
        Some(at) => *at,
        None => {
            let sandbox = shared.store.sandboxes().get(&command.sandbox).await?;
            let at = sandbox.and_then(|sandbox| sandbox.ended_at);
            ended.insert(command.sandbox, at);
            at
        }
    };
    Ok(at.is_some_and(|at| later(at, shared.config.journal_retention) <= now))
}

/// When the id was made, as it says itself.
fn made_at(id: &CommandId) -> Option<Time> {
    let (_, digits) = id.as_str().split_once('_')?;
    let millis = i64::from_str_radix(digits.get(..TIME_DIGITS)?, 16).ok()?;
    Time::from_millisecond(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_it_was_made() {
        let before = Time::now().as_millisecond();
        let at = made_at(&CommandId::generate()).expect("version 7");
        assert!((before..=Time::now().as_millisecond()).contains(&at.as_millisecond()));
        assert_eq!(made_at(&"cmd_x".parse().expect("an id")), None);
    }
}
