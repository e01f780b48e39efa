//! Dockerfiles: read, and evaluated to what has to be done. Pure: touches no file and no sandbox.
//!
//! ```text
//! text -> parse (a library's grammar) -> stages -> evaluate (variables, scopes) -> operations
//! ```
//! What changes a file system becomes an [`Operation`]; everything else only changes the image's
//! configuration, which is known without running anything.

mod evaluate;
mod expand;
mod heredocs;
mod parse;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use pinfold_model::ImageConfig;
use serde::Serialize;

pub use evaluate::Evaluation;

/// Bytes of a Dockerfile at most.
pub const DOCKERFILE_MAX_BYTES: usize = 1 << 20;
/// Instructions of a Dockerfile at most.
pub(crate) const INSTRUCTIONS_MAX: usize = 2000;

/// Why a Dockerfile cannot be built, in words for who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileError {
    /// Counted from 1; `None` where it is about the whole.
    pub line: Option<usize>,
    pub problem: String,
}

impl DockerfileError {
    pub(crate) fn at(line: usize, problem: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            problem: problem.into(),
        }
    }

    pub(crate) fn whole(problem: impl Into<String>) -> Self {
        Self {
            line: None,
            problem: problem.into(),
        }
    }
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "Dockerfile line {line}: {}", self.problem),
            None => write!(f, "Dockerfile: {}", self.problem),
        }
    }
}

impl std::error::Error for DockerfileError {}

/// A Dockerfile that was read. Variables are not expanded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// `ARG`s before the first `FROM`.
    globals: Vec<Assignment>,
    stages: Vec<Stage>,
    escape: char,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage {
    line: usize,
    name: Option<String>,
    from: String,
    platform: Option<String>,
    steps: Vec<Step>,
}

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    line: usize,
    /// As it was written, in one line, shortened.
    text: String,
    instruction: Instruction,
}

