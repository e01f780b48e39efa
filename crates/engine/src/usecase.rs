//! The one place where use cases are admitted by the scopes of their caller, timed, counted and audited.

mod scopes;

use std::future::Future;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use pinfold_model::audit::{AuditEvent, Outcome};
use pinfold_model::{AuditId, Ctx, Error, ErrorKind, ProjectId, Result};
use serde_json::{Map, Value};

use crate::Engine;

/// What the audit trail says about one use case beside who called it and how it ended.
pub(crate) struct Note {
    action: &'static str,
    subject: OnceLock<String>,
    project: OnceLock<ProjectId>,
    facts: Mutex<Map<String, Value>>,
}

impl Note {
    /// `action` such as `sandbox.create`.
    pub(crate) fn new(action: &'static str) -> Self {
        Self {
            action,
            subject: OnceLock::new(),
            project: OnceLock::new(),
            facts: Mutex::new(Map::new()),
        }
    }

    /// Names the thing acted on; the first name given stays.
    pub(crate) fn about(&self, subject: impl Into<String>) {
        self.subject.get_or_init(|| subject.into());
    }

    /// The project it belongs to, where that is not the caller's own.
    pub(crate) fn of(&self, project: &ProjectId) {
        self.project.get_or_init(|| project.clone());
    }

    /// A fact worth keeping; never an environment value, file content or secret.
    pub(crate) fn fact(&self, name: &str, value: impl Into<Value>) {
        let mut facts = self.facts.lock().expect("no panic under this lock");
        facts.insert(name.to_owned(), value.into());
    }
}

impl Engine {
    /// Runs a use case that changes something: timed, counted, and on the audit trail before it
    /// answers.
    pub(crate) async fn audited<T>(
        &self,
        ctx: &Ctx,
        note: &Note,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let result = self.timed(ctx, note.action, Box::pin(work)).await;
        self.audit(ctx, note, result.as_ref().err()).await;
        result
    }

    /// The line alone, for work that was timed elsewhere.
    pub(crate) async fn audit(&self, ctx: &Ctx, note: &Note, error: Option<&Error>) {
        let event = self.event(ctx, note, error);
        if let Err(error) = self.store().audit().append(&event).await {
            tracing::error!(action = note.action, request = %ctx.request, %error, "audit line lost");
        }
    }

    /// The same for what happens many times a second: the line is written behind the answer. A
    /// crash may lose the last of these lines; what they tell of has records of its own.
    pub(crate) async fn audited_behind<T>(
        &self,
        ctx: &Ctx,
        note: &Note,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let result = self.timed(ctx, note.action, Box::pin(work)).await;
        let event = self.event(ctx, note, result.as_ref().err());
        self.inner.trail.put(event).await;
        result
    }

    /// The same for what anybody may ask for: only what was done has a line, so that nobody without a
    /// key fills the trail.
    pub(crate) async fn audited_if_done<T>(
        &self,
        ctx: &Ctx,
        note: &Note,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let result = self.timed(ctx, note.action, Box::pin(work)).await;
        if result.is_ok() {
            let event = self.event(ctx, note, None);
            self.inner.trail.put(event).await;
        }
        result
    }

    /// Runs a use case that only reads: the caller's scopes allow it, and it is timed and counted.
    // Each layer holds the work it awaits once more, so there are few, and those above hand it on boxed:
    // without that, use cases outgrow the stack of a thread in builds that are not optimised.
    pub(crate) async fn timed<T>(
        &self,
        ctx: &Ctx,
        action: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        let result = match scopes::admit(ctx, action) {
            Ok(()) => work.await,
            Err(denied) => Err(denied),
        };
        count(action, began, result.as_ref().err());
        result
    }

    /// The same where no key calls: what was shown is the proof.
    pub(crate) async fn measured<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        let result = work.await;
        count(action, began, result.as_ref().err());
        result
    }

    fn event(&self, ctx: &Ctx, note: &Note, error: Option<&Error>) -> AuditEvent {
        let mut details = {
            let mut facts = note.facts.lock().expect("no panic under this lock");
            std::mem::take(&mut *facts)
        };
        if let Some(error) = error {
            details.insert("error".to_owned(), error.code().as_str().into());
        }
        AuditEvent {
            id: AuditId::generate(),
            at: self.now(),
            org: ctx.principal.org.clone(),
            project: note.project.get().unwrap_or(&ctx.principal.project).clone(),
            key: ctx.principal.key.clone(),
            request: ctx.request.clone(),
            action: note.action.to_owned(),
            subject: note.subject.get().cloned().unwrap_or_default(),
            outcome: outcome(error),
            details,
        }
    }
}

fn count(action: &'static str, began: Instant, error: Option<&Error>) {
    metrics::histogram!("pinfold_use_case_seconds", "action" => action).record(began.elapsed());
    if let Some(error) = error {
        let code = error.code().as_str();
        metrics::counter!("pinfold_use_case_failures_total", "action" => action, "code" => code)
            .increment(1);
    }
}

/// Things of other projects are answered as not found, so that counts as denied as well.
fn outcome(error: Option<&Error>) -> Outcome {
    match error.map(Error::kind) {
        None => Outcome::Ok,
        Some(ErrorKind::PermissionDenied | ErrorKind::Unauthenticated | ErrorKind::NotFound) => {
            Outcome::Denied
        }
        Some(_) => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::Code;

    #[test]
    fn invisible_things_count_as_denied_and_faults_as_failed() {
        assert_eq!(outcome(None), Outcome::Ok);
        let denied = Error::new(Code::SandboxNotFound, "no");
        assert_eq!(outcome(Some(&denied)), Outcome::Denied);
        assert_eq!(outcome(Some(&Error::internal("broke"))), Outcome::Failed);
    }

    #[test]
    fn the_first_subject_stays() {
        let note = Note::new("x.y");
        note.about("a");
        note.about("b");
        assert_eq!(note.subject.get().map(String::as_str), Some("a"));
    }
}
