//! What has to be done, once it is known what the stages are built on: the keys of all steps, and
//! how much of them earlier builds did already.

use std::collections::HashMap;
use std::sync::Arc;

use pinfold_images::{
    Action, Base, Context, CopyAction, CopyFrom, CopyKind, Evaluation, Evaluator, RunAction,
    RunProgram,
};
use pinfold_model::build::{BuildFailure, BuildFault, BuildSpec};
use pinfold_model::{Error, Image, ImageConfig, ImageId, Level};

use super::cache::{Cache, Key};
use super::context::{read_context, select};
use super::layout::{Layout, StageSteps};
use super::owner::{Owner, dockerfile, failure};
use super::source::Source;
use crate::Share;
use crate::images::check_snapshot;

/// Everything that a build does.
pub(super) struct Plan {
    pub(super) stages: Vec<Stage>,
    /// Where something is copied from it.
    context: Option<Arc<Context>>,
}

pub(super) struct Stage {
    pub(super) from: From,
    pub(super) parts: Vec<Part>,
    /// What an image of this stage says.
    pub(super) config: ImageConfig,
    /// The image below all of it; `None`: nothing.
    pub(super) base: Option<ImageId>,
    /// Of all that it holds.
    key: Key,
}

/// What a stage begins with.
pub(super) enum From {
    Image(Box<Image>),
    /// An earlier one of the plan.
    Stage(usize),
}

/// Work that is done in one sandbox and kept as one copy: directories that are made, and one thing
/// more.
pub(super) struct Part {
    pub(super) works: Vec<Work>,
    pub(super) key: Key,
    /// What an earlier build left.
    pub(super) cached: Option<Image>,
}

pub(super) struct Work {
    pub(super) step: usize,
    pub(super) action: Action,
    /// Where a copy takes its files.
    pub(super) source: Source,
}

impl Owner {
    /// Resolves, evaluates and looks up; runs nothing.
    pub(super) async fn plan(
        &mut self,
        mut evaluator: Evaluator,
        laid_out: &Layout,
    ) -> Result<Plan, BuildFailure> {
        let mut plan = Plan {
            stages: Vec::new(),
            context: None,
        };
        // Places in the plan of the Dockerfile's stages.
        let mut places = HashMap::new();
        let last = laid_out.stages.len() - 1;
        for (place, steps) in laid_out.stages.iter().enumerate() {
            places.insert(steps.stage, place);
            self.began(steps.from);
            let mut stage = self.begin(&mut evaluator, steps, &plan, &places).await?;
            self.passed(steps.from);
            self.at_step = None;
            let evaluated;
            (evaluator, evaluated) = self.evaluate(evaluator, steps, &stage.config).await?;
            stage.config = evaluated.config;
            let mut works = Vec::new();
            for (at, operation) in evaluated.operations.into_iter().enumerate() {
                works.push((steps.from + 1 + at, operation.action));
            }
            if place == last {
                stage.config.labels.extend(self.build.spec.labels.clone());
                let repeated = evaluator.repeat(&stage.config, self.build.spec.setup.len());
                repeated.map_err(|error| dockerfile(&error))?;
                works.extend(self.afterwards(laid_out, &stage.config));
            }
            self.fill(&mut stage, works, &mut plan, &places).await?;
            plan.stages.push(stage);
        }
        Ok(plan)
    }

    /// What a stage says over what it begins with.
    async fn evaluate(
        &self,
        mut evaluator: Evaluator,
        steps: &StageSteps,
        base: &ImageConfig,
    ) -> Result<(Evaluator, Evaluation), BuildFailure> {
        let (stage, base) = (steps.stage, base.clone());
        let evaluated = self.blocking(move || {
            let evaluation = evaluator.stage(stage, &base)?;
            Ok((evaluator, evaluation))
        });
        evaluated.await?.map_err(|error| dockerfile(&error))
    }

    /// A stage with nothing in it yet.
    async fn begin(
        &self,
        evaluator: &mut Evaluator,
        steps: &StageSteps,
        plan: &Plan,
        places: &HashMap<usize, usize>,
    ) -> Result<Stage, BuildFailure> {
        let base = evaluator.base(steps.stage);
        let image = match base.map_err(|error| dockerfile(&error))? {
            Base::Stage(earlier) => {
                let place = places[&earlier];
                let earlier = &plan.stages[place];
                return Ok(Stage {
                    from: From::Stage(place),
                    parts: Vec::new(),
                    config: earlier.config.clone(),
                    base: earlier.base.clone(),
                    key: earlier.key.clone(),
                });
            }
            Base::Scratch => None,
            Base::Image { name, platform } => {
                check_platform(platform.as_deref())?;
                Some(self.image(&name).await?)
            }
        };
        let base = image.as_ref().map(|image| image.id.clone());
        let image = match image {
            Some(image) => image,
            None => self.nothing().await?,
        };
        Ok(Stage {
            parts: Vec::new(),
            config: image.config.clone(),
            base,
            key: Key::image(&self.shared, &image),
            from: From::Image(Box::new(image)),
        })
    }

    /// An image by name, pulled where it is missing and may be.
    async fn image(&self, name: &str) -> Result<Image, BuildFailure> {
        let engine = self.engine()?;
        let found = engine.present_image(&self.ctx, name, Share::Project).await;
        let found = found.and_then(|image| {
            check_snapshot(&self.ctx, &image, Level::Read)?;
            Ok(image)
        });
        found.map_err(|error| BuildFailure::new(BuildFault::BaseImage, error.message()))
    }

