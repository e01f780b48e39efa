//! Use cases of builds: images made from Dockerfiles, on our own sandboxes.
//!
//! ```text
//! create: Dockerfile read, steps laid out -> build recorded -> owner task
//! owner:  bases resolved -> every step's key -> what earlier builds left is taken over
//!         -> each step left: sandbox of the step before's image -> the work -> copy of its disk,
//!            recorded under the key -> sandbox destroyed
//!         -> image and end of the build recorded together
//! ```
//! Each step begins with the image that the one before it left, so what is cached and what was just
//! made are the same thing ([ADR 17](../../../docs/adr/0017-a-build-is-a-chain-of-snapshots.md)).

mod cache;
mod context;
mod copy;
mod follow;
mod layout;
mod live;
mod make;
mod owner;
mod ownership;
mod plan;
mod recovery;
mod source;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pinfold_model::build::{BuildCache, BuildHome, BuildSpec, BuildState};
use pinfold_model::setup::validate_secret_names;
use pinfold_model::{
    Build, BuildId, Code, Ctx, Error, ImageName, Level, NetworkMode, NetworkPolicy, ObjectId,
    Resource, Resources, Result, SecretEnv, limits,
};
use pinfold_store::{BuildBounds, BuildFilter, Inserted, Page, PageRequest};
use serde::Serialize;

use crate::access::scope;
use crate::errors::driver_error;
use crate::images::check_name;
use crate::network_policies::check_named_alone;
use crate::secrets::secret_env;
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

pub use follow::{BuildEvent, BuildReader};

pub(crate) use cache::retire_steps;
pub(crate) use live::Builds;
pub(crate) use recovery::recover;

use live::LiveBuild;

/// What a caller asks for. What is left out has the default that stands beside it.
#[derive(Debug, Clone, Serialize)]
pub struct CreateBuild {
    /// What the image is called when it is complete, taken from the image that had the name.
    pub name: ImageName,
    pub dockerfile: String,
    /// A sealed object of the caller's project: a tar, plain, gzip or zstd.
    pub context: Option<ObjectId>,
    /// A stage; the last.
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    /// Environment of every command; part of no image, of no record and of no cache key.
    pub secrets: SecretEnv,
    /// The same by environment variable and name of the project's secret: the values that those have
    /// when the build is accepted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_names: BTreeMap<String, String>,
    /// Shell lines that run after the Dockerfile, one step each.
    pub setup: Vec<String>,
    /// What single lines have beside `secrets`, by their place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub setup_secrets: BTreeMap<usize, SecretEnv>,
    /// Lines from this one on are run whatever earlier builds left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_anew_from: Option<usize>,
    /// Who runs them; the image's user.
    pub setup_user: Option<String>,
    /// Text files by absolute path, put into the image before `setup`.
    pub files: BTreeMap<String, String>,
    /// Whose those of `files` are that are below somebody's home; root's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<BuildHome>,
    /// Over those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    pub cache: BuildCache,
    pub vcpu_millis: Option<u32>,
    pub memory_mib: Option<u32>,
    pub disk_mib: Option<u32>,
    pub pids: Option<u32>,
    /// Of the steps; `open`, or `policy` where rules are given.
    pub network: Option<NetworkMode>,
    pub network_policy: Option<NetworkPolicy>,
    /// The id of a policy of the project, or its name where no other has that, instead of rules: its
    /// rules are the build's as they are when it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy_id: Option<String>,
    /// Of the whole build; one hour, at most 24.
    pub timeout: Option<Duration>,
}

impl CreateBuild {
    #[must_use]
    pub fn new(name: ImageName, dockerfile: impl Into<String>) -> Self {
        Self {
            name,
            dockerfile: dockerfile.into(),
            context: None,
            target: None,
            args: BTreeMap::new(),
            secrets: SecretEnv::default(),
            secret_names: BTreeMap::new(),
            setup: Vec::new(),
            setup_secrets: BTreeMap::new(),
            setup_anew_from: None,
            setup_user: None,
            files: BTreeMap::new(),
            home: None,
            labels: BTreeMap::new(),
            cache: BuildCache::Use,
            vcpu_millis: None,
            memory_mib: None,
            disk_mib: None,
            pids: None,
            network: None,
            network_policy: None,
            network_policy_id: None,
            timeout: None,
        }
    }

