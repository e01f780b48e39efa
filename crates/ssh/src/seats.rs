//! Who is in: so many of one sandbox, of one project and of all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use pinfold_model::{ProjectId, SandboxId, SshKey};

use crate::limits::Limits;

#[derive(Clone)]
pub(crate) struct Seats(Arc<Inner>);

struct Inner {
    of_all: usize,
    of_project: usize,
    of_sandbox: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_project: HashMap<ProjectId, usize>,
    by_sandbox: HashMap<SandboxId, usize>,
}

/// A connection's place, until it is dropped.
pub(crate) struct Seat {
    seats: Seats,
    project: ProjectId,
    sandbox: SandboxId,
}

impl Seats {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            of_all: limits.connections,
            of_project: limits.per_project,
            of_sandbox: limits.per_sandbox,
            taken: Mutex::default(),
        }))
    }

    /// A place for the holder of the key.
    ///
    /// # Errors
    /// With what has none left.
    pub(crate) fn sit(&self, key: &SshKey) -> Result<Seat, &'static str> {
        let mut taken = self.taken();
        if count(&taken.by_sandbox, &key.sandbox) >= self.0.of_sandbox {
            return Err("the sandbox");
        }
        if count(&taken.by_project, &key.project) >= self.0.of_project {
            return Err("the project");
        }
        if taken.all >= self.0.of_all {
            return Err("the server");
        }
        taken.all += 1;
        *taken.by_project.entry(key.project.clone()).or_default() += 1;
        *taken.by_sandbox.entry(key.sandbox.clone()).or_default() += 1;
        Ok(Seat {
            seats: self.clone(),
            project: key.project.clone(),
            sandbox: key.sandbox.clone(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().expect("no panic under this lock")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        leave(&mut taken.by_project, &self.project);
        leave(&mut taken.by_sandbox, &self.sandbox);
    }
}

fn count<K: Eq + Hash>(taken: &HashMap<K, usize>, of: &K) -> usize {
    taken.get(of).copied().unwrap_or(0)
}

fn leave<K: Eq + Hash>(taken: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = taken.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            taken.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use pinfold_model::{SshKeyId, Time};

    use super::*;

    fn key(project: &ProjectId) -> SshKey {
        SshKey {
            id: SshKeyId::generate(),
            sandbox: SandboxId::generate(),
            project: project.clone(),
            public_key: String::new(),
            fingerprint: String::new(),
            created_at: Time::UNIX_EPOCH,
            expires_at: None,
            created_by: None,
        }
    }

    #[test]
    fn a_sandbox_a_project_and_the_server_have_so_many_places_and_get_them_back() {
        let seats = Seats::new(&Limits {
            connections: 5,
            per_project: 3,
            per_sandbox: 2,
            ..Limits::default()
        });
        let (mine, theirs) = (ProjectId::generate(), ProjectId::generate());
        let (one, two) = (key(&mine), key(&mine));
        let full = |key: &SshKey| seats.sit(key).err();
        let mut taken = vec![seats.sit(&one), seats.sit(&one)];
        assert_eq!(full(&one), Some("the sandbox"));
        taken.push(seats.sit(&two));
        assert_eq!(full(&two), Some("the project"));
        let (three, four) = (key(&theirs), key(&theirs));
        taken.extend([seats.sit(&three), seats.sit(&four)]);
        assert_eq!(full(&four), Some("the server"));
        assert!(taken.iter().all(Result::is_ok));
        drop(taken.swap_remove(0));
        assert_eq!(full(&four), None);
        assert_eq!(full(&one), None);
        drop(taken);
        let left = seats.taken();
        assert_eq!(left.all + left.by_project.len() + left.by_sandbox.len(), 0);
    }
}
