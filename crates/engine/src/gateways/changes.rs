//! Who has to hear that gateways or secrets of a project have changed: calls that are under way with them.

use std::hash::{BuildHasher, RandomState};

use pinfold_model::ProjectId;
use tokio::sync::watch;

/// Projects share these: one that hears of another's changes looks once more and goes on.
const CHANNELS: usize = 256;

/// Channels for the changes of all projects.
pub(crate) struct Changes {
    channels: Vec<watch::Sender<()>>,
    hashes: RandomState,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            channels: (0..CHANNELS).map(|_| watch::Sender::default()).collect(),
            hashes: RandomState::new(),
        }
    }
}

impl Changes {
    /// Told of every change from now on. To be asked for before what may change is looked up.
    pub(crate) fn of(&self, project: &ProjectId) -> watch::Receiver<()> {
        self.channel(project).subscribe()
    }

    /// To be called when the change is in force.
    pub(crate) fn tell(&self, project: &ProjectId) {
        self.channel(project).send_replace(());
    }

    fn channel(&self, project: &ProjectId) -> &watch::Sender<()> {
        let hash = self.hashes.hash_one(project.as_str());
        let place = usize::try_from(hash % CHANNELS as u64).expect("fewer than a machine counts");
        &self.channels[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_before_a_change_hears_of_it_and_who_asked_behind_it_does_not() {
        let (changes, project) = (Changes::default(), ProjectId::generate());
        let before = changes.of(&project);
        changes.tell(&project);
        assert!(before.has_changed().expect("it lives"));
        assert!(!changes.of(&project).has_changed().expect("it lives"));
    }
}
