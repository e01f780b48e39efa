//! The right to work in a running sandbox.

use std::sync::Arc;

use pinfold_model::Sandbox;
use pinfold_runtime::guest::Guest;

use super::activity::Use;
use super::{LiveSandbox, View};

/// A running sandbox's guest. While one is held the sandbox is in use.
#[derive(Debug)]
pub(crate) struct Lease {
    live: Arc<LiveSandbox>,
    sandbox: Arc<Sandbox>,
    guest: Guest,
    life: u32,
    in_use: Use,
}

impl Lease {
    pub(super) fn new(live: Arc<LiveSandbox>, guest: Guest, view: &View, in_use: Use) -> Self {
        Self {
            live,
            sandbox: Arc::clone(&view.sandbox),
            guest,
            life: view.life,
            in_use,
        }
    }

    pub(crate) fn live(&self) -> &Arc<LiveSandbox> {
        &self.live
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub(crate) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Keeps the sandbox in use without the right to its guest.
    pub(crate) fn into_use(self) -> Use {
        self.in_use
    }

    pub(crate) fn life(&self) -> u32 {
        self.life
    }
}

impl std::fmt::Debug for LiveSandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LiveSandbox").field(self.id()).finish()
    }
}
