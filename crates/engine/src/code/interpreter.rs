//! The interpreters behind contexts: started when they are needed, ended with their context.
//!
//! Each generation of a context has one, named by an idempotency key, so that runs that find none
//! at the same time, or a run after a crash, start the same one.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::command::CancelMode;
use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{
    Code, CodeContext, CodeLanguage, CommandId, CommandState, Error, ExitStatus, Purpose, Result,
    Time,
};
use pinfold_store::Idempotency;
use serde::Deserialize;

use super::programs;
use super::reader::{ABANDONED, NO_INTERPRETER};
use crate::Engine;
use crate::clock::later;
use crate::engine::{Shared, fingerprint};
use crate::errors::journal_error;
use crate::live::{Lease, LiveCommand};

/// How long an interpreter may take to be ready.
const READY: Duration = Duration::from_secs(60);
/// How long an interpreter that was killed may take to be gone.
const GONE: Duration = Duration::from_secs(10);
/// Interpreters that are started for one run at most.
const ATTEMPTS: u32 = 3;
/// How old an interpreter without a context has to be before it counts as left behind.
const ORPHAN_AFTER: Duration = Duration::from_secs(300);
/// Of what an interpreter that did not come up wrote.
const WORDS_MAX_BYTES: usize = 2000;
/// What a shell gives where a program is not there.
const NOT_FOUND: ExitStatus = ExitStatus::Code(127);

/// The first line of an interpreter.
#[derive(Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
enum Greeting {
    Ready,
    Unsupported { message: String },
}

impl Engine {
    /// The context with an interpreter that is ready, started where there is none.
    pub(crate) async fn with_interpreter(
        &self,
        lease: &Lease,
        mut context: CodeContext,
    ) -> Result<CodeContext> {
        for _ in 0..ATTEMPTS {
            if let Some(live) = self.present_interpreter(lease, &context).await? {
                match self.await_ready(live.id(), context.language).await {
                    Ok(()) => return Ok(context),
                    // It has just ended: another one takes its place.
                    Err(_) if live.has_ended() => {}
                    Err(error) => return Err(error),
                }
            }
            let next = context.generation + 1;
            let interpreter = self.start_interpreter(lease, &context, next).await?;
            let ready = self.await_ready(&interpreter, context.language).await;
            let contexts = self.store().code_contexts();
            if ready.is_err() && context.generation == 0 {
                contexts.remove_unused(&context.id).await?;
            } else {
                // One that did not come up, too: the key of its generation would find it for ever.
                contexts
                    .set_interpreter(&context.id, &interpreter, next)
                    .await?;
            }
            ready?;
            context = contexts
                .get(&context.id)
                .await?
                .ok_or_else(|| super::no_context(&context.id))?;
        }
        Err(Error::new(
            Code::Unavailable,
            "the interpreter ends as soon as it has begun; try again, or delete the context",
        ))
    }

    /// The first interpreter of a context that is not recorded yet.
    pub(crate) async fn first_interpreter(
        &self,
        lease: &Lease,
        context: CodeContext,
    ) -> Result<CodeContext> {
        let interpreter = self.start_interpreter(lease, &context, 1).await?;
        let context = CodeContext {
            generation: 1,
            interpreter: Some(interpreter.clone()),
            ..context
        };
        if let Err(error) = self.await_ready(&interpreter, context.language).await {
            end(self.shared(), &context, CancelMode::Force).await?;
            return Err(error);
        }
        Ok(context)
    }

    /// The interpreter that runs, if it belongs to the sandbox's present life. One that has left a
    /// run is seen to its end first.
    async fn present_interpreter(
        &self,
        lease: &Lease,
        context: &CodeContext,
    ) -> Result<Option<Arc<LiveCommand>>> {
        let id = context.interpreter.as_ref();
        let live = id.and_then(|id| self.inner.registry.command(id));
        let Some(live) = live.filter(|it| it.life() == lease.life() && !it.has_ended()) else {
            return Ok(None);
        };
        if live.is_forsaken() {
            end(self.shared(), context, CancelMode::Force).await?;
            return Ok(None);
        }
        Ok(Some(live))
    }

    async fn start_interpreter(
        &self,
        lease: &Lease,
        context: &CodeContext,
        generation: u32,
    ) -> Result<CommandId> {
        let spec = programs::interpreter(context, generation);
        let name = format!("{}/{generation}", context.id);
        let hash = fingerprint(&name);
        let operation = "code.interpreter";
        let claim = Idempotency::new(&context.project, None, operation, name, hash);
        let lease = lease.live().lease(self.config().attach_timeout).await?;
        let purpose = Purpose::Interpreter(context.id.clone());
        let started = self
            .begin_command(lease, spec, purpose, Some(claim))
            .await?;
        Ok(started.value.id)
    }

    /// Waits until the interpreter says that it is ready; otherwise, why it is not.
    async fn await_ready(&self, id: &CommandId, language: CodeLanguage) -> Result<()> {
        let greeting = tokio::time::timeout(READY, self.greeting(id));
        match greeting.await {
            Ok(Ok(Ok(Greeting::Ready))) => Ok(()),
            Ok(Ok(Ok(Greeting::Unsupported { message }))) => Err(unsupported(language, &message)),
            Ok(Ok(Err(refusal))) => Err(refusal.into_error(language)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::new(
                Code::Timeout,
                "the interpreter was not ready in time; try again",
            )),
        }
    }

