//! Pulls that are under way, or were a moment ago: the same wish of one project is one pull,
//! however many ask for it. Knows nothing of registries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pinfold_images::{Credentials, PullProgress, Reach};
use pinfold_model::{Code, Error, Image, ImageName, ProjectId, PullId, Result};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::turns::{Turn, Turns};

/// Pulls that download at a time; more wait for their turn.
const RUNNING_MAX: usize = 8;
/// Of these, pulls of one owner: whoever asks for slow ones holds up nobody else.
const RUNNING_OF_OWNER_MAX: usize = 2;
/// Pulls of one owner that are under way, waiting ones included.
const OF_OWNER_MAX: usize = 16;
/// Pulls remembered in all.
const KNOWN_MAX: usize = 512;
/// How long an ended pull can be asked about.
const KEPT: Duration = Duration::from_secs(300);

/// What makes two wishes the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    /// `None`: for everybody.
    pub(super) owner: Option<ProjectId>,
    pub(super) name: ImageName,
    pub(super) reference: String,
    pub(super) platform: String,
    pub(super) credentials: Credentials,
    pub(super) insecure: bool,
    /// Who may not go there must not arrive with somebody who may.
    pub(super) reach: Reach,
}

/// A pull as it is at one moment.
#[derive(Debug, Clone)]
pub struct ImagePull {
    pub id: PullId,
    /// In full, as the registry is asked.
    pub reference: String,
    /// What the image is or will be called here.
    pub name: ImageName,
    pub progress: PullProgress,
    /// `None` while it is under way.
    pub ending: Option<PullEnding>,
}

/// How a pull ended.
pub type PullEnding = std::result::Result<Image, PullFailure>;

/// Why a pull failed, as public as an error's own text; each who waits gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct PullFailure {
    pub code: Code,
    pub message: String,
    pub details: Map<String, Value>,
    pub retry_after: Option<Duration>,
}

impl From<&Error> for PullFailure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code(),
            message: error.message().to_owned(),
            details: error.details().clone(),
            retry_after: error.retry_hint(),
        }
    }
}

impl From<PullFailure> for Error {
    fn from(failure: PullFailure) -> Self {
        let mut error = Self::new(failure.code, failure.message);
        for (key, value) in failure.details {
            error = error.detail(&key, value);
        }
        match failure.retry_after {
            Some(after) => error.retry_after(after),
            None => error,
        }
    }
}

/// One pull, as those see it who wait for it.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) id: PullId,
    /// Who may ask about it: who wished it, whoever it is for.
    project: ProjectId,
    reference: String,
    name: ImageName,
    progress: Arc<watch::Sender<PullProgress>>,
    ending: watch::Receiver<Option<PullEnding>>,
}

/// The side of a flight that does the work. Dropped without an ending, it ended with the server.
pub(super) struct Pilot {
    pub(super) progress: Arc<watch::Sender<PullProgress>>,
    pub(super) ending: watch::Sender<Option<PullEnding>>,
    turns: Arc<Turns<Owner>>,
    owner: Owner,
}

/// `None`: everybody.
type Owner = Option<ProjectId>;

impl Pilot {
    /// Waits for its turn, which lasts until the answer is dropped.
    pub(super) async fn turn(&self) -> Turn {
        self.turns.take(self.owner.clone()).await
    }
}

/// All flights of an engine.
pub(crate) struct Pulls {
    known: Mutex<Known>,
    turns: Arc<Turns<Owner>>,
}

#[derive(Default)]
struct Known {
    under_way: HashMap<Wish, Flight>,
    by_id: HashMap<PullId, (Flight, Option<Instant>)>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            turns: Arc::new(Turns::new(RUNNING_MAX, RUNNING_OF_OWNER_MAX)),
        }
    }
}

