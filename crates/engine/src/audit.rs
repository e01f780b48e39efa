//! The audit trail: reading it, and writing behind the answers of frequent use cases.

use pinfold_model::audit::AuditEvent;
use pinfold_model::{Ctx, Result};
use pinfold_store::{AuditFilter, Page, PageRequest, Store};
use tokio::sync::mpsc;

use crate::Engine;
use crate::access::scope;

/// Lines that may wait to be written; beyond, use cases wait.
const WAITING_MAX: usize = 4096;
/// Lines written in one transaction at most.
const BATCH_MAX: usize = 256;

impl Engine {
    /// Newest first: the caller's project, or its whole org for an admin.
    pub async fn list_audit(
        &self,
        ctx: &Ctx,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEvent>> {
        self.timed("audit.list", async {
            self.inner.trail.flush().await;
            Ok(self.store().audit().list(&scope(ctx), filter, page).await?)
        })
        .await
    }
}

enum Line {
    Event(Box<AuditEvent>),
    /// Answered when everything before it is written.
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// The sending side of the trail. Its writer ends when all of these are gone.
#[derive(Clone)]
pub(crate) struct Trail(mpsc::Sender<Line>);

impl Trail {
    pub(crate) fn start(store: Store) -> Self {
        let (lines, queue) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(store, queue));
        Self(lines)
    }

    pub(crate) async fn append(&self, event: AuditEvent) {
        if self.0.send(Line::Event(Box::new(event))).await.is_err() {
            tracing::error!("the audit writer is gone");
        }
    }

    /// Returns when everything appended so far is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = tokio::sync::oneshot::channel();
        if self.0.send(Line::Flush(done)).await.is_ok() {
            // An error means that the writer ended, and then there is nothing to wait for.
            let _ = written.await;
        }
    }
}

async fn write(store: Store, mut queue: mpsc::Receiver<Line>) {
    let mut lines = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut lines, BATCH_MAX).await > 0 {
        let mut events = Vec::with_capacity(lines.len());
        let mut waiting = Vec::new();
        for line in lines.drain(..) {
            match line {
                Line::Event(event) => events.push(*event),
                Line::Flush(done) => waiting.push(done),
            }
        }
        if let Err(error) = store.audit().append_all(&events).await {
            tracing::error!(%error, lines = events.len(), "audit lines lost");
        }
        for done in waiting {
            // The one who asked may have gone.
            let _ = done.send(());
        }
    }
}
