//! Running code: started exactly once, read as often as one likes.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::code::{validate_source, validate_timeout};
use pinfold_model::command::CancelMode;
use pinfold_model::{
    Code, CodeContext, CodeContextId, CodeLanguage, Command, CommandId, Ctx, Error, Purpose,
    Result, SandboxId, Time, limits,
};
use pinfold_store::Idempotency;
use serde::Serialize;

use super::event::{CodeEnding, CodeError, CodeEvent, CodeOutput};
use super::programs::{self, Request};
use crate::clock::later;
use crate::commands::{absolute, new_command, start};
use crate::live::{Lease, LiveCommand};
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunCode {
    /// At most 256 KiB.
    pub code: String,
    /// `None`: the context's; python without a context.
    pub language: Option<CodeLanguage>,
    /// `None`: the language's default context, made where there is none yet.
    pub context: Option<CodeContextId>,
    /// For this run alone, from the context's directory on. `None`: where the last run left off.
    pub cwd: Option<String>,
    /// A directory that `cwd` has to be in, as in [`crate::FileAt::within`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd_within: Option<String>,
    /// From when it is accepted, so time spent waiting for earlier runs of the context counts. At
    /// most 10 minutes; the context's unless given.
    pub timeout: Option<Duration>,
    /// Whether the caller is going to keep what the run shows, by
    /// [`Engine::create_object_from_code`]: a repeated request has to want the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keeps: bool,
}

impl RunCode {
    #[must_use]
    pub fn new(code: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            language: None,
            context: None,
            cwd: None,
            cwd_within: None,
            timeout: None,
            keeps: false,
        }
    }
}

/// A run as it is now, with everything it told until now.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeRun {
    /// A run is a command, so this id is good for every call about commands.
    pub id: CommandId,
    pub sandbox: SandboxId,
    pub context: CodeContextId,
    pub language: CodeLanguage,
    pub state: CodeRunState,
    /// Counts the runs of the interpreter; `None` for one that never began.
    pub execution_count: Option<u32>,
    /// It began in a fresh interpreter: variables of earlier runs were gone.
    pub restarted: bool,
    /// Whether its variables are there for the next run; `None` while it runs.
    pub state_kept: Option<bool>,
    /// In order, in the pieces in which it came.
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// More was written than is kept.
    pub truncated: bool,
    pub outputs: Vec<CodeOutput>,
    pub error: Option<CodeError>,
    pub duration: Option<Duration>,
    pub created_at: Time,
    pub ended_at: Option<Time>,
}

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeRunState {
    /// It waits for earlier runs of its context.
    Queued,
    Running,
    Succeeded,
    /// The code raised, or did not compile.
    Failed,
    Interrupted,
    TimedOut,
    /// The interpreter died of it.
    Died,
    /// The sandbox's processes are gone; nobody knows how far it came.
    Lost,
}

impl CodeRunState {
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl From<CodeEnding> for CodeRunState {
    fn from(ending: CodeEnding) -> Self {
        match ending {
            CodeEnding::Ok => Self::Succeeded,
            CodeEnding::Error => Self::Failed,
            CodeEnding::Interrupted => Self::Interrupted,
            CodeEnding::TimedOut => Self::TimedOut,
            CodeEnding::Died => Self::Died,
            CodeEnding::Lost => Self::Lost,
        }
    }
}

impl Engine {
    /// Starts a run; answers as soon as it is accepted. The same idempotency key in the same sandbox
    /// with the same request answers with the same run, unless that came from [`Engine::run_code`].
    ///
    /// # Errors
    /// [`Code::BodyTooLarge`] for more than 256 KiB; [`Code::UnsupportedCodeLanguage`] where the
    /// sandbox has no interpreter for the language; [`Code::RateLimited`] where 64 runs of the
    /// context wait already.
    pub async fn start_code(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: RunCode,
        idempotency: Option<&str>,
    ) -> Result<Accepted<CodeRun>> {
        let accepted = self
            .accept_code("code.start", ctx, sandbox, request, idempotency)
            .await?;
        Ok(Accepted {
            value: self.code_run(ctx, &accepted.value.id).await?,
            origin: accepted.origin,
        })
    }

