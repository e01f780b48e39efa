//! Use cases of projects and their quotas.

use pinfold_model::sandbox::validate_name;
use pinfold_model::{Code, Ctx, Error, Project, ProjectId, Quota, Result, Role};
use pinfold_store::{Page, PageRequest};

use crate::Engine;
use crate::usecase::Note;

/// Bounds to change. The outer `None` keeps a bound, the inner one removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaChange {
    pub live_sandboxes: Option<Option<u32>>,
    pub vcpu_millis: Option<Option<u64>>,
    pub memory_mib: Option<Option<u64>>,
    pub object_bytes: Option<Option<u64>>,
}

impl QuotaChange {
    pub(crate) fn apply(self, quota: Quota) -> Quota {
        Quota {
            live_sandboxes: self.live_sandboxes.unwrap_or(quota.live_sandboxes),
            vcpu_millis: self.vcpu_millis.unwrap_or(quota.vcpu_millis),
            memory_mib: self.memory_mib.unwrap_or(quota.memory_mib),
            object_bytes: self.object_bytes.unwrap_or(quota.object_bytes),
        }
    }
}

impl Engine {
    /// Makes a project in the caller's org. Needs the role admin.
    pub async fn create_project(
        &self,
        ctx: &Ctx,
        name: &str,
        quota: QuotaChange,
    ) -> Result<Project> {
        let note = Note::new("project.create");
        self.audited(ctx, &note, async {
            ctx.require_admin()?;
            validate_name("name", name)?;
            let project = Project {
                id: ProjectId::generate(),
                org: ctx.principal.org.clone(),
                name: name.to_owned(),
                quota: quota.apply(Quota::default()),
                created_at: self.now(),
            };
            note.about(project.id.as_str());
            self.store().projects().insert(&project).await?;
            Ok(project)
        })
        .await
    }

    /// The caller's own project, or for an admin any of its org.
    pub async fn get_project(&self, ctx: &Ctx, id: &ProjectId) -> Result<Project> {
        self.timed(ctx, "project.get", self.project_of_caller(ctx, id))
            .await
    }

    /// Every project of the org for an admin, else the caller's own.
    pub async fn list_projects(&self, ctx: &Ctx, page: &PageRequest) -> Result<Page<Project>> {
        self.timed(ctx, "project.list", async {
            if ctx.principal.role == Role::Admin {
                return Ok(self
                    .store()
                    .projects()
                    .list(&ctx.principal.org, page)
                    .await?);
            }
            let own = self.project_of_caller(ctx, &ctx.principal.project).await?;
            Ok(Page {
                items: vec![own],
                next: None,
            })
        })
        .await
    }

    /// Holds for sandboxes created from now on. Needs the role admin.
    pub async fn change_quota(
        &self,
        ctx: &Ctx,
        id: &ProjectId,
        change: QuotaChange,
    ) -> Result<Project> {
        let note = Note::new("project.quota");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            ctx.require_admin()?;
            let project = self.project_of_org(ctx, id).await?;
            let quota = change.apply(project.quota);
            Ok(self.store().projects().set_quota(id, quota).await?)
        })
        .await
    }

    async fn project_of_caller(&self, ctx: &Ctx, id: &ProjectId) -> Result<Project> {
        let project = self.project_of_org(ctx, id).await?;
        if ctx.principal.role == Role::Admin || ctx.owns(&project.id) {
            return Ok(project);
        }
        Err(not_found(id))
    }

    pub(crate) async fn project_of_org(&self, ctx: &Ctx, id: &ProjectId) -> Result<Project> {
        match self.store().projects().get(id).await? {
            Some(project) if project.org == ctx.principal.org => Ok(project),
            _ => Err(not_found(id)),
        }
    }
}

fn not_found(id: &ProjectId) -> Error {
    Error::new(Code::ProjectNotFound, format!("no project {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let quota = Quota {
            live_sandboxes: Some(5),
            vcpu_millis: Some(1000),
            memory_mib: None,
            object_bytes: Some(7),
        };
        let change = QuotaChange {
            vcpu_millis: Some(None),
            memory_mib: Some(Some(64)),
            ..QuotaChange::default()
        };
        let changed = change.apply(quota);
        assert_eq!(changed.live_sandboxes, Some(5));
        assert_eq!(changed.vcpu_millis, None);
        assert_eq!(changed.memory_mib, Some(64));
        assert_eq!(changed.object_bytes, Some(7));
    }
}
