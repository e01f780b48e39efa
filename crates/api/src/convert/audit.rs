//! The audit trail.

use pinfold_engine::AuditFilter;
use pinfold_model::Result;
use pinfold_model::audit::{AuditEvent, Outcome};
use pinfold_wire as wire;

use super::quantity::{parse_time, time};

pub(crate) fn to_wire(event: AuditEvent) -> wire::AuditEvent {
    wire::AuditEvent {
        id: event.id.into(),
        at: time(event.at),
        org_id: event.org.into(),
        project_id: event.project.into(),
        key_id: event.key.map(Into::into),
        request_id: event.request.into(),
        action: event.action,
        subject: event.subject,
        outcome: match event.outcome {
            Outcome::Ok => wire::AuditOutcome::Ok,
            Outcome::Denied => wire::AuditOutcome::Denied,
            Outcome::Failed => wire::AuditOutcome::Failed,
        },
        details: event.details,
    }
}

pub(crate) fn filter(query: &wire::ListAudit) -> Result<AuditFilter> {
    let since = query.since.as_deref().map(|text| parse_time("since", text));
    Ok(AuditFilter {
        action: query.action.clone(),
        subject: query.subject.clone(),
        since: since.transpose()?,
    })
}
