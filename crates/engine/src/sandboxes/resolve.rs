//! From what was asked for to what the sandbox is: request over template over image over defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_model::credential::{CERTIFICATES, CERTIFICATES_IN_ENV};
use pinfold_model::sandbox::{HostMount, IdleAction, SandboxExtras, SandboxSpec, TemplateOrigin};
use pinfold_model::template::TemplateSpec;
use pinfold_model::{
    Code, CommandSpec, Ctx, Error, Image, ImageId, ImageName, KeyId, Level, NetworkMode,
    NetworkPolicy, ProjectId, Resource, Resources, Result, Sandbox, SandboxId, SandboxState,
    SecretEnv, Setup, Template, Time, TunnelSpec,
};

use super::{CreateSandbox, ImageOrTemplate};
use crate::access::no_sandbox;
use crate::clock::later;
use crate::errors::driver_error;
use crate::images::check_snapshot;
use crate::network_policies::check_named_alone;
use crate::{Engine, HostMounts, Share};

/// Where commands of an image begin that does not say: the image `host` has this directory.
const HOST_WORKDIR: &str = "/workspace";
/// The longest hostname Linux takes.
const HOSTNAME_MAX_CHARS: usize = 64;
const HOSTNAME_LABEL_MAX_CHARS: usize = 63;

/// A sandbox that is not recorded yet, and the image it boots from.
pub(crate) struct Resolved {
    pub(crate) sandbox: Sandbox,
    pub(crate) image: Image,
    pub(crate) tunnel: Option<TunnelSpec>,
    /// Not sealed yet: that takes the id under which it is recorded.
    pub(crate) setup_secrets: BTreeMap<usize, SecretEnv>,
}

/// What the part `from` of a request means.
struct Recipe {
    template: Option<Template>,
    /// The sandbox whose disk is copied.
    fork: Option<Sandbox>,
    image_name: String,
}

impl Recipe {
    fn image(name: &str) -> Self {
        Self {
            template: None,
            fork: None,
            image_name: name.to_owned(),
        }
    }

    fn template(template: Template) -> Self {
        Self {
            image_name: template.spec.image.to_string(),
            template: Some(template),
            fork: None,
        }
    }
}

impl Engine {
    pub(crate) async fn resolve(&self, ctx: &Ctx, request: CreateSandbox) -> Result<Resolved> {
        self.check_mounts(&request.mounts)?;
        let (mode, rules) = (request.network, request.network_policy.as_ref());
        check_named_alone(request.network_policy_id.as_deref(), mode, rules)?;
        may_use(ctx, request.credentials.as_deref())?;
        self.check_secrets(&ctx.principal.project, request.credentials.as_deref())
            .await?;
        self.check_extras(ctx, &request.more).await?;
        let request = match &request.from {
            ImageOrTemplate::Snapshot(id) => {
                let id = id.clone();
                self.linked_as_before(ctx, &id, request).await?
            }
            _ => request,
        };
        let project = &ctx.principal.project;
        let follows = request.network_policy_id.as_deref();
        let follows = self.policy_named(project, follows).await?;
        let Recipe {
            template,
            fork,
            image_name,
        } = self.recipe(ctx, &request.from).await?;
        let image = match &fork {
            Some(fork) => self.image(ctx, fork.spec.image.as_str()).await?,
            None => self.present_image(ctx, &image_name, Share::Project).await?,
        };
        let says_network = says_network(&request);
        let gateways = request.gateways.clone();
        let tunnel = request.tunnel;
        let setup_secrets = request.setup_secrets.clone();
        check_setup_secrets(&request.more.setup, &setup_secrets)?;
        if template.is_none() && fork.is_none() {
            check_snapshot(ctx, &image, Level::Read)?;
        }
        let request = match &fork {
            Some(fork) => as_there(request, &fork.spec),
            None => request,
        };
        // Those of a fork's original too.
        may_use(ctx, request.credentials.as_deref())?;
        if request.idle_action == Some(IdleAction::Stop) {
            self.inner.parts.driver.check_stop().map_err(driver_error)?;
        }
        let id = SandboxId::generate();
        // A caller who did not say which of the two it named is shown its own word again.
        let image_name = match &request.from {
            ImageOrTemplate::Named(name) => name.clone(),
            _ => image_name,
        };
        let mut spec = merge(&id, request, template.as_ref(), &image, image_name);
        if let Some(fork) = fork {
            spec.template_version = fork.spec.template_version.clone();
            spec.template = fork.spec.template.clone();
            spec.forked_from = Some(fork.id);
            if !says_network {
                spec.network_policy_id = fork.spec.network_policy_id;
            }
        }
        if let Some(policy) = follows {
            spec.network = NetworkMode::Policy;
            spec.network_policy = policy.rules;
            spec.network_policy_id = Some(policy.id);
        }
        self.bind_gateways(ctx, &gateways, &mut spec).await?;
        spec.validate()?;
        check_hostname(&spec.hostname)?;
        let now = self.now();
        let key = ctx.principal.key.clone();
        let sandbox = fresh(id, project, key, spec, now);
        Ok(Resolved {
            sandbox,
            image,
            tunnel,
            setup_secrets,
        })
    }

