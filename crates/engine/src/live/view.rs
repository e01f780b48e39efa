//! What the owner of a sandbox publishes about it.

use std::sync::Arc;

use pinfold_model::{Sandbox, SandboxState};
use pinfold_runtime::guest::Guest;

/// A sandbox at one instant.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) link: Link,
    /// Counts the lives of the sandbox's processes: each boot begins another. A command belongs to
    /// one life.
    pub(crate) life: u32,
}

/// How the sandbox's guest can be reached.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// Not now: it boots, or is frozen, or its link broke and is being restored. Wait.
    Down,
    Up(Guest),
    /// It is being ended: what runs may still report, nothing new begins.
    Closing,
    /// Every process of this life is gone.
    Gone,
}

impl View {
    /// The guest for new work.
    pub(crate) fn guest(&self) -> Option<&Guest> {
        match &self.link {
            Link::Up(guest) => Some(guest),
            Link::Down | Link::Closing | Link::Gone => None,
        }
    }

    /// Whether it has a guest, or will have one without being asked.
    pub(crate) fn may_have_guest(&self) -> bool {
        let state = self.sandbox.state;
        matches!(state, SandboxState::Creating | SandboxState::Running)
    }

    /// Whether every process of `life` is gone.
    pub(crate) fn is_over(&self, life: u32) -> bool {
        self.life != life || matches!(self.link, Link::Gone)
    }
}
