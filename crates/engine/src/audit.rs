//! The audit trail: reading it, and writing behind the answers of frequent use cases.

use pinfold_model::audit::AuditEvent;
use pinfold_model::{Ctx, Result};
use pinfold_store::{AuditFilter, Page, PageRequest, Store};

use crate::Engine;
use crate::access::scope;
use crate::behind::Behind;

impl Engine {
    /// Newest first: the caller's project, or its whole org for an admin.
    pub async fn list_audit(
        &self,
        ctx: &Ctx,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEvent>> {
        self.timed(ctx, "audit.list", async {
            self.inner.trail.flush().await;
            Ok(self.store().audit().list(&scope(ctx), filter, page).await?)
        })
        .await
    }
}

/// Lines that are written behind the answers.
pub(crate) fn trail(store: Store) -> Behind<AuditEvent> {
    Behind::start(move |events: Vec<AuditEvent>| {
        let store = store.clone();
        async move {
            if let Err(error) = store.audit().append_all(&events).await {
                tracing::error!(%error, lines = events.len(), "audit lines lost");
            }
        }
    })
}
