//! Carrying out a plan: stage by stage, part by part, each in a sandbox that begins with what the
//! part before it left.

use std::sync::Arc;

use pinfold_images::{Action, Importer};
use pinfold_model::build::{BuildFailure, BuildFault};
use pinfold_model::sandbox::{IdleAction, SandboxSpec};
use pinfold_model::{
    Error, Image, ImageConfig, ImageId, ImageSource, NetworkMode, NetworkPolicy, Resources,
    SandboxId, SandboxState,
};

use super::cache::Key;
use super::owner::{Owner, failure};
use super::plan::{From, Part, Plan, Stage, Work};
use super::source::Source;
use crate::images::OnItsWay;
use crate::live::{DiskCopy, Lease, LiveSandbox};
use crate::sandboxes::{self, Resolved, accept, fresh};

/// Says of a sandbox whose it is.
const BUILD: &str = "pinfold.build";
/// What a project calls the image that holds nothing.
const NOTHING: &str = "nothing";
const ROOT: &str = "root";

impl Owner {
    /// The image, not recorded yet.
    pub(super) async fn carry_out(&mut self, plan: Plan) -> Result<Image, BuildFailure> {
        let wanted = wanted(&plan.stages);
        let mut made: Vec<Option<Image>> = Vec::new();
        for (place, stage) in plan.stages.iter().enumerate() {
            let image = match wanted[place] {
                true => Some(self.stage(stage, &made).await?),
                false => {
                    self.take_all(&stage.parts);
                    None
                }
            };
            made.push(image);
        }
        self.at_step = None;
        match (plan.stages.into_iter().next_back(), made.pop().flatten()) {
            (Some(target), Some(root)) => Ok(self.image_of(target, root)),
            _ => Err(BuildFailure::new(
                BuildFault::Internal,
                "the build came to nothing",
            )),
        }
    }

    fn image_of(&self, target: Stage, root: Image) -> Image {
        Image {
            id: ImageId::generate(),
            project: Some(self.build.project.clone()),
            source: ImageSource::Build {
                build: self.build.id.clone(),
                base: target.base,
                on_host: root.source.is_on_host(),
                disk: root.disk().cloned(),
            },
            layers: root.layers,
            config: target.config,
            size_bytes: root.size_bytes,
            names: vec![self.build.spec.name.clone()],
            created_at: self.shared.clock.now(),
        }
    }

    /// What a stage comes to, as an image that can be booted.
    async fn stage(
        &mut self,
        stage: &Stage,
        made: &[Option<Image>],
    ) -> Result<Image, BuildFailure> {
        let resume = resume(stage);
        self.take_all(&stage.parts[..resume]);
        let cached = resume
            .checked_sub(1)
            .and_then(|last| stage.parts[last].cached.clone());
        let mut image = match (cached, &stage.from) {
            (Some(image), _) => image,
            (None, From::Image(image)) => (**image).clone(),
            (None, From::Stage(place)) => made_already(made, *place)?,
        };
        for part in &stage.parts[resume..] {
            image = self.part(part, stage, &image, made).await?;
        }
        Ok(image)
    }

    fn take_all(&mut self, parts: &[Part]) {
        for work in parts.iter().flat_map(|part| &part.works) {
            self.taken(work.step);
        }
    }

    async fn part(
        &mut self,
        part: &Part,
        stage: &Stage,
        below: &Image,
        made: &[Option<Image>],
    ) -> Result<Image, BuildFailure> {
        if let Some(work) = part.works.first() {
            self.began(work.step);
        }
        let workdir = part.works.iter().find_map(|work| match &work.action {
            Action::Run(run) => Some(run.workdir.clone()),
            Action::Copy(_) | Action::Workdir(_) => None,
        });
        let sandbox = self.boot(below, workdir, Use::Work).await?;
        for work in &part.works {
            self.began(work.step);
            self.do_work(work, &sandbox, made).await?;
            self.passed(work.step);
        }
        // The last step is not over before what it did is kept.
        let image = self.keep(&sandbox, below, stage, &part.key).await?;
        self.destroy(sandbox.id()).await?;
        Ok(image)
    }