    fn into_spec(self, ctx: &Ctx) -> Result<BuildSpec> {
        let base = Resources::default();
        let by_rules = self.network_policy.as_ref().map(|_| NetworkMode::Policy);
        let spec = BuildSpec {
            name: self.name,
            dockerfile: self.dockerfile,
            context: self.context,
            target: self.target,
            args: self.args,
            secrets: self.secrets,
            setup: self.setup,
            setup_secrets: self.setup_secrets,
            setup_anew_from: self.setup_anew_from,
            setup_user: self.setup_user,
            files: self.files,
            home: self.home,
            labels: self.labels,
            cache: self.cache,
            resources: Resources {
                vcpu_millis: self.vcpu_millis.unwrap_or(base.vcpu_millis),
                memory_mib: self.memory_mib.unwrap_or(base.memory_mib),
                disk_mib: self.disk_mib.unwrap_or(base.disk_mib),
                pids: self.pids.unwrap_or(base.pids),
            },
            network: self.network.or(by_rules).unwrap_or(NetworkMode::Open),
            network_policy: self.network_policy.unwrap_or_default(),
            timeout: self.timeout.unwrap_or(limits::BUILD_TIMEOUT_DEFAULT),
            key: ctx.principal.key.clone(),
        };
        spec.validate()?;
        Ok(spec)
    }
}