    /// That what the setup needs is there: better told now than in the middle of it.
    async fn check_extras(&self, ctx: &Ctx, more: &SandboxExtras) -> Result<()> {
        more.validate()?;
        if !more.setup.objects.is_empty() {
            ctx.require(Resource::Objects, Level::Read)?;
        }
        if !more.secrets.is_empty() {
            ctx.require(Resource::Secrets, Level::Read)?;
        }
        for mount in &more.setup.objects {
            let object = self.object(ctx, &mount.object).await?;
            if object.project != ctx.principal.project {
                let text = format!("no object {}", mount.object);
                return Err(Error::new(Code::ObjectNotFound, text));
            }
            object.state.require_sealed()?;
        }
        self.check_secret_names(&ctx.principal.project, &more.secrets)
            .await
    }

    async fn linked_as_before(
        &self,
        ctx: &Ctx,
        id: &ImageId,
        request: CreateSandbox,
    ) -> Result<CreateSandbox> {
        let snapshot = self.get_snapshot(ctx, id).await?;
        if snapshot.deleted_at.is_some() {
            let text = format!("the snapshot {id} has been deleted");
            return Err(Error::new(Code::ImageNotFound, text));
        }
        if says_network(&request) {
            return Ok(request);
        }
        let source = self.any_sandbox(ctx, &snapshot.sandbox).await?.spec;
        if let Some(followed) = source.network_policy_id {
            let policies = self.store().network_policies();
            let project = &ctx.principal.project;
            if policies.get(project, &followed).await?.is_some() {
                return Ok(CreateSandbox {
                    network_policy_id: Some(followed.into()),
                    ..request
                });
            }
        }
        Ok(CreateSandbox {
            network: Some(source.network),
            network_policy: Some(source.network_policy),
            ..request
        })
    }

    async fn recipe(&self, ctx: &Ctx, from: &ImageOrTemplate) -> Result<Recipe> {
        match from {
            ImageOrTemplate::Default => Ok(Recipe::image(&self.config().default_image)),
            ImageOrTemplate::Image(name) => Ok(Recipe::image(name)),
            ImageOrTemplate::Named(name) => self.template_or_image(ctx, name).await,
            ImageOrTemplate::Template { template, version } => {
                let project = &ctx.principal.project;
                let template = self.template(project, template, *version).await?;
                Ok(Recipe::template(template))
            }
            ImageOrTemplate::TemplateVersion(id) => {
                Ok(Recipe::template(self.template_version(ctx, id).await?))
            }
            ImageOrTemplate::Snapshot(id) => Ok(Recipe::image(id.as_str())),
            ImageOrTemplate::Sandbox(id) => self.fork(ctx, id).await,
        }
    }

    async fn fork(&self, ctx: &Ctx, id: &SandboxId) -> Result<Recipe> {
        let live = match self.need_live(ctx, id).await {
            Ok(live) if *live.project() == ctx.principal.project => live,
            Ok(_) => return Err(no_sandbox(id)),
            Err(error) => return Err(error),
        };
        self.inner.parts.driver.check_copy().map_err(driver_error)?;
        let sandbox = live.sandbox();
        if !sandbox.state.is_live() {
            sandbox.state.require_running()?;
        }
        Ok(Recipe {
            template: None,
            image_name: sandbox.spec.image_name.clone(),
            fork: Some(sandbox),
        })
    }

    async fn template_or_image(&self, ctx: &Ctx, name: &str) -> Result<Recipe> {
        match self.template(&ctx.principal.project, name, None).await {
            Ok(template) => Ok(Recipe::template(template)),
            Err(error) if error.code() == Code::TemplateNotFound => {
                // What no image can be called is as absent as what none is called.
                name.parse::<ImageName>().map_err(|form| {
                    let form = form.message();
                    let text = format!("there is no template or image {name:?}: {form}");
                    Error::new(Code::ImageNotFound, text)
                })?;
                Ok(Recipe::image(name))
            }
            Err(error) => Err(error),
        }
    }

    fn check_mounts(&self, mounts: &[HostMount]) -> Result<()> {
        if mounts.is_empty() {
            return Ok(());
        }
        if self.config().host_mounts == HostMounts::Refused {
            return Err(Error::new(
                Code::PermissionDenied,
                "directories of the server cannot be mounted; upload files instead",
            ));
        }
        mounts.iter().try_for_each(HostMount::validate)
    }
}

