//! The audit trail: appended to, read, never changed.

use pinfold_model::Time;
use pinfold_model::audit::{AuditEvent, Outcome};

use crate::db::{Db, Query, Row, Sql, statements, to_json};
use crate::error::{Result, StoreError, Thing};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Repository of audit events.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    db: &'a Db,
}

/// Which events a list shows; `None` is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    pub action: Option<String>,
    pub subject: Option<String>,
    /// At this time or later.
    pub since: Option<Time>,
}

macro_rules! columns {
    () => {
        "id, at, org_id, project_id, key_id, request_id, action, subject, outcome, details"
    };
}

macro_rules! list {
    ($scope:literal) => {
        Sql::both(concat!(
            "SELECT ",
            columns!(),
            " FROM audit_events \
             WHERE ",
            $scope,
            " = $1 AND (at, id) < ($2, $3) \
             AND (action = $5 OR $5 IS NULL) AND (subject = $6 OR $6 IS NULL) AND at >= $7 \
             ORDER BY at DESC, id DESC LIMIT $4"
        ))
    };
}

statements! {
    INSERT = Sql::both(concat!(
        "INSERT INTO audit_events (", columns!(), ") \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    ));
    IN_PROJECT = list!("project_id");
    IN_ORG = list!("org_id");
}

impl<'a> Audit<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Fails with [`StoreError::AlreadyExists`] where the event's id is known.
    pub async fn append(&self, event: &AuditEvent) -> Result<()> {
        let done = self.db.execute(bind_event(event)).await;
        done.map_err(|e| e.on_unique(Thing::AuditEvent, event.id.as_str()))?;
        Ok(())
    }

    /// Appends all events or none.
    pub async fn append_all(&self, events: &[AuditEvent]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for event in events {
            let done = tx.execute(bind_event(event)).await;
            done.map_err(|e| e.on_unique(Thing::AuditEvent, event.id.as_str()))?;
        }
        tx.commit().await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEvent>> {
        let query = match scope {
            Scope::Project(project) => IN_PROJECT.bind(project.as_str()),
            Scope::Org(org) => IN_ORG.bind(org.as_str()),
        };
        let (at, id) = page.after();
        let query = query
            .bind(at)
            .bind(id)
            .bind(page.fetch())
            .bind(filter.action.as_deref())
            .bind(filter.subject.as_deref())
            .bind(filter.since.map_or(i64::MIN, Time::as_microsecond));
        let rows = self.db.rows(query).await?;
        Page::from_rows(page, &rows, ("at", "id"), to_event)
    }
}

fn bind_event(event: &AuditEvent) -> Query {
    INSERT
        .bind(event.id.as_str())
        .bind(event.at)
        .bind(event.org.as_str())
        .bind(event.project.as_str())
        .bind(event.key.as_ref().map(pinfold_model::KeyId::as_str))
        .bind(event.request.as_str())
        .bind(event.action.as_str())
        .bind(event.subject.as_str())
        .bind(event.outcome.as_str())
        .bind(to_json(&event.details))
}

fn to_event(row: &Row) -> Result<AuditEvent> {
    Ok(AuditEvent {
        id: row.parse("id")?,
        at: row.time("at")?,
        org: row.parse("org_id")?,
        project: row.parse("project_id")?,
        key: row.opt_parse("key_id")?,
        request: row.parse("request_id")?,
        action: row.text("action")?,
        subject: row.text("subject")?,
        outcome: to_outcome(&row.text("outcome")?)?,
        details: row.json("details")?,
    })
}

fn to_outcome(text: &str) -> Result<Outcome> {
    [Outcome::Ok, Outcome::Denied, Outcome::Failed]
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| StoreError::corrupt("outcome", format!("unknown outcome {text:?}")))
}