/// `NAME` or `NAME=VALUE`; the value as it was written, quotes and all.
type Assignment = (String, Option<String>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Instruction {
    Arg(Vec<Assignment>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Run(Program),
    Copy(Copy),
    Workdir(String),
    User(String),
    Expose(Vec<String>),
    Entrypoint(Program),
    Cmd(Program),
    Shell(Vec<String>),
    /// It says something that nothing here acts on.
    Without(&'static str),
}

/// A program in one of the two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Program {
    Shell(String),
    Exec(Vec<String>),
    /// The body of a here-document: a script.
    Script(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Copy {
    kind: CopyKind,
    from: Option<String>,
    sources: Vec<Written>,
    destination: String,
    chown: Option<String>,
    chmod: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    Path(String),
    File {
        name: String,
        content: String,
        expand: bool,
    },
}

/// Whether archives among the sources are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyKind {
    Copy,
    Add,
}

/// Something that changes a file system, with every variable expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub line: usize,
    /// As it was written, in one line, shortened.
    pub text: String,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Run(RunAction),
    Copy(CopyAction),
    /// The directory is made where it is missing.
    Workdir(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunAction {
    pub program: RunProgram,
    /// All of it: the image's, `ENV` and `ARG`.
    pub env: BTreeMap<String, String>,
    /// Proxies that the build was given: in the environment, and no part of what was asked for.
    #[serde(skip)]
    pub proxies: BTreeMap<String, String>,
    pub user: Option<String>,
    pub workdir: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunProgram {
    Argv(Vec<String>),
    /// A line for the shell that the image has.
    Line(String),
    /// A file with an interpreter of its own in its first line.
    Script(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyAction {
    pub kind: CopyKind,
    pub from: CopyFrom,
    /// Of `from`, relative to its top; may hold wildcards.
    pub paths: Vec<String>,
    /// Files that the Dockerfile itself holds: name and content.
    pub files: Vec<(String, String)>,
    /// Absolute and without `..`.
    pub destination: String,
    /// What is copied goes into the destination, whatever is there.
    pub into_directory: bool,
    /// `USER[:GROUP]`, names or numbers.
    pub chown: Option<String>,
    pub chmod: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyFrom {
    Context,
    /// An earlier stage, counted from 0.
    Stage(usize),
    /// An image by name.
    Image(String),
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing at all.
    Scratch,
    /// An earlier stage, counted from 0.
    Stage(usize),
    /// An image by name, for a platform where one is named.
    Image {
        name: String,
        platform: Option<String>,
    },
}

impl Dockerfile {
    /// # Errors
    /// It is no Dockerfile, or says something that is not done here.
    pub fn parse(text: &str) -> Result<Self, DockerfileError> {
        parse::parse(text)
    }

    #[must_use]
    pub fn stage_count(&self) -> usize {
        self.stages.len()
    }

    /// How a stage is called: its name, or its number.
    #[must_use]
    pub fn stage_name(&self, stage: usize) -> String {
        let name = self.stages.get(stage).and_then(|s| s.name.clone());
        name.unwrap_or_else(|| stage.to_string())
    }

    /// Line and text of a stage's `FROM`.
    #[must_use]
    pub fn stage_text(&self, stage: usize) -> (usize, String) {
        let found = self.stages.get(stage);
        found.map_or((0, String::new()), |s| (s.line, format!("FROM {}", s.from)))
    }

    /// Lines and texts of what will be [`Operation`]s of a stage.
    pub fn operations_of(&self, stage: usize) -> impl Iterator<Item = (usize, &str)> {
        let steps = self.stages.get(stage).map(|s| s.steps.as_slice());
        let steps = steps.unwrap_or_default().iter();
        steps
            .filter(|step| step.instruction.is_operation())
            .map(|step| (step.line, step.text.as_str()))
    }

    /// The stage of a name or number, in any case of letters.
    #[must_use]
    pub fn find_stage(&self, name: &str) -> Option<usize> {
        self.stage_before(self.stages.len(), name)
    }

    /// Every stage that the target needs, itself included, in order. `None` is the last stage.
    ///
    /// # Errors
    /// There is no such stage, or a `FROM` cannot be expanded.
    pub fn needed(
        &self,
        target: Option<&str>,
        args: &BTreeMap<String, String>,
    ) -> Result<Vec<usize>, DockerfileError> {
        let last = self.stages.len() - 1;
        let target = match target {
            None => last,
            Some(name) => self.find_stage(name).ok_or_else(|| {
                DockerfileError::whole(format!("it has no stage {name:?} to build"))
            })?,
        };
        let mut needed = vec![false; self.stages.len()];
        needed[target] = true;
        for at in (0..=target).rev() {
            if !needed[at] {
                continue;
            }
            if let Base::Stage(base) = self.base(at, args)? {
                needed[base] = true;
            }
            for step in &self.stages[at].steps {
                if let Instruction::Copy(Copy {
                    from: Some(from), ..
                }) = &step.instruction
                    && let Some(stage) = self.stage_before(at, from)
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
    pub fn base(
        &self,
        stage: usize,
        args: &BTreeMap<String, String>,
    ) -> Result<Base, DockerfileError> {
        let globals = evaluate::globals(self, args)?;
        let found = &self.stages[stage];
        let expanded = |text: &str| {
            let expanded = expand::word(text, self.escape, &globals);
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
        let earlier = self.stages[..stage].iter().position(|earlier| {
            earlier
                .name
                .as_ref()
                .is_some_and(|n| n.eq_ignore_ascii_case(&name))
        });
        Ok(match earlier {
            Some(earlier) => Base::Stage(earlier),
            None => Base::Image { name, platform },
        })
    }

    /// A stage by name or number, of those before `stage`.
    fn stage_before(&self, stage: usize, name: &str) -> Option<usize> {
        let by_name = self.stages[..stage].iter().rposition(|s| {
            s.name
                .as_ref()
                .is_some_and(|n| n.eq_ignore_ascii_case(name))
        });
        by_name.or_else(|| name.parse().ok().filter(|number| *number < stage))
    }

    /// What building a stage on `base` comes to.
    ///
    /// # Errors
    /// An instruction cannot be expanded, or comes to something impossible.
    pub fn evaluate(
        &self,
        stage: usize,
        base: &ImageConfig,
        args: &BTreeMap<String, String>,
    ) -> Result<Evaluation, DockerfileError> {
        evaluate::stage(self, stage, base, args)
    }

    /// Arguments that no `ARG` takes.
    #[must_use]
    pub fn unused<'a>(&self, args: &'a BTreeMap<String, String>) -> Vec<&'a str> {
        let declared = |name: &str| {
            let of_stage = self.stages.iter().flat_map(|stage| &stage.steps).any(|step| {
                matches!(&step.instruction, Instruction::Arg(list) if list.iter().any(|(n, _)| n == name))
            });
            of_stage || self.globals.iter().any(|(n, _)| n == name)
        };
        let names = args.keys().map(String::as_str);
        names
            .filter(|name| !declared(name) && !evaluate::is_proxy(name))
            .collect()
    }

    /// Instructions that are read and not acted on: line and what about them.
    #[must_use]
    pub fn without_effect(&self) -> Vec<(usize, &'static str)> {
        let steps = self.stages.iter().flat_map(|stage| &stage.steps);
        let without = steps.filter_map(|step| match step.instruction {
            Instruction::Without(why) => Some((step.line, why)),
            _ => None,
        });
        without.collect()
    }
}

impl Instruction {
    fn is_operation(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Copy(_) | Self::Workdir(_))
    }
}