/// That each has its command, and fits beside it.
fn check_setup_secrets(setup: &Setup, secrets: &BTreeMap<usize, SecretEnv>) -> Result<()> {
    for (place, env) in secrets {
        let program = setup.once.get(*place);
        let program = program.ok_or_else(|| Error::internal("no command has this environment"))?;
        let spec = CommandSpec {
            secret_env: env.clone(),
            ..CommandSpec::new(program.clone())
        };
        spec.validate()?;
    }
    Ok(())
}

/// Whether a request says what the sandbox may reach.
fn says_network(request: &CreateSandbox) -> bool {
    request.network.is_some()
        || request.network_policy.is_some()
        || request.network_policy_id.is_some()
}

/// Credentials are made of secrets.
fn may_use<C>(ctx: &Ctx, credentials: Option<&[C]>) -> Result<()> {
    match credentials {
        None | Some([]) => Ok(()),
        Some(_) => ctx.require(Resource::Secrets, Level::Read),
    }
}

/// The request of a fork, with what it leaves out as its original has it.
fn as_there(request: CreateSandbox, there: &SandboxSpec) -> CreateSandbox {
    let resources = there.resources;
    let (network, network_policy) = match (request.network, request.network_policy) {
        (None, None) => (Some(there.network), Some(there.network_policy.clone())),
        asked => asked,
    };
    let mut env = there.env.clone();
    env.extend(request.env);
    let mounts = match request.mounts.is_empty() {
        true => there.mounts.clone(),
        false => request.mounts,
    };
    CreateSandbox {
        vcpu_millis: request.vcpu_millis.or(Some(resources.vcpu_millis)),
        memory_mib: request.memory_mib.or(Some(resources.memory_mib)),
        disk_mib: request.disk_mib.or(Some(resources.disk_mib)),
        pids: request.pids.or(Some(resources.pids)),
        network,
        network_policy,
        env,
        workdir: request.workdir.or_else(|| Some(there.workdir.clone())),
        user: request.user.or_else(|| Some(there.user.clone())),
        ttl: request.ttl.or(there.ttl),
        idle_timeout: request.idle_timeout.or(there.idle_timeout),
        idle_action: request.idle_action.or(Some(there.idle_action)),
        mounts,
        credentials: request
            .credentials
            .or_else(|| Some(there.credentials.clone())),
        ..request
    }
}

fn merge(
    id: &SandboxId,
    request: CreateSandbox,
    template: Option<&Template>,
    image: &Image,
    image_name: String,
) -> SandboxSpec {
    let recipe = template.map(|template| &template.spec);
    let resources = resources(&request, recipe);
    let (network, network_policy) = network(&request, recipe);
    let mut env = recipe.map(|t| t.env.clone()).unwrap_or_default();
    env.extend(request.env);
    if request
        .credentials
        .as_ref()
        .is_some_and(|some| !some.is_empty())
    {
        for name in CERTIFICATES_IN_ENV {
            env.entry(name.to_owned())
                .or_insert_with(|| CERTIFICATES.to_owned());
        }
    }
    SandboxSpec {
        name: request.name,
        image: image.id.clone(),
        image_name,
        template_version: template.map(|template| template.version_id.clone()),
        template: template.map(|template| TemplateOrigin {
            id: template.id.clone(),
            name: template.name.clone(),
            version: template.version,
        }),
        forked_from: None,
        resources,
        network,
        network_policy,
        network_policy_id: None,
        env,
        workdir: request
            .workdir
            .or_else(|| recipe.and_then(|t| t.workdir.clone()))
            .or_else(|| image.config.workdir.clone())
            .unwrap_or_else(|| default_workdir(image).to_owned()),
        user: request
            .user
            .or_else(|| recipe.and_then(|t| t.user.clone()))
            .or_else(|| image.config.user.clone())
            .unwrap_or_else(|| "root".to_owned()),
        hostname: request.hostname.unwrap_or_else(|| default_hostname(id)),
        metadata: request.metadata,
        ttl: request.ttl.or(recipe.and_then(|t| t.ttl)),
        idle_timeout: request.idle_timeout.or(recipe.and_then(|t| t.idle_timeout)),
        idle_action: request.idle_action.unwrap_or_default(),
        mounts: request.mounts,
        credentials: request.credentials.unwrap_or_default(),
        more: request.more,
    }
}

