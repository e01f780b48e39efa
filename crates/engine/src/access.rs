//! Who may see what: a member its project, an admin its whole org; the rest does not exist.

use std::sync::Arc;

use pinfold_model::{
    Code, Command, CommandId, Ctx, Error, ProjectId, Result, Role, Sandbox, SandboxId,
};
use pinfold_store::Scope;

use crate::Engine;
use crate::live::{LiveCommand, LiveSandbox};

/// What lists show this caller.
pub(crate) fn scope(ctx: &Ctx) -> Scope {
    match ctx.principal.role {
        Role::Admin => Scope::Org(ctx.principal.org.clone()),
        Role::Member => Scope::Project(ctx.principal.project.clone()),
    }
}

impl Engine {
    /// Whether things of `project` exist for the caller. Costs a look-up only the first time an
    /// admin meets another project.
    pub(crate) async fn sees(&self, ctx: &Ctx, project: &ProjectId) -> Result<bool> {
        if ctx.owns(project) {
            return Ok(true);
        }
        if ctx.principal.role != Role::Admin {
            return Ok(false);
        }
        Ok(self.org_of(project).await? == Some(ctx.principal.org.clone()))
    }

    /// The caller as one who works in `project`, if that exists for it; `None`: in its own.
    pub(crate) async fn acting_in(&self, ctx: &Ctx, project: Option<&ProjectId>) -> Result<Ctx> {
        let mut acting = ctx.clone();
        if let Some(project) = project {
            if !self.sees(ctx, project).await? {
                return Err(Error::new(
                    Code::ProjectNotFound,
                    format!("no project {project}"),
                ));
            }
            acting.principal.project = project.clone();
        }
        Ok(acting)
    }

    /// A live sandbox that the caller may use, `None` where it has ended (or is not live here).
    pub(crate) async fn live(&self, ctx: &Ctx, id: &SandboxId) -> Result<Option<Arc<LiveSandbox>>> {
        match self.inner.registry.sandbox(id) {
            Some(live) if self.sees(ctx, live.project()).await? => Ok(Some(live)),
            Some(_) => Err(no_sandbox(id)),
            None => Ok(None),
        }
    }

    /// The same, where only a live one will do: otherwise the error says what it is instead.
    pub(crate) async fn need_live(&self, ctx: &Ctx, id: &SandboxId) -> Result<Arc<LiveSandbox>> {
        if let Some(live) = self.live(ctx, id).await? {
            return Ok(live);
        }
        let sandbox = self.recorded_sandbox(ctx, id).await?;
        sandbox.state.require_running()?;
        Err(Error::new(
            Code::Unavailable,
            "the sandbox is being recovered; try again shortly",
        ))
    }

    /// A sandbox as it is now, live or ended.
    pub(crate) async fn any_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        match self.live(ctx, id).await? {
            Some(live) => Ok(live.sandbox()),
            None => self.recorded_sandbox(ctx, id).await,
        }
    }

    pub(crate) async fn recorded_sandbox(&self, ctx: &Ctx, id: &SandboxId) -> Result<Sandbox> {
        let found = self.store().sandboxes().find(&scope(ctx), id).await?;
        found.ok_or_else(|| no_sandbox(id))
    }

    /// A command whose task is still there, `None` where it has ended and been recorded.
    pub(crate) async fn live_command(
        &self,
        ctx: &Ctx,
        id: &CommandId,
    ) -> Result<Option<Arc<LiveCommand>>> {
        match self.inner.registry.command(id) {
            Some(live) if self.sees(ctx, live.project()).await? => Ok(Some(live)),
            Some(_) => Err(no_command(id)),
            None => Ok(None),
        }
    }

    /// A command as it is now.
    pub(crate) async fn any_command(&self, ctx: &Ctx, id: &CommandId) -> Result<Command> {
        if let Some(live) = self.live_command(ctx, id).await? {
            return Ok(live.command());
        }
        match self.store().commands().get(id).await? {
            Some(command) if self.sees(ctx, &command.project).await? => Ok(command),
            _ => Err(no_command(id)),
        }
    }

    async fn org_of(&self, project: &ProjectId) -> Result<Option<pinfold_model::OrgId>> {
        if let Some(org) = self.inner.orgs.get(project) {
            return Ok(Some(org));
        }
        let found = self.store().projects().get(project).await?;
        let org = found.map(|project| project.org);
        if let Some(org) = &org {
            self.inner.orgs.put(project.clone(), org.clone());
        }
        Ok(org)
    }
}

pub(crate) fn no_sandbox(id: &SandboxId) -> Error {
    Error::new(Code::SandboxNotFound, format!("no sandbox {id}"))
}

fn no_command(id: &CommandId) -> Error {
    Error::new(Code::CommandNotFound, format!("no command {id}"))
}