impl Pulls {
    /// The flight that fulfils the wish, and its pilot if it is a new one.
    pub(super) fn join(&self, wish: &Wish, project: &ProjectId) -> Result<(Flight, Option<Pilot>)> {
        let mut known = self.lock();
        known.forget_old();
        if let Some(flight) = known.under_way.get(wish) {
            return Ok((flight.clone(), None));
        }
        let of_owner = known
            .under_way
            .keys()
            .filter(|other| other.owner == wish.owner);
        if of_owner.count() >= OF_OWNER_MAX || known.by_id.len() >= KNOWN_MAX {
            return Err(Error::new(
                Code::Unavailable,
                "too many images are being pulled; wait for some of them",
            )
            .retry_after(Duration::from_secs(5)));
        }
        let (flight, pilot) = Flight::new(wish, project, Arc::clone(&self.turns));
        known.under_way.insert(wish.clone(), flight.clone());
        known
            .by_id
            .insert(flight.id.clone(), (flight.clone(), None));
        Ok((flight, Some(pilot)))
    }

    /// From now on the same wish makes a new flight; this one can be asked about for a while.
    pub(super) fn landed(&self, wish: &Wish, id: &PullId) {
        let mut known = self.lock();
        known.under_way.remove(wish);
        if let Some((_, ended)) = known.by_id.get_mut(id) {
            *ended = Some(Instant::now());
        }
    }

    pub(super) fn of(&self, id: &PullId, project: &ProjectId) -> Option<Flight> {
        let known = self.lock();
        let (flight, _) = known.by_id.get(id)?;
        (flight.project == *project).then(|| flight.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no panic under this lock")
    }
}

impl Known {
    fn forget_old(&mut self) {
        // A pilot that went away by a fault has told nobody.
        self.under_way.retain(|_, flight| flight.is_flown());
        for (flight, ended) in self.by_id.values_mut() {
            if ended.is_none() && !flight.is_flown() {
                *ended = Some(Instant::now());
            }
        }
        self.by_id
            .retain(|_, (_, ended)| ended.is_none_or(|at| at.elapsed() < KEPT));
        let room = KNOWN_MAX / 2;
        let mut ended: Vec<_> = self
            .by_id
            .iter()
            .filter_map(|(id, (_, at))| at.map(|at| (at, id.clone())))
            .collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(room);
        for (_, id) in ended.into_iter().take(surplus) {
            self.by_id.remove(&id);
        }
    }
}

impl Flight {
    fn new(wish: &Wish, project: &ProjectId, turns: Arc<Turns<Owner>>) -> (Self, Pilot) {
        let progress = Arc::new(watch::Sender::new(PullProgress::default()));
        let (tell, ending) = watch::channel(None);
        let flight = Self {
            id: PullId::generate(),
            project: project.clone(),
            reference: wish.reference.clone(),
            name: wish.name.clone(),
            progress: Arc::clone(&progress),
            ending,
        };
        let pilot = Pilot {
            progress,
            ending: tell,
            turns,
            owner: wish.owner.clone(),
        };
        (flight, pilot)
    }

    fn is_flown(&self) -> bool {
        self.ending.has_changed().is_ok()
    }

    /// As it is now.
    pub(super) fn look(&self) -> ImagePull {
        ImagePull {
            id: self.id.clone(),
            reference: self.reference.clone(),
            name: self.name.clone(),
            progress: self.progress.borrow().clone(),
            ending: self.ending.borrow().clone(),
        }
    }