    /// The first line of an interpreter, or how it ended without one.
    async fn greeting(&self, id: &CommandId) -> Result<Result<Greeting, Refusal>> {
        let journals = &self.inner.parts.journals;
        let mut reader = journals.reader(id, 0).map_err(journal_error)?;
        let (mut line, mut words) = (Vec::new(), Vec::new());
        while let Some(Record { body, .. }) = reader.next().await.map_err(Error::internal)? {
            match body {
                RecordBody::Output {
                    stream: Stream::Stdout,
                    bytes,
                } => line.extend(bytes),
                RecordBody::Output {
                    stream: Stream::Stderr,
                    bytes,
                } => words.extend(bytes),
                RecordBody::Truncated => {}
                RecordBody::End { state } => return Ok(Err(Refusal { state, words })),
            }
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                let greeting = serde_json::from_slice(&line[..end]);
                return Ok(greeting.map_err(|_| Refusal {
                    state: CommandState::Lost,
                    words,
                }));
            }
        }
        Ok(Err(Refusal {
            state: CommandState::Lost,
            words,
        }))
    }
}

/// An interpreter that ended before it was ready.
struct Refusal {
    state: CommandState,
    /// Its stderr.
    words: Vec<u8>,
}

impl Refusal {
    fn into_error(self, language: CodeLanguage) -> Error {
        let mut words = String::from_utf8_lossy(&self.words).trim().to_owned();
        words.truncate(words.floor_char_boundary(WORDS_MAX_BYTES));
        match self.state {
            CommandState::Exited(NOT_FOUND) => {
                let missing = match language {
                    CodeLanguage::Python => "python3",
                    CodeLanguage::Javascript | CodeLanguage::Typescript => "node",
                };
                unsupported(
                    language,
                    &format!("the sandbox has no {missing} on its PATH"),
                )
            }
            CommandState::Exited(ExitStatus::Code(126)) => Error::invalid("cwd", words),
            state => Error::new(
                Code::Unavailable,
                format!(
                    "the interpreter did not start ({}): {words}",
                    state.as_str()
                ),
            ),
        }
    }
}

fn unsupported(language: CodeLanguage, why: &str) -> Error {
    let mut why = why.to_owned();
    why.truncate(why.floor_char_boundary(WORDS_MAX_BYTES));
    Error::new(
        Code::UnsupportedCodeLanguage,
        format!("{} cannot be run here: {why}", language.as_str()),
    )
    .detail("language", language.as_str())
}

/// Ends the context's interpreter and everything it started, and waits until it is gone.
pub(crate) async fn end(shared: &Shared, context: &CodeContext, mode: CancelMode) -> Result<()> {
    let Some(id) = &context.interpreter else {
        return Ok(());
    };
    let Some(live) = shared.registry.command(id) else {
        return Ok(());
    };
    // Nothing new is handed to it while it ends.
    live.forsake();
    if live.note_cancel(mode).state.is_terminal() {
        return Ok(());
    }
    shared.store.commands().set_cancel(id, mode).await?;
    match live.cancel(mode).await {
        // It is passed on as soon as the sandbox can be reached.
        Err(error) if matches!(error.code(), Code::CommandEnded | Code::SandboxNotRunning) => {
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => {
            let _ = tokio::time::timeout(GONE, live.ended()).await;
            Ok(())
        }
    }
}

/// What the end of a run says about its interpreter, before that end can be seen: one that left a
/// run without an ending serves no other. The kernel closes the sockets of a process that dies
/// before anybody can hear of its death, so the run's end is often known first.
pub(crate) fn note_end(shared: &Shared, run: &LiveCommand, state: CommandState) {
    let Purpose::CodeRun(context) = run.purpose() else {
        return;
    };
    if !matches!(state.exit_status(), Some(NO_INTERPRETER | ABANDONED)) {
        return;
    }
    let generation = programs::generation(&context, run.program());
    for live in shared.registry.commands() {
        let is_of_context = matches!(live.purpose(), Purpose::Interpreter(of) if of == context);
        if is_of_context && programs::generation(&context, live.program()) == generation {
            live.forsake();
        }
    }
}

/// Ends contexts that nobody used for their time, and interpreters whose context has ended.
pub(crate) async fn reconcile(shared: &Shared) -> Result<()> {
    let now = shared.clock.now();
    let contexts = shared.store.code_contexts();
    for context in contexts.list_expired(now).await? {
        if shared.registry.runs_of(&context.id).is_empty() {
            // Unless it has been used since.
            contexts.delete_expired(&context.id, now).await?;
        }
    }
    for live in shared.registry.commands() {
        let Purpose::Interpreter(id) = live.purpose() else {
            continue;
        };
        let wanted = contexts.get(&id).await?;
        let is_present = wanted.is_some_and(|it| it.interpreter.as_ref() == Some(live.id()));
        if !is_present && is_old(&live, now) && !live.has_ended() {
            tracing::info!(context = %id, interpreter = %live.id(), "ending an interpreter");
            live.note_cancel(CancelMode::Force);
            if live.sandbox().view().guest().is_none() {
                // Frozen, or not linked: a later turn, rather than all others behind this one.
                continue;
            }
            if let Err(error) = live.cancel(CancelMode::Force).await {
                tracing::debug!(interpreter = %live.id(), %error, "not ended yet");
            }
        }
    }
    Ok(())
}

/// A young one may belong to a context that is being recorded.
fn is_old(live: &LiveCommand, now: Time) -> bool {
    later(live.command().created_at, ORPHAN_AFTER) <= now
}
