//! Watching a sandbox change.

use pinfold_model::{Sandbox, SandboxState};
use tokio::sync::watch;

use crate::live::View;

/// Yields the sandbox as it is, then again after each change, until it has ended. Changes that
/// follow each other faster than they are read are seen as one.
#[derive(Debug)]
pub struct SandboxWatch(Source);

#[derive(Debug)]
enum Source {
    Live(watch::Receiver<View>),
    Ended(Option<Box<Sandbox>>),
}

impl SandboxWatch {
    pub(crate) fn live(mut view: watch::Receiver<View>) -> Self {
        view.mark_changed();
        Self(Source::Live(view))
    }

    pub(crate) fn ended(sandbox: Sandbox) -> Self {
        Self(Source::Ended(Some(Box::new(sandbox))))
    }

    /// `None` after the state in which it ended (`destroyed` or `failed`) has been seen.
    pub async fn next(&mut self) -> Option<Sandbox> {
        match &mut self.0 {
            Source::Ended(last) => last.take().map(|sandbox| *sandbox),
            Source::Live(view) => {
                if view.changed().await.is_err() {
                    self.0 = Source::Ended(None);
                    return None;
                }
                let sandbox = view.borrow_and_update().sandbox.as_ref().clone();
                if matches!(
                    sandbox.state,
                    SandboxState::Destroyed | SandboxState::Failed
                ) {
                    self.0 = Source::Ended(None);
                }
                Some(sandbox)
            }
        }
    }
}