    /// Waits for the end, however long that takes.
    pub(super) async fn ended(&self) -> Result<Image> {
        let mut ending = self.ending.clone();
        match ending.wait_for(Option::is_some).await {
            Ok(ending) => match ending.clone() {
                Some(Ok(image)) => Ok(image),
                Some(Err(failure)) => Err(failure.into()),
                None => Err(cut_off()),
            },
            Err(_) => Err(cut_off()),
        }
    }
}

/// The work ended without a word: with the server, or by a fault that the log has.
pub(super) fn cut_off() -> Error {
    Error::new(Code::Unavailable, "the pull was cut off; try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(owner: &ProjectId, name: &str) -> Wish {
        Wish {
            owner: Some(owner.clone()),
            name: name.parse().expect("a name"),
            reference: name.to_owned(),
            platform: "linux/amd64".to_owned(),
            credentials: Credentials::Anonymous,
            insecure: false,
            reach: Reach::Outside,
        }
    }

    #[test]
    fn the_same_wish_is_one_flight_until_it_has_landed() {
        let (pulls, project) = (Pulls::default(), ProjectId::generate());
        let a = wish(&project, "a");
        let (first, pilot) = pulls.join(&a, &project).expect("room");
        assert!(pilot.is_some());
        let (second, none) = pulls.join(&a, &project).expect("room");
        assert!(none.is_none());
        assert_eq!(first.id, second.id);
        let from_afar = Wish {
            reach: Reach::Anywhere,
            ..a.clone()
        };
        let (other, _) = pulls.join(&from_afar, &project).expect("room");
        assert_ne!(other.id, first.id, "so is how far it may reach");
        let with_a_key = Wish {
            credentials: Credentials::Bearer("t".into()),
            ..a.clone()
        };
        let (other, _) = pulls.join(&with_a_key, &project).expect("room");
        assert_ne!(other.id, first.id, "credentials are part of a wish");
        pulls.landed(&a, &first.id);
        let (third, pilot) = pulls.join(&a, &project).expect("room");
        assert!(pilot.is_some());
        assert_ne!(third.id, first.id);
        assert!(pulls.of(&first.id, &project).is_some(), "still known");
        assert!(pulls.of(&first.id, &ProjectId::generate()).is_none());
    }

    #[test]
    fn one_owner_cannot_take_every_place() {
        let (pulls, project) = (Pulls::default(), ProjectId::generate());
        let mut kept = Vec::new();
        for n in 0..OF_OWNER_MAX {
            kept.push(pulls.join(&wish(&project, &format!("a{n}")), &project));
        }
        let refused = pulls.join(&wish(&project, "more"), &project);
        assert_eq!(refused.err().expect("full").code(), Code::Unavailable);
        let other = ProjectId::generate();
        assert!(pulls.join(&wish(&other, "a"), &other).is_ok());
    }

    #[tokio::test]
    async fn a_pilot_that_vanishes_leaves_nobody_waiting() {
        let (pulls, project) = (Pulls::default(), ProjectId::generate());
        let (flight, pilot) = pulls.join(&wish(&project, "a"), &project).expect("room");
        drop(pilot);
        let error = flight.ended().await.expect_err("cut off");
        assert_eq!(error.code(), Code::Unavailable);
        let (again, pilot) = pulls.join(&wish(&project, "a"), &project).expect("room");
        assert!(pilot.is_some(), "nobody joins what has no pilot");
        assert_ne!(again.id, flight.id);
    }

    #[tokio::test]
    async fn one_owner_s_pulls_hold_up_nobody_else_s() {
        let (pulls, project) = (Pulls::default(), ProjectId::generate());
        let mut pilots = Vec::new();
        for n in 0..=RUNNING_OF_OWNER_MAX {
            let (_, pilot) = pulls
                .join(&wish(&project, &format!("a{n}")), &project)
                .expect("room");
            pilots.push(pilot.expect("a new one"));
        }
        let mut held = Vec::new();
        for pilot in &pilots[..RUNNING_OF_OWNER_MAX] {
            held.push(pilot.turn().await);
        }
        let last = &pilots[RUNNING_OF_OWNER_MAX];
        let waited = tokio::time::timeout(Duration::from_millis(50), last.turn()).await;
        assert!(waited.is_err(), "the owner has its turns");
        let other = ProjectId::generate();
        let (_, pilot) = pulls.join(&wish(&other, "a"), &other).expect("room");
        drop(pilot.expect("a new one").turn().await);
        held.clear();
        drop(last.turn().await);
    }
}
