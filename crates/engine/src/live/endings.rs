//! Records of how commands ended, written behind their publication.

use std::time::Duration;

use pinfold_model::CommandId;
use pinfold_store::{Progress, Store};

use crate::behind::Behind;

/// How a command ended.
pub(crate) type Ending = (CommandId, Progress);

/// Between two attempts at a batch.
const RETRY: Duration = Duration::from_millis(500);

/// Tries for as long as it takes: the guest is not told to forget an end that is not recorded, and
/// the journal has it, so nothing is lost meanwhile.
pub(crate) fn endings(store: Store) -> Behind<Ending> {
    Behind::start(move |batch: Vec<Ending>| {
        let store = store.clone();
        async move {
            while let Err(error) = store.commands().advance_all(&batch).await {
                tracing::error!(%error, commands = batch.len(), "ends not recorded, trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    })
}
