//! Use cases of templates: named, versioned recipes for sandboxes.

use pinfold_model::sandbox::{validate_env, validate_network, validate_path};
use pinfold_model::template::{TemplateSpec, validate_template_name};
use pinfold_model::{
    Code, Ctx, Error, ImageName, Level, NetworkMode, NetworkPolicy, ProjectId, Resources, Result,
    Template, TemplateVersionId, limits,
};
use pinfold_store::{Page, PageRequest};

use crate::Engine;
use crate::images::check_snapshot;
use crate::usecase::Note;

/// For whom an image or template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Share {
    /// The caller's own project.
    #[default]
    Project,
    /// Every project; only an admin may ask for it.
    Everyone,
}

/// Templates that a fresh installation offers; all boot the image `host` until the operator points
/// them elsewhere.
const SHIPPED: [&str; 5] = ["base", "python", "node", "nodejs", "python-node"];

/// Room for what people install and build first. The network stays shut unless a request or the
/// operator's own template opens it.
const SHIPPED_RESOURCES: Resources = Resources {
    vcpu_millis: 2000,
    memory_mib: 2048,
    disk_mib: 8192,
    pids: 2048,
};

impl Engine {
    /// Makes the next version of a template. Its image has to be there, or is pulled now for those
    /// whom the template is for.
    pub async fn set_template(
        &self,
        ctx: &Ctx,
        name: &str,
        spec: TemplateSpec,
        share: Share,
    ) -> Result<Template> {
        let note = Note::new("template.set");
        note.about(name);
        note.fact("image", spec.image.to_string());
        self.audited(ctx, &note, async {
            let owner = self.owner(ctx, share)?;
            validate(name, &spec)?;
            let wanted = spec.image.to_string();
            let image = self.present_image(ctx, &wanted, share).await?;
            check_snapshot(ctx, &image, Level::Read)?;
            let at = self.now();
            Ok(self
                .store()
                .templates()
                .set(owner.as_ref(), name, &spec, at)
                .await?)
        })
        .await
    }

    /// The template of that name or id: the project's own before the shared one; the latest version
    /// unless one is named, by its number or its own id in place of the name.
    pub async fn get_template(
        &self,
        ctx: &Ctx,
        name: &str,
        version: Option<u32>,
    ) -> Result<Template> {
        self.timed(
            ctx,
            "template.get",
            self.template(&ctx.principal.project, name, version),
        )
        .await
    }

    /// One version by its own id, which never changes; also of a template that was removed.
    pub async fn get_template_version(
        &self,
        ctx: &Ctx,
        id: &TemplateVersionId,
    ) -> Result<Template> {
        self.timed(ctx, "template.get", async {
            self.template_version(ctx, id).await
        })
        .await
    }

    /// Every version of the template of that name or id, newest first.
    pub async fn list_template_versions(
        &self,
        ctx: &Ctx,
        name: &str,
        page: &PageRequest,
    ) -> Result<Page<Template>> {
        self.timed(ctx, "template.versions", async {
            let template = self.template(&ctx.principal.project, name, None).await?;
            let templates = self.store().templates();
            Ok(templates.versions(&template.id, page).await?)
        })
        .await
    }

    /// The latest version of each template that the caller's project may use.
    pub async fn list_templates(&self, ctx: &Ctx, page: &PageRequest) -> Result<Page<Template>> {
        self.timed(ctx, "template.list", async {
            Ok(self
                .store()
                .templates()
                .list(&ctx.principal.project, page)
                .await?)
        })
        .await
    }

    /// Takes a template off the list; sandboxes made from it live on.
    pub async fn remove_template(&self, ctx: &Ctx, name: &str) -> Result<()> {
        let note = Note::new("template.remove");
        note.about(name);
        self.audited(ctx, &note, async {
            // The id of one version does not stand for all of them.
            if name.parse::<TemplateVersionId>().is_ok() {
                return Err(not_found(name, None));
            }
            let template = self.template(&ctx.principal.project, name, None).await?;
            if template.project.is_none() {
                ctx.require_admin()?;
            }
            let owner = template.project.as_ref();
            let templates = self.store().templates();
            Ok(templates.delete(owner, &template.name, self.now()).await?)
        })
        .await
    }

