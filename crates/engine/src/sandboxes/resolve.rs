//! From what was asked for to what the sandbox is: request over template over image over defaults.

mod merge;

use std::collections::BTreeMap;

use pinfold_model::sandbox::{HostMount, IdleAction, SandboxExtras, SandboxSpec};
use pinfold_model::{
    Code, CommandSpec, Ctx, Error, Image, ImageId, ImageName, Level, NetworkMode, Resource, Result,
    Sandbox, SandboxId, SecretEnv, Setup, Template, TunnelSpec,
};

use super::{CreateSandbox, ImageOrTemplate};
use crate::access::no_sandbox;
use crate::errors::driver_error;
use crate::images::check_snapshot;
use crate::network_policies::check_named_alone;
use crate::{Engine, HostMounts, Share};
use merge::{check_hostname, merge};

pub(crate) use merge::{default_hostname, fresh};

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
            Some(fork) => self.image_below(&fork.spec).await?,
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
