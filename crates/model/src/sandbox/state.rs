//! Where a sandbox is in its life, and which changes are legal.

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

/// Where a sandbox is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxState {
    Creating,
    Running,
    /// Frozen: memory and processes kept, no CPU.
    Suspended,
    /// Disk kept, processes gone.
    Stopped,
    Failed,
    Destroyed,
}

impl SandboxState {
    pub const ALL: [Self; 6] = [
        Self::Creating,
        Self::Running,
        Self::Suspended,
        Self::Stopped,
        Self::Failed,
        Self::Destroyed,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Destroyed => "destroyed",
        }
    }

    /// Holds a place in the project's quota of live sandboxes.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::Creating | Self::Running | Self::Suspended | Self::Stopped
        )
    }

    /// The state after `event`, or `None` where the change is not legal. Repeating the event that
    /// led to a state leaves it as it is, so every transition can be retried.
    #[must_use]
    pub const fn after(self, event: SandboxEvent) -> Option<Self> {
        use SandboxEvent as E;
        match (self, event) {
            (_, E::Destroy) => Some(Self::Destroyed),
            (Self::Creating | Self::Running | Self::Stopped, E::Booted) => Some(Self::Running),
            (Self::Running | Self::Suspended, E::Freeze) => Some(Self::Suspended),
            (Self::Suspended | Self::Running, E::Thaw) => Some(Self::Running),
            (Self::Running | Self::Suspended | Self::Stopped, E::Stop) => Some(Self::Stopped),
            (Self::Creating | Self::Running | Self::Suspended | Self::Failed, E::Fail) => {
                Some(Self::Failed)
            }
            _ => None,
        }
    }

    /// An error that tells the caller why a running sandbox is needed and this one is not.
    pub fn require_running(self) -> Result<()> {
        let (code, why) = match self {
            Self::Running => return Ok(()),
            Self::Destroyed => (Code::SandboxGone, "the sandbox has been destroyed"),
            Self::Failed => (
                Code::SandboxFailed,
                "the sandbox has failed; see its failure reason, destroy it and create another",
            ),
            Self::Suspended => (
                Code::SandboxNotRunning,
                "the sandbox is suspended; resume it first",
            ),
            Self::Stopped => (
                Code::SandboxNotRunning,
                "the sandbox is stopped; start it first",
            ),
            Self::Creating => (
                Code::SandboxNotRunning,
                "the sandbox is still being created",
            ),
        };
        Err(Error::new(code, why).detail("state", self.as_str()))
    }
}

impl std::str::FromStr for SandboxState {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Error::invalid("state", format!("unknown sandbox state {text:?}")))
    }
}

/// What can happen to a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxEvent {
    /// The guest answered.
    Booted,
    Freeze,
    Thaw,
    Stop,
    Fail,
    Destroy,
}

impl SandboxEvent {
    pub const ALL: [Self; 6] = [
        Self::Booted,
        Self::Freeze,
        Self::Thaw,
        Self::Stop,
        Self::Fail,
        Self::Destroy,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event() -> impl Strategy<Value = SandboxEvent> {
        proptest::sample::select(SandboxEvent::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn destroyed_is_final_and_reachable_from_anywhere(events in prop::collection::vec(event(), 0..20)) {
            let mut state = SandboxState::Creating;
            let mut destroyed = false;
            for event in events {
                if let Some(next) = state.after(event) {
                    prop_assert!(!destroyed || next == SandboxState::Destroyed);
                    state = next;
                }
                destroyed |= event == SandboxEvent::Destroy;
            }
            prop_assert_eq!(state.after(SandboxEvent::Destroy), Some(SandboxState::Destroyed));
        }

        #[test]
        fn every_legal_transition_can_be_repeated(event in event(), from in proptest::sample::select(SandboxState::ALL.to_vec())) {
            if let Some(next) = from.after(event) {
                prop_assert_eq!(next.after(event), Some(next));
            }
        }
    }

    #[test]
    fn states_survive_their_text_form() {
        for state in SandboxState::ALL {
            assert_eq!(
                state.as_str().parse::<SandboxState>().expect("own text"),
                state
            );
        }
    }
}