    async fn do_work(
        &mut self,
        work: &Work,
        sandbox: &Arc<LiveSandbox>,
        made: &[Option<Image>],
    ) -> Result<(), BuildFailure> {
        match &work.action {
            Action::Run(run) => self.run_command(work.step, run, sandbox).await,
            Action::Workdir(path) => {
                let lease = self.lease(sandbox).await?;
                self.make_directory(&lease, path).await
            }
            Action::Copy(copy) => match &work.source {
                Source::None => self.copy_files(copy, sandbox).await,
                Source::Context(context) => self.copy_context(copy, context, sandbox).await,
                Source::Stage(place) => {
                    let from = made_already(made, *place)?;
                    self.copy_from(copy, &from, sandbox).await
                }
                Source::Image(from) => self.copy_from(copy, from, sandbox).await,
            },
        }
    }

    /// A sandbox of an image, running.
    pub(super) async fn boot(
        &mut self,
        image: &Image,
        workdir: Option<String>,
        used: Use,
    ) -> Result<Arc<LiveSandbox>, BuildFailure> {
        let id = SandboxId::generate();
        self.build.sandboxes.push(id.clone());
        self.save().await;
        let spec = self.sandbox_spec(&id, image, workdir, used);
        let now = self.shared.clock.now();
        let key = self.build.spec.key.clone();
        let resolved = Resolved {
            sandbox: fresh(id.clone(), &self.build.project, key, spec, now),
            image: image.clone(),
            tunnel: None,
            setup_secrets: Default::default(),
        };
        let shared = Arc::clone(&self.shared);
        self.unstopped(async move { accept(&shared, resolved, None).await })
            .await?;
        let gone =
            || BuildFailure::new(BuildFault::SandboxFailed, "the sandbox has been destroyed");
        let live = self.shared.registry.sandbox(&id).ok_or_else(gone)?;
        let booted = live
            .until(|sandbox| sandbox.state != SandboxState::Creating)
            .await;
        match booted.state.require_running() {
            Ok(()) => Ok(live),
            Err(_) => {
                let why = booted
                    .failure
                    .unwrap_or_else(|| "it was destroyed".to_owned());
                let text = format!("the sandbox did not boot: {why}");
                Err(BuildFailure::new(BuildFault::SandboxFailed, text))
            }
        }
    }

    fn sandbox_spec(
        &self,
        id: &SandboxId,
        image: &Image,
        workdir: Option<String>,
        used: Use,
    ) -> SandboxSpec {
        let spec = &self.build.spec;
        let (network, network_policy, resources) = match used {
            Use::Work => (spec.network, spec.network_policy.clone(), spec.resources),
            Use::Source => (
                NetworkMode::None,
                NetworkPolicy::default(),
                Resources::default(),
            ),
        };
        SandboxSpec {
            name: None,
            image: image.id.clone(),
            image_name: spec.name.to_string(),
            template_version: None,
            template: None,
            forked_from: None,
            resources,
            network,
            network_policy,
            network_policy_id: None,
            env: Default::default(),
            workdir: workdir.unwrap_or_else(|| "/".to_owned()),
            user: ROOT.to_owned(),
            hostname: format!(
                "build-{}",
                &id.as_str()[id.as_str().len().saturating_sub(12)..]
            ),
            metadata: [(BUILD.to_owned(), self.build.id.to_string())].into(),
            // Should nobody be left to destroy it.
            ttl: Some(spec.timeout),
            idle_timeout: None,
            idle_action: IdleAction::default(),
            mounts: Vec::new(),
            credentials: Vec::new(),
            more: pinfold_model::sandbox::SandboxExtras::default(),
        }
    }

    pub(super) async fn lease(&self, sandbox: &Arc<LiveSandbox>) -> Result<Lease, BuildFailure> {
        let patience = self.shared.config.attach_timeout;
        sandbox
            .lease(patience)
            .await
            .map_err(|error| failure(&error))
    }

