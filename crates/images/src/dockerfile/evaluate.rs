//! A Dockerfile with the arguments of one build: what its stages begin with and come to.

mod copy;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

use pinfold_model::ImageConfig;
use pinfold_sys::process::DEFAULT_PATH;

use super::room::{self, Room};
use super::{Base, Copy, Dockerfile, DockerfileError, Instruction, Operation, Variables, expand};
use crate::registry::Platform;
use walk::{Walk, bounded};

/// What a build may say about proxies without an `ARG`.
const PROXIES: [&str; 5] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
];
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Evaluates the stages of one Dockerfile, each after those that it begins with. All that they come
/// to is bounded together.
#[derive(Debug)]
pub struct Evaluator {
    file: Arc<Dockerfile>,
    args: Variables,
    /// Variables that `FROM` may use.
    globals: Variables,
    /// What `SHELL` said, of stages that were evaluated.
    shells: BTreeMap<usize, Vec<String>>,
    room: Room,
}

/// What a stage does and what its image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    pub operations: Vec<Operation>,
    pub config: ImageConfig,
}

pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

impl Evaluator {
    /// # Errors
    /// An `ARG` before the first `FROM` cannot be expanded.
    pub fn new(
        file: Arc<Dockerfile>,
        args: BTreeMap<String, String>,
    ) -> Result<Self, DockerfileError> {
        let mut room = Room::default();
        let globals = globals(&file, &args, &mut room)?;
        Ok(Self {
            file,
            args,
            globals,
            shells: BTreeMap::new(),
            room,
        })
    }

    #[must_use]
    pub fn file(&self) -> &Dockerfile {
        &self.file
    }

    /// Every stage that the target needs, itself included, in order. `None` is the last stage.
    ///
    /// # Errors
    /// There is no such stage, or a `FROM` cannot be expanded.
    pub fn needed(&mut self, target: Option<&str>) -> Result<Vec<usize>, DockerfileError> {
        let file = Arc::clone(&self.file);
        let last = file.stages.len() - 1;
        let target = match target {
            None => last,
            Some(name) => file.find_stage(name).ok_or_else(|| {
                DockerfileError::whole(format!("it has no stage {name:?} to build"))
            })?,
        };
        let mut needed = vec![false; file.stages.len()];
        needed[target] = true;
        for at in (0..=target).rev() {
            if !needed[at] {
                continue;
            }
            if let Base::Stage(base) = self.base(at)? {
                needed[base] = true;
            }
            for step in &file.stages[at].steps {
                if let Instruction::Copy(Copy {
                    from: Some(from), ..
                }) = &step.instruction
                    && let Some(stage) = file.stage_before(at, from)
                {
                    needed[stage] = true;
                }
            }
        }
        Ok((0..=target).filter(|at| needed[*at]).collect())
    }

    /// What a stage begins with.
    ///
    /// # Errors
    /// Its `FROM` cannot be expanded, or comes to nothing.
    pub fn base(&mut self, stage: usize) -> Result<Base, DockerfileError> {
        let found = &self.file.stages[stage];
        let (escape, scopes) = (self.file.escape, [&self.globals]);
        let mut expanded = |text: &str| {
            let expanded = expand::word(text, escape, &scopes, &mut self.room);
            expanded.map_err(|problem| DockerfileError::at(found.line, problem))
        };
        let name = expanded(&found.from)?;
        if name.is_empty() {
            let problem = format!("FROM {} comes to nothing; give the ARG a value", found.from);
            return Err(DockerfileError::at(found.line, problem));
        }
        let platform = found.platform.as_deref().map(expanded).transpose()?;
        let platform = platform.filter(|platform| !platform.is_empty());
        if name == "scratch" {
            return Ok(Base::Scratch);
        }
        Ok(match self.file.named_before(stage, &name) {
            Some(earlier) => Base::Stage(earlier),
            None => Base::Image { name, platform },
        })
    }

    /// What building a stage comes to on a base that says this. A stage that it begins with has been
    /// evaluated before.
    ///
    /// # Errors
    /// An instruction cannot be expanded, or comes to something impossible.
    pub fn stage(
        &mut self,
        stage: usize,
        base: &ImageConfig,
    ) -> Result<Evaluation, DockerfileError> {
        let shell = match self.base(stage)? {
            Base::Stage(earlier) => self.shells.get(&earlier).cloned(),
            Base::Scratch | Base::Image { .. } => None,
        };
        let shell = shell.unwrap_or_else(|| DEFAULT_SHELL.map(str::to_owned).to_vec());
        let found = &self.file.stages[stage];
        let taken = room::of_config(base) + room::of_texts(&shell);
        let taken = self.room.take(taken);
        taken.map_err(|problem| DockerfileError::at(found.line, problem))?;
        let mut config = base.clone();
        // Lines like `ENV PATH=/mine:$PATH` mean the rest of it, also where the base leaves that to who runs it.
        let path = config.env.entry("PATH".to_owned());
        path.or_insert_with(|| DEFAULT_PATH.to_owned());
        let mut walk = Walk {
            file: &self.file,
            stage,
            args: &self.args,
            globals: &self.globals,
            room: &mut self.room,
            declared: Variables::new(),
            config,
            shell,
            operations: Vec::new(),
            cmd_is_own: false,
        };
        for step in &found.steps {
            let done = walk.step(step.line, &step.text, &step.instruction);
            done.map_err(|problem| DockerfileError::at(step.line, problem))?;
        }
        let Walk {
            operations,
            config,
            shell,
            ..
        } = walk;
        self.shells.insert(stage, shell);
        Ok(Evaluation { operations, config })
    }

    /// Takes room for as many copies of a configuration.
    ///
    /// # Errors
    /// There is none left.
    pub fn repeat(&mut self, config: &ImageConfig, times: usize) -> Result<(), DockerfileError> {
        let bytes = room::of_config(config).saturating_mul(times);
        self.room.take(bytes).map_err(DockerfileError::whole)
    }
}

fn globals(
    file: &Dockerfile,
    args: &Variables,
    room: &mut Room,
) -> Result<Variables, DockerfileError> {
    let mut globals = platform();
    for (name, default) in &file.globals {
        let refused = |problem: String| {
            DockerfileError::whole(format!("ARG {name} before the first FROM: {problem}"))
        };
        let value = match (args.get(name), default) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => {
                expand::word(default, file.escape, &[&globals], room).map_err(refused)?
            }
            (None, None) => continue,
        };
        globals.insert(name.clone(), value);
    }
    bounded(&globals, "arguments before the first FROM").map_err(DockerfileError::whole)?;
    Ok(globals)
}

/// The platform of this machine, as builds know it.
fn platform() -> Variables {
    let platform = Platform::default();
    let architecture = platform.architecture().to_string();
    let text = format!("linux/{architecture}");
    let mut variables = Variables::new();
    for side in ["TARGET", "BUILD"] {
        variables.insert(format!("{side}PLATFORM"), text.clone());
        variables.insert(format!("{side}OS"), "linux".to_owned());
        variables.insert(format!("{side}ARCH"), architecture.clone());
        variables.insert(format!("{side}VARIANT"), String::new());
    }
    variables
}
