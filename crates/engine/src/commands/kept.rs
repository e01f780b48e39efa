//! Finding a command's journal.

use std::sync::Arc;

use pinfold_model::{Command, CommandId, Result};
use pinfold_runtime::journal::{Journal, Journals, OpenError};
use pinfold_store::Store;

use crate::errors::journal_error;

/// What is kept of what a command wrote; `None`: nothing (any more). Of one that wrote nothing its
/// record tells the rest once nothing else does.
pub(crate) fn kept_journal(journals: &Journals, command: &Command) -> Result<Option<Arc<Journal>>> {
    match journals.get(&command.id) {
        Ok(journal) => Ok(Some(journal)),
        Err(OpenError::NotFound(id)) => Ok(match command.ended_at {
            // The last record of a command that has ended is its End.
            Some(at) if command.state.is_terminal() && command.last_seq == Some(1) => {
                Some(journals.silent(&id, at, command.state))
            }
            _ => None,
        }),
        Err(error) => Err(journal_error(error)),
    }
}

/// The same of a command that is not at hand.
pub(crate) async fn find_journal(
    journals: &Journals,
    store: &Store,
    id: &CommandId,
) -> Result<Option<Arc<Journal>>> {
    match journals.get(id) {
        Ok(journal) => Ok(Some(journal)),
        Err(OpenError::NotFound(_)) => match store.commands().get(id).await? {
            Some(command) => kept_journal(journals, &command),
            None => Ok(None),
        },
        Err(error) => Err(journal_error(error)),
    }
}