    /// Keeps what is on the sandbox's disk as the image that the next part begins with.
    async fn keep(
        &self,
        sandbox: &Arc<LiveSandbox>,
        below: &Image,
        stage: &Stage,
        key: &Key,
    ) -> Result<Image, BuildFailure> {
        let id = ImageId::generate();
        let image = Image {
            project: Some(self.build.project.clone()),
            source: ImageSource::Build {
                build: self.build.id.clone(),
                base: stage.base.clone(),
                on_host: below.source.is_on_host(),
                disk: Some(id.clone()),
            },
            id,
            layers: below.layers.clone(),
            config: ImageConfig::default(),
            size_bytes: below.size_bytes,
            names: Vec::new(),
            created_at: self.shared.clock.now(),
        };
        let (shared, live, key) = (Arc::clone(&self.shared), Arc::clone(sandbox), key.clone());
        self.stand_on(&image.id);
        self.unstopped(async move {
            let _on_its_way = OnItsWay::new(&shared, &image.id);
            live.copy_disk(DiskCopy::Snapshot(image.id.clone())).await?;
            shared
                .store
                .images()
                .insert_step(&image, key.as_str())
                .await?;
            Ok(image)
        })
        .await
    }

    pub(super) async fn destroy(&mut self, id: &SandboxId) -> Result<(), BuildFailure> {
        let done = sandboxes::destroy(&self.shared, id).await;
        done.map_err(|error| failure(&error))?;
        self.build.sandboxes.retain(|known| known != id);
        Ok(())
    }

    /// The image `scratch`: a layer without anything.
    pub(super) async fn nothing(&self) -> Result<Image, BuildFailure> {
        let (shared, project) = (Arc::clone(&self.shared), self.build.project.clone());
        let live = Arc::clone(&self.live);
        self.unstopped(async move {
            let images = shared.store.images();
            if let Some(image) = images.find_step(&project, NOTHING).await?
                && image
                    .layers
                    .iter()
                    .all(|layer| shared.layers.path(layer).is_some())
            {
                live.stand_on(&image.id);
                if images.step_used(&image.id, shared.clock.now()).await? {
                    return Ok(image);
                }
            }
            let layers = shared.layers.clone();
            let empty = move || Importer::new(&layers).import_nothing();
            let imported = tokio::task::spawn_blocking(empty).await;
            let imported = imported.map_err(Error::internal)??;
            let image = Image {
                id: ImageId::generate(),
                project: Some(project),
                source: imported.source,
                layers: imported.layers,
                config: imported.config,
                size_bytes: 0,
                names: Vec::new(),
                created_at: shared.clock.now(),
            };
            live.stand_on(&image.id);
            images.insert_step(&image, NOTHING).await?;
            drop(imported.lease);
            Ok(image)
        })
        .await
    }
}

/// What a sandbox of a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Work,
    /// Files are read out of it.
    Source,
}

/// How many parts of a stage an earlier build did.
fn resume(stage: &Stage) -> usize {
    let last = stage.parts.iter().rposition(|part| part.cached.is_some());
    last.map_or(0, |last| last + 1)
}

/// The stages that something has to be made of, or taken from: those that the target's missing parts
/// lead to.
fn wanted(stages: &[Stage]) -> Vec<bool> {
    let mut wanted = vec![false; stages.len()];
    if let Some(target) = wanted.last_mut() {
        *target = true;
    }
    for place in (0..stages.len()).rev() {
        if !wanted[place] {
            continue;
        }
        let stage = &stages[place];
        let resume = resume(stage);
        if let (From::Stage(base), 0) = (&stage.from, resume) {
            wanted[*base] = true;
        }
        for work in stage.parts[resume..].iter().flat_map(|part| &part.works) {
            if let Source::Stage(from) = &work.source {
                wanted[*from] = true;
            }
        }
    }
    wanted
}

fn made_already(made: &[Option<Image>], place: usize) -> Result<Image, BuildFailure> {
    let image = made.get(place).cloned().flatten();
    image.ok_or_else(|| BuildFailure::new(BuildFault::Internal, "an earlier stage was not made"))
}