    /// What follows the Dockerfile, in the target.
    fn afterwards(&self, laid_out: &Layout, config: &ImageConfig) -> Vec<(usize, Action)> {
        let spec = &self.build.spec;
        let mut works = Vec::new();
        if let Some(step) = laid_out.files {
            let works_of_files = copies_of_files(spec).into_iter();
            works.extend(works_of_files.map(|copy| (step, Action::Copy(copy))));
        }
        for (at, line) in spec.setup.iter().enumerate() {
            let run = RunAction {
                program: RunProgram::Line(line.clone()),
                env: config.env.clone(),
                proxies: Default::default(),
                user: spec.setup_user.clone().or_else(|| config.user.clone()),
                workdir: config.workdir.clone().unwrap_or_else(|| "/".to_owned()),
            };
            works.push((laid_out.setup + at, Action::Run(run)));
        }
        works
    }

    /// Groups the work of a stage, with its keys and what is cached of it.
    async fn fill(
        &mut self,
        stage: &mut Stage,
        works: Vec<(usize, Action)>,
        plan: &mut Plan,
        places: &HashMap<usize, usize>,
    ) -> Result<(), BuildFailure> {
        let mut open = Vec::new();
        let count = works.len();
        for (at, (step, action)) in works.into_iter().enumerate() {
            let ends = !matches!(action, Action::Workdir(_)) || at + 1 == count;
            self.at_step = Some(step);
            let (source, input) = self.source(&action, plan, places).await?;
            stage.key = match self.is_done_anew(step) {
                // No other build finds it.
                true => Key::of(&stage.key, &(&action, self.build.id.as_str()), input),
                false => Key::of(&stage.key, &action, input),
            };
            open.push(Work {
                step,
                action,
                source,
            });
            if ends {
                stage.parts.push(Part {
                    works: std::mem::take(&mut open),
                    key: stage.key.clone(),
                    cached: None,
                });
            }
        }
        self.at_step = None;
        let cache = Cache::open(&self.shared, self.build.spec.cache).await;
        let cache = cache.map_err(|error| failure(&error))?;
        // Only the last that is there matters: it holds all that is before it.
        let mut parts = stage.parts.iter_mut().rev();
        for part in &mut parts {
            let found = cache.find(self, &part.key).await;
            part.cached = found.map_err(|error| failure(&error))?;
            if part.cached.is_some() {
                break;
            }
        }
        // Those before it were of use as well: once something changes, a build begins with one.
        for part in parts {
            let used = cache.passed(self, &part.key).await;
            used.map_err(|error| failure(&error))?;
        }
        Ok(())
    }

    fn is_done_anew(&self, step: usize) -> bool {
        let place = self.place_in_setup(step);
        let from = self.build.spec.setup_anew_from;
        matches!((place, from), (Some(place), Some(from)) if place >= from)
    }

    /// Where a copy takes its files, and what they hash to.
    async fn source(
        &self,
        action: &Action,
        plan: &mut Plan,
        places: &HashMap<usize, usize>,
    ) -> Result<(Source, Option<[u8; 32]>), BuildFailure> {
        let Action::Copy(copy) = action else {
            return Ok((Source::None, None));
        };
        Ok(match &copy.from {
            CopyFrom::Context if copy.paths.is_empty() => (Source::None, None),
            CopyFrom::Context => {
                let context = match &plan.context {
                    Some(context) => Arc::clone(context),
                    None => Arc::new(read_context(self).await?),
                };
                plan.context = Some(Arc::clone(&context));
                let hash = select(self, &context, copy).await?.sha256();
                (Source::Context(context), Some(hash))
            }
            CopyFrom::Stage(stage) => {
                let place = places[stage];
                let hash = hash_of(&plan.stages[place].key);
                (Source::Stage(place), Some(hash))
            }
            CopyFrom::Image(name) => {
                let image = self.image(name).await?;
                let hash = hash_of(&Key::image(&self.shared, &image));
                (Source::Image(Box::new(image)), Some(hash))
            }
        })
    }
}

/// Of the files of the request: root's, and those of somebody's home.
fn copies_of_files(spec: &BuildSpec) -> Vec<CopyAction> {
    let is_at_home = |path: &str| spec.home.as_ref().is_some_and(|home| home.holds(path));
    let (theirs, roots): (Vec<_>, Vec<_>) = spec
        .files
        .iter()
        .partition(|(path, _)| is_at_home(path.as_str()));
    let owner = spec.home.as_ref().map(|home| home.user.clone());
    let copy = |files: Vec<(&String, &String)>, chown| CopyAction {
        kind: CopyKind::Copy,
        from: CopyFrom::Context,
        paths: Vec::new(),
        files: files
            .into_iter()
            .map(|(path, text)| (path.trim_start_matches('/').to_owned(), text.clone()))
            .collect(),
        destination: "/".to_owned(),
        into_directory: true,
        chown,
        chmod: None,
    };
    let mut copies = vec![copy(roots, None), copy(theirs, owner)];
    copies.retain(|copy| !copy.files.is_empty());
    copies
}

fn hash_of(key: &Key) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(key.as_str()).into()
}

/// Sandboxes run what this machine runs.
fn check_platform(platform: Option<&str>) -> Result<(), BuildFailure> {
    let Some(platform) = platform else {
        return Ok(());
    };
    let refused = |error: Error| BuildFailure::new(BuildFault::Dockerfile, error.message());
    let wanted: pinfold_images::Platform = platform.parse().map_err(refused)?;
    if wanted.is_of_this_machine() {
        return Ok(());
    }
    let text = format!(
        "FROM --platform={platform}: this server builds for {} only",
        pinfold_images::Platform::default()
    );
    Err(BuildFailure::new(BuildFault::Dockerfile, text))
}