impl Engine {
    /// Accepts a build and answers at once. What can be judged without running anything is judged
    /// here: the Dockerfile's grammar, the target, the context's being there.
    ///
    /// The same idempotency key with the same request answers with the same build; with another
    /// request it is a conflict.
    pub async fn create_build(
        &self,
        ctx: &Ctx,
        mut request: CreateBuild,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Build>> {
        let note = Note::new("image.build");
        note.fact("name", request.name.to_string());
        self.audited(ctx, &note, async {
            check_name(&request.name)?;
            // Its own form leaves the values out.
            let values = request.secrets.values();
            let claim = match request.setup_secrets.is_empty() {
                true => self.claim(ctx, "image.build", idempotency, &(&request, values))?,
                false => {
                    let of_lines = request.setup_secrets.values().map(SecretEnv::values);
                    let whole = (&request, values, of_lines.collect::<Vec<_>>());
                    self.claim(ctx, "image.build", idempotency, &whole)?
                }
            };
            self.take_secrets(ctx, &mut request).await?;
            self.inner.parts.driver.check_copy().map_err(driver_error)?;
            if let Some(context) = &request.context {
                self.get_object(ctx, context)
                    .await?
                    .state
                    .require_sealed()?;
            }
            let named = request.network_policy_id.take();
            let (mode, rules) = (request.network, request.network_policy.as_ref());
            check_named_alone(named.as_deref(), mode, rules)?;
            let project = &ctx.principal.project;
            if let Some(policy) = self.policy_named(project, named.as_deref()).await? {
                request.network_policy = Some(policy.rules);
            }
            let spec = request.into_spec(ctx)?;
            let turn = self.inner.builds.judging(&ctx.principal.project).await;
            let read = live::blocking(Some(turn), move || {
                let (evaluator, layout) = layout::read(&spec)?;
                let warnings = layout::warnings(evaluator.file(), &spec);
                Ok((spec, layout.steps, warnings))
            });
            let (spec, steps, warnings) = read.await?.map_err(invalid)?;
            let build = Build {
                id: BuildId::generate(),
                org: ctx.principal.org.clone(),
                project: ctx.principal.project.clone(),
                warnings,
                spec,
                state: BuildState::Queued,
                steps,
                sandboxes: Vec::new(),
                image: None,
                failure: None,
                cancel: false,
                created_at: self.now(),
                started_at: None,
                ended_at: None,
            };
            let (engine, ctx) = (self.clone(), ctx.clone());
            let accepted = self
                .detached(async move {
                    match engine
                        .store()
                        .builds()
                        .insert(&build, claim.as_ref(), BuildBounds::default())
                        .await?
                    {
                        Inserted::New(build) => {
                            owner::start(&engine, ctx, build.clone());
                            Ok(accepted(build, Origin::New))
                        }
                        Inserted::Replay(known) => {
                            let now = engine.inner.builds.get(&known.id);
                            let now = now.map_or(known, |live: Arc<LiveBuild>| live.build());
                            Ok(accepted(now, Origin::Replay))
                        }
                    }
                })
                .await?;
            note.about(accepted.value.id.as_str());
            note.fact("replay", accepted.origin == Origin::Replay);
            Ok(accepted)
        })
        .await
    }

    async fn take_secrets(&self, ctx: &Ctx, request: &mut CreateBuild) -> Result<()> {
        if request.secret_names.is_empty() {
            return Ok(());
        }
        ctx.require(Resource::Secrets, Level::Read)?;
        validate_secret_names(&request.secret_names)?;
        let project = &ctx.principal.project;
        let mut values = request.secrets.values().clone();
        values.extend(secret_env(self.shared(), project, &request.secret_names).await?);
        request.secrets = SecretEnv::new(values);
        Ok(())
    }

    /// A build as it is now.
    pub async fn get_build(&self, ctx: &Ctx, id: &BuildId) -> Result<Build> {
        self.timed(ctx, "image.build.get", self.any_build(ctx, id))
            .await
    }

    /// Waits until the build has ended, at most `patience`; then answers with what it is.
    pub async fn wait_build(&self, ctx: &Ctx, id: &BuildId, patience: Duration) -> Result<Build> {
        self.timed(ctx, "image.build.wait", async {
            let build = self.any_build(ctx, id).await?;
            let Some(live) = self.inner.builds.get(id) else {
                return Ok(build);
            };
            // Late or not, what it is by then is the answer.
            let _ = tokio::time::timeout(patience, live.ended()).await;
            self.any_build(ctx, id).await
        })
        .await
    }

    /// Newest first.
    pub async fn list_builds(
        &self,
        ctx: &Ctx,
        filter: &BuildFilter,
        page: &PageRequest,
    ) -> Result<Page<Build>> {
        self.timed(ctx, "image.build.list", async {
            let builds = self.store().builds();
            let mut page = builds.list(&scope(ctx), filter, page).await?;
            for item in &mut page.items {
                if let Some(live) = self.inner.builds.get(&item.id) {
                    *item = live.build();
                }
            }
            Ok(page)
        })
        .await
    }

    /// Asks a build to end. Of one that has ended it answers with how it ended; asking again is
    /// harmless.
    pub async fn cancel_build(&self, ctx: &Ctx, id: &BuildId) -> Result<Build> {
        let note = Note::new("image.build.cancel");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let build = self.any_build(ctx, id).await?;
            note.of(&build.project);
            if build.state.is_terminal() {
                return Ok(build);
            }
            self.store().builds().request_cancel(id).await?;
            if let Some(live) = self.inner.builds.get(id) {
                live.cancel();
            }
            self.any_build(ctx, id).await
        })
        .await
    }

    /// Forgets a build that has ended. Its image stays, and so does what later builds may take.
    pub async fn delete_build(&self, ctx: &Ctx, id: &BuildId) -> Result<()> {
        let note = Note::new("image.build.delete");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let build = self.any_build(ctx, id).await?;
            note.of(&build.project);
            if !build.state.is_terminal() {
                return Err(Error::new(
                    Code::InUse,
                    "the build has not ended; cancel it first, and wait for its end",
                ));
            }
            self.store().builds().delete(id).await.map(drop)?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn any_build(&self, ctx: &Ctx, id: &BuildId) -> Result<Build> {
        let build = match self.inner.builds.get(id) {
            Some(live) => Some(live.build()),
            None => self.store().builds().get(id).await?,
        };
        match build {
            Some(build) if self.sees(ctx, &build.project).await? => Ok(build),
            _ => Err(Error::new(Code::BuildNotFound, format!("no build {id}"))),
        }
    }
}

fn accepted(value: Build, origin: Origin) -> Accepted<Build> {
    Accepted { value, origin }
}

fn invalid(error: pinfold_images::DockerfileError) -> Error {
    let line = error.line;
    let error = Error::invalid("dockerfile", error.to_string());
    match line {
        Some(line) => error.detail("line", line),
        None => error,
    }
}