    /// One version of a template that the caller's project may use, also of a removed one.
    pub(crate) async fn template_version(
        &self,
        ctx: &Ctx,
        id: &TemplateVersionId,
    ) -> Result<Template> {
        let found = self.store().templates().get_version(id).await?;
        let found = found.ok_or_else(|| not_found(id.as_str(), None))?;
        match &found.project {
            Some(project) if !self.sees(ctx, project).await? => Err(not_found(id.as_str(), None)),
            _ => Ok(found),
        }
    }

    pub(crate) async fn template(
        &self,
        project: &ProjectId,
        name: &str,
        version: Option<u32>,
    ) -> Result<Template> {
        let templates = self.store().templates();
        let found = match (name.parse::<TemplateVersionId>(), version) {
            (Ok(id), None) => templates.pinned(project, &id).await?,
            (Ok(id), Some(version)) => {
                let pinned = templates.pinned(project, &id).await?;
                pinned.filter(|template| template.version == version)
            }
            (Err(_), None) => templates.latest(project, name).await?,
            (Err(_), Some(version)) => templates.numbered(project, name, version).await?,
        };
        found.ok_or_else(|| not_found(name, version))
    }

    /// Whose a new image or template is; `None` is everybody's.
    pub(crate) fn owner(&self, ctx: &Ctx, share: Share) -> Result<Option<ProjectId>> {
        match share {
            Share::Project => Ok(Some(ctx.principal.project.clone())),
            Share::Everyone => ctx.require_admin().map(|()| None),
        }
    }

    /// Sets the shipped templates in a store that has none of that name.
    pub(crate) async fn ship_templates(&self) -> Result<()> {
        let project = &self.inner.home.project.id;
        for name in SHIPPED {
            if self
                .store()
                .templates()
                .latest(project, name)
                .await?
                .is_none()
            {
                let spec = shipped()?;
                self.store()
                    .templates()
                    .set(None, name, &spec, self.now())
                    .await?;
            }
        }
        Ok(())
    }
}

fn not_found(name: &str, version: Option<u32>) -> Error {
    let which = version.map_or(String::new(), |v| format!(" version {v}"));
    Error::new(
        Code::TemplateNotFound,
        format!("no template {name:?}{which}"),
    )
}

fn shipped() -> Result<TemplateSpec> {
    Ok(TemplateSpec {
        image: "host".parse::<ImageName>()?,
        resources: SHIPPED_RESOURCES,
        network: NetworkMode::None,
        network_policy: NetworkPolicy::default(),
        env: std::collections::BTreeMap::new(),
        workdir: None,
        user: None,
        ttl: None,
        idle_timeout: None,
    })
}

fn validate(name: &str, spec: &TemplateSpec) -> Result<()> {
    validate_template_name(name)?;
    spec.resources.validate()?;
    validate_network(spec.network, &spec.network_policy)?;
    validate_env(&spec.env)?;
    if let Some(workdir) = &spec.workdir {
        validate_path("workdir", workdir)?;
    }
    for (field, value) in [("ttl_ms", spec.ttl), ("idle_timeout_ms", spec.idle_timeout)] {
        if value.is_some_and(|d| d.is_zero() || d > limits::TTL_MAX) {
            return Err(Error::invalid(
                field,
                format!("{field} must be from 1 ms to 30 days"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_templates_pass_their_own_checks() {
        for name in SHIPPED {
            assert!(validate(name, &shipped().expect("a plain name")).is_ok());
        }
    }

    #[test]
    fn names_and_bounds_are_checked() {
        let spec = shipped().expect("a plain name");
        assert!(validate(&"x".repeat(300), &spec).is_err());
        let forever = TemplateSpec {
            ttl: Some(limits::TTL_MAX * 2),
            ..spec
        };
        assert_eq!(
            validate("a", &forever).expect_err("too long").details()["field"],
            "ttl_ms"
        );
    }
}