    /// Runs code to its end. What the code raises is part of the answer and no error of this call.
    /// Dropping the future leaves the run running.
    pub async fn run_code(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: RunCode,
        idempotency: Option<&str>,
    ) -> Result<Accepted<CodeRun>> {
        let accepted = self
            .accept_code("code.run", ctx, sandbox, request, idempotency)
            .await?;
        self.wait_command(ctx, &accepted.value.id, None).await?;
        Ok(Accepted {
            value: self.code_run(ctx, &accepted.value.id).await?,
            origin: accepted.origin,
        })
    }

    /// A run with everything it told until now.
    pub async fn get_code_run(&self, ctx: &Ctx, id: &CommandId) -> Result<CodeRun> {
        self.timed(ctx, "code.run_get", self.code_run(ctx, id))
            .await
    }

    /// Interrupts a run as Ctrl-C does, and waits for its end: variables are kept unless the code
    /// does not heed the interrupt within 3 seconds. One that has ended stays as it ended.
    pub async fn interrupt_code(&self, ctx: &Ctx, id: &CommandId) -> Result<CodeRun> {
        self.code_command(ctx, id).await?;
        self.cancel_command(ctx, id, CancelMode::Graceful).await?;
        self.wait_command(ctx, id, None).await?;
        self.get_code_run(ctx, id).await
    }

    async fn accept_code(
        &self,
        operation: &'static str,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: RunCode,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Command>> {
        let note = Note::new(operation);
        self.audited_behind(ctx, &note, async {
            request.validate()?;
            let claim = self.claim_in(ctx, sandbox, operation, idempotency, &request)?;
            let accepted = match self.known_by(claim.as_ref()).await? {
                Some(id) => Accepted {
                    value: self
                        .any_command(ctx, &id.parse().map_err(Error::internal)?)
                        .await?,
                    origin: Origin::Replay,
                },
                None => self.begin_code(ctx, sandbox, &request, claim).await?,
            };
            note.about(accepted.value.id.as_str());
            note.of(&accepted.value.project);
            note.fact("sandbox", sandbox.as_str());
            note.fact("replay", accepted.origin == Origin::Replay);
            Ok(accepted)
        })
        .await
    }

    async fn begin_code(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        request: &RunCode,
        claim: Option<Idempotency>,
    ) -> Result<Accepted<Command>> {
        let lease = self.lease(ctx, sandbox).await?;
        let within = request.cwd_within.as_deref();
        super::check_within(&lease, request.cwd.as_deref(), within).await?;
        let context = self.context_for(ctx, &lease, request).await?;
        let context = self.with_interpreter(&lease, context).await?;
        let timeout = request.timeout.unwrap_or(context.timeout);
        let now = self.now();
        let expires_at = later(now, timeout + context.idle_timeout);
        let contexts = self.store().code_contexts();
        contexts.touch(&context.id, now, expires_at).await?;
        let cwd = request
            .cwd
            .as_deref()
            .map(|cwd| absolute(within.unwrap_or(&context.cwd), cwd));
        // Nothing waits from here until the run can be found, so that the next one comes behind it.
        let runs = self.inner.registry.runs_of(&context.id);
        if runs.len() >= limits::CODE_QUEUE_MAX {
            return Err(Error::new(
                Code::RateLimited,
                "64 runs of this context wait already; wait for them or use another context",
            )
            .retry_after(Duration::from_secs(1)));
        }
        let after = accepted_before(&context, &runs);
        let id = CommandId::generate();
        let order = Request {
            id: &id,
            after: &after,
            code: &request.code,
            cwd: cwd.as_deref(),
            timeout: timeout.as_secs_f64(),
        };
        let spec = programs::relay(&context, &order, timeout);
        spec.validate()?;
        let purpose = Purpose::CodeRun(context.id);
        let command = new_command(self.shared(), lease.live(), id, spec, purpose);
        start(self.shared(), lease, command, claim).answer().await
    }