/// Rules are for the mode they were written for: a request that names another mode has none of the
/// template's.
fn network(request: &CreateSandbox, recipe: Option<&TemplateSpec>) -> (NetworkMode, NetworkPolicy) {
    let by_rules = || request.network_policy.as_ref().map(|_| NetworkMode::Policy);
    let mode = request
        .network
        .or_else(by_rules)
        .or(recipe.map(|t| t.network))
        .unwrap_or(NetworkMode::None);
    let of_recipe = || {
        recipe
            .filter(|t| t.network == mode)
            .map(|t| &t.network_policy)
    };
    let policy = request.network_policy.as_ref().or_else(of_recipe);
    (mode, policy.cloned().unwrap_or_default())
}

fn resources(request: &CreateSandbox, recipe: Option<&TemplateSpec>) -> Resources {
    let base = recipe.map(|t| t.resources).unwrap_or_default();
    Resources {
        vcpu_millis: request.vcpu_millis.unwrap_or(base.vcpu_millis),
        memory_mib: request.memory_mib.unwrap_or(base.memory_mib),
        disk_mib: request.disk_mib.unwrap_or(base.disk_mib),
        pids: request.pids.unwrap_or(base.pids),
    }
}

fn default_workdir(image: &Image) -> &'static str {
    match image.source.is_on_host() {
        true => HOST_WORKDIR,
        false => "/",
    }
}

/// The end of an id is its random part, so neighbours in time have different names.
pub(crate) fn default_hostname(id: &SandboxId) -> String {
    let text = id.as_str();
    format!("sbx-{}", &text[text.len().saturating_sub(12)..])
}

/// A sandbox that is about to be recorded.
pub(crate) fn fresh(
    id: SandboxId,
    project: &ProjectId,
    key: Option<KeyId>,
    spec: SandboxSpec,
    now: Time,
) -> Sandbox {
    let spec_ttl = spec.ttl;
    let expires_at = spec_ttl.map(|ttl: Duration| later(now, ttl));
    Sandbox {
        id,
        project: project.clone(),
        key,
        spec,
        state: SandboxState::Creating,
        reason: None,
        failure: None,
        created_at: now,
        running_since: None,
        ttl: spec_ttl,
        expires_at,
        last_active_at: now,
        running_commands: 0,
        ended_at: None,
    }
}

/// Labels of letters, digits and '-' as RFC 1123 has them, joined by dots.
fn check_hostname(hostname: &str) -> Result<()> {
    let label = |label: &str| {
        (1..=HOSTNAME_LABEL_MAX_CHARS).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if hostname.len() <= HOSTNAME_MAX_CHARS && hostname.split('.').all(label) {
        return Ok(());
    }
    Err(Error::invalid(
        "hostname",
        "a hostname is at most 64 letters, digits and '-', in parts joined by '.'",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::{ImageConfig, ImageSource, TemplateId, TemplateVersionId};

    fn image() -> Image {
        Image {
            id: ImageId::generate(),
            project: None,
            source: ImageSource::Tar,
            layers: vec![],
            config: ImageConfig {
                workdir: Some("/srv".into()),
                ..ImageConfig::default()
            },
            size_bytes: 0,
            names: vec![],
            created_at: Time::UNIX_EPOCH,
        }
    }

    fn template() -> Template {
        Template {
            id: TemplateId::generate(),
            project: None,
            name: "t".into(),
            version: 1,
            version_id: TemplateVersionId::generate(),
            spec: TemplateSpec {
                image: "host".parse().expect("a plain name"),
                resources: Resources {
                    memory_mib: 256,
                    ..Resources::default()
                },
                network: NetworkMode::Open,
                network_policy: NetworkPolicy::default(),
                env: BTreeMap::from([("A".into(), "t".into()), ("B".into(), "t".into())]),
                workdir: None,
                user: Some("nobody".into()),
                ttl: None,
                idle_timeout: None,
            },
            created_at: Time::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_request_wins_over_the_template_and_that_over_the_image() {
        let request = CreateSandbox {
            vcpu_millis: Some(500),
            env: BTreeMap::from([("A".into(), "r".into())]),
            ..CreateSandbox::default()
        };
        let id = SandboxId::generate();
        let spec = merge(
            &id,
            request,
            Some(&template()),
            &image(),
            "host:latest".into(),
        );
        assert_eq!(spec.resources.vcpu_millis, 500);
        assert_eq!(spec.resources.memory_mib, 256);
        assert_eq!(spec.network, NetworkMode::Open);
        assert_eq!(spec.env["A"], "r");
        assert_eq!(spec.env["B"], "t");
        assert_eq!(spec.workdir, "/srv");
        assert_eq!(spec.user, "nobody");
        assert!(check_hostname(&spec.hostname).is_ok());
    }

    #[test]
    fn hostnames_that_no_resolver_takes_are_refused() {
        for bad in ["", "-a", "a-", "a..b", "a b", "é", &"a".repeat(65), "a_b"] {
            assert!(check_hostname(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a-b.c9", "7"] {
            assert!(check_hostname(good).is_ok(), "{good:?}");
        }
    }
}
