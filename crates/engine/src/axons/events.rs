//! Publishing to an axon, following it, and looking back.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use pinfold_model::{AxonEvent, AxonId, Code, Ctx, Error, NewAxonEvent, ProjectId, Result, limits};
use pinfold_store::{EventBounds, Inserted};
use tokio::sync::Notify;

use super::live;
use crate::Engine;
use crate::engine::Shared;
use crate::usecase::Note;

const BOUNDS: EventBounds = EventBounds {
    events: limits::AXON_EVENTS_MAX,
    bytes: limits::AXON_EVENTS_MAX_BYTES,
    project_bytes: limits::AXON_EVENTS_OF_PROJECT_MAX_BYTES,
};
/// How long a reader goes without a look where nobody tells it of news: another server of the same store may
/// have published.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What one page of events holds of them, beyond its last.
const PAGE_BYTES: u64 = 8 << 20;

/// Who waits for news of which axon.
#[derive(Default)]
pub(crate) struct Board(Mutex<HashMap<AxonId, Weak<Notify>>>);

impl Board {
    /// # Errors
    /// `rate_limited` where too many follow that axon.
    fn follow(&self, id: &AxonId) -> Result<Arc<Notify>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, news| news.strong_count() > 0);
        let place = waiting.entry(id.clone()).or_default();
        if place.strong_count() >= limits::AXON_READERS_MAX {
            let max = limits::AXON_READERS_MAX;
            let text = format!("{max} readers follow this axon already; try again later");
            return Err(Error::new(Code::RateLimited, text));
        }
        Ok(place.upgrade().unwrap_or_else(|| {
            let news = Arc::new(Notify::new());
            *place = Arc::downgrade(&news);
            news
        }))
    }

    pub(super) fn tell(&self, id: &AxonId) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = waiting.get(id).and_then(Weak::upgrade) {
            news.notify_waiters();
        }
    }
}

/// A page of events, the last one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxonEventPage {
    pub events: Vec<AxonEvent>,
    /// There are earlier ones.
    pub more: bool,
    /// How many the axon has.
    pub total: u64,
}

/// Follows an axon: each event behind the one it began at, once, in their order.
pub struct AxonReader {
    shared: Arc<Shared>,
    project: ProjectId,
    id: AxonId,
    /// The last one that was handed out.
    after: u64,
    /// Read, and not handed out.
    ahead: VecDeque<AxonEvent>,
    news: Arc<Notify>,
}

impl std::fmt::Debug for AxonReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AxonReader")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Publishes an event: when this returns it is recorded, in its place for good. The same idempotency key
    /// with the same event answers with what the first one became.
    ///
    /// # Errors
    /// `quota_exceeded` where the axon keeps as much as it may; `axon_deleted`.
    pub async fn publish_to_axon(
        &self,
        ctx: &Ctx,
        id: &AxonId,
        event: NewAxonEvent,
        idempotency: Option<&str>,
    ) -> Result<AxonEvent> {
        let note = Note::new("axon.publish");
        note.about(id.as_str());
        self.audited_behind(ctx, &note, async {
            event.validate()?;
            let request = (id.as_str(), &event);
            let claim = self.claim(ctx, "axon.publish", idempotency, &request)?;
            let (axons, place) = (self.store().axons(), (&ctx.principal.project, id));
            let published = axons.publish(place, &event, self.now(), BOUNDS, claim.as_ref());
            let published = match published.await? {
                Inserted::New(event) => {
                    self.shared().axons.board.tell(id);
                    event
                }
                Inserted::Replay(event) => event,
            };
            note.fact("sequence", published.sequence);
            Ok(published)
        })
        .await
    }

    /// Follows an axon from behind the event of that number; from its first one with 0.
    ///
    /// # Errors
    /// `rate_limited` where too many follow it; `axon_deleted`.
    pub async fn follow_axon(&self, ctx: &Ctx, id: &AxonId, after: u64) -> Result<AxonReader> {
        self.timed(ctx, "axon.follow", async {
            let project = &ctx.principal.project;
            live(self.shared(), project, id).await?;
            Ok(AxonReader {
                shared: Arc::clone(self.shared()),
                project: project.clone(),
                id: id.clone(),
                after,
                ahead: VecDeque::new(),
                news: self.shared().axons.board.follow(id)?,
            })
        })
        .await
    }

    /// Events before the one of that number, or the last ones; `limit` at most, and fewer where they are
    /// large.
    ///
    /// # Errors
    /// `axon_deleted`.
    pub async fn list_axon_events(
        &self,
        ctx: &Ctx,
        id: &AxonId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AxonEventPage> {
        self.timed(ctx, "axon.event.list", async {
            let project = &ctx.principal.project;
            let axon = live(self.shared(), project, id).await?;
            let mut before = before.unwrap_or(u64::MAX);
            let (mut events, mut bytes) = (Vec::new(), 0);
            // None has number 0.
            while events.len() < limit && bytes < PAGE_BYTES && before > 1 {
                let missing = u32::try_from(limit - events.len()).unwrap_or(u32::MAX);
                let part = missing.min(limits::AXON_READ_AHEAD);
                let axons = self.store().axons();
                let found = axons.events_before(project, id, before, part).await?;
                let Some(last) = found.last() else {
                    break;
                };
                before = last.sequence;
                bytes += found.iter().map(|one| one.event.bytes()).sum::<u64>();
                events.extend(found);
            }
            let first = events.last().map_or(0, |event: &AxonEvent| event.sequence);
            Ok(AxonEventPage {
                more: first > 1,
                events,
                total: axon.last_sequence,
            })
        })
        .await
    }
}

impl AxonReader {
    /// The next event, once there is one; `None` when the axon is deleted. What is dropped half-way has
    /// handed out nothing.
    ///
    /// # Errors
    /// `unavailable` when the engine ends. Whoever comes back with the last number misses nothing.
    pub async fn next(&mut self) -> Result<Option<AxonEvent>> {
        loop {
            if let Some(event) = self.ahead.pop_front() {
                self.after = event.sequence;
                return Ok(Some(event));
            }
            let mut told = pin!(self.news.notified());
            // From before the look: what is published behind it is told.
            told.as_mut().enable();
            let found = self.look().await?;
            if !found.is_empty() {
                self.ahead = found.into();
                continue;
            }
            match live(&self.shared, &self.project, &self.id).await {
                Ok(_) => {}
                Err(gone) if matches!(gone.code(), Code::AxonDeleted | Code::AxonNotFound) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = told => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.shared.ending.cancelled() => {
                    return Err(Error::new(Code::Unavailable, "the server is shutting down"));
                }
            }
        }
    }

    async fn look(&self) -> Result<Vec<AxonEvent>> {
        let axons = self.shared.store.axons();
        let limit = limits::AXON_READ_AHEAD;
        Ok(axons
            .events_after(&self.project, &self.id, self.after, limit)
            .await?)
    }
}