    async fn context_for(
        &self,
        ctx: &Ctx,
        lease: &Lease,
        request: &RunCode,
    ) -> Result<CodeContext> {
        let Some(id) = &request.context else {
            let language = request.language.unwrap_or(CodeLanguage::Python);
            return self.default_context(lease.sandbox(), language).await;
        };
        let context = self.any_context(ctx, id).await?;
        if context.sandbox != lease.sandbox().id {
            return Err(super::no_context(id));
        }
        match request.language {
            Some(language) if language != context.language => Err(Error::invalid(
                "language",
                format!("the context runs {}", context.language.as_str()),
            )),
            _ => Ok(context),
        }
    }

    /// The command of a run; every other command is no run.
    pub(crate) async fn code_command(
        &self,
        ctx: &Ctx,
        id: &CommandId,
    ) -> Result<(Command, CodeContextId)> {
        let command = self.any_command(ctx, id).await?;
        match command.purpose.clone() {
            Purpose::CodeRun(context) => Ok((command, context)),
            Purpose::Command | Purpose::Interpreter(_) => Err(Error::new(
                Code::CommandNotFound,
                format!("no run of code {id}"),
            )),
        }
    }

    async fn code_run(&self, ctx: &Ctx, id: &CommandId) -> Result<CodeRun> {
        let (command, context) = self.code_command(ctx, id).await?;
        let context = self.store().code_contexts().get_any(&context).await?;
        let context = context.ok_or_else(|| Error::internal("a run without its context"))?;
        let mut run = CodeRun::begun(&command, &context);
        let mut events = self.code_events(ctx, id, 0).await?;
        if command.state.is_terminal() {
            while let Some((_, event)) = events.next().await? {
                run.take(event);
            }
        } else {
            while let Some(event) = events.try_next()? {
                run.take(event);
            }
        }
        Ok(run)
    }
}

/// The runs of the context's present interpreter whose start has been answered: one that has not may
/// yet turn out to be a repetition of another.
fn accepted_before(context: &CodeContext, runs: &[Arc<LiveCommand>]) -> Vec<CommandId> {
    let is_before = |run: &&Arc<LiveCommand>| {
        let generation = programs::generation(&context.id, run.program());
        run.is_running() && generation == Some(context.generation)
    };
    let before = runs.iter().filter(is_before);
    before.map(|run| run.id().clone()).collect()
}

impl RunCode {
    fn validate(&self) -> Result<()> {
        validate_source(&self.code)?;
        self.timeout.map_or(Ok(()), validate_timeout)?;
        super::check_cwd(self.cwd.as_deref())
    }
}

impl CodeRun {
    fn begun(command: &Command, context: &CodeContext) -> Self {
        Self {
            id: command.id.clone(),
            sandbox: command.sandbox.clone(),
            context: context.id.clone(),
            language: context.language,
            state: CodeRunState::Queued,
            execution_count: None,
            restarted: false,
            state_kept: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
            truncated: false,
            outputs: Vec::new(),
            error: None,
            duration: None,
            created_at: command.created_at,
            ended_at: command.ended_at,
        }
    }

    fn take(&mut self, event: CodeEvent) {
        match event {
            CodeEvent::Begun {
                execution_count,
                restarted,
            } => {
                self.state = CodeRunState::Running;
                self.execution_count = Some(execution_count);
                self.restarted = restarted;
            }
            CodeEvent::Stdout(text) => self.stdout.push(text),
            CodeEvent::Stderr(text) => self.stderr.push(text),
            CodeEvent::Truncated => self.truncated = true,
            CodeEvent::Output(output) => self.outputs.push(output),
            CodeEvent::Error(error) => self.error = Some(error),
            CodeEvent::Complete(complete) => {
                self.state = complete.ending.into();
                self.execution_count = complete.execution_count.or(self.execution_count);
                self.state_kept = Some(complete.state_kept);
                let seconds = complete.duration_ms.map(|ms| ms / 1000.0);
                self.duration = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
            }
        }
    }
}
