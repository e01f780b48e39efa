//! Dockerfiles: read, and evaluated to what has to be done. Pure: touches no file and no sandbox.
//!
//! ```text
//! text -> parse (a library's grammar) -> stages -> Evaluator (variables, scopes) -> operations
//! ```
//! What changes a file system becomes an [`Operation`]; everything else only changes the image's
//! configuration, which is known without running anything.

mod evaluate;
mod expand;
mod heredocs;
mod parse;
mod room;
mod words;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;

pub use evaluate::{Evaluation, Evaluator};

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
    /// As it was written, in one line, shortened.
    text: String,
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

type Variables = BTreeMap<String, String>;

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
        found.map_or((0, String::new()), |s| (s.line, s.text.clone()))
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

    /// A stage by name or number, of those before `stage`.
    fn stage_before(&self, stage: usize, name: &str) -> Option<usize> {
        let by_number = || name.parse().ok().filter(|number| *number < stage);
        self.named_before(stage, name).or_else(by_number)
    }

    /// The last stage of a name, of those before `stage`.
    fn named_before(&self, stage: usize, name: &str) -> Option<usize> {
        let has_name = |s: &Stage| {
            s.name
                .as_ref()
                .is_some_and(|n| n.eq_ignore_ascii_case(name))
        };
        self.stages[..stage].iter().rposition(has_name)
    }

    /// Arguments that no `ARG` takes.
    #[must_use]
    pub fn unused<'a>(&self, args: &'a BTreeMap<String, String>) -> Vec<&'a str> {
        let steps = self.stages.iter().flat_map(|stage| &stage.steps);
        let of_stages = steps.filter_map(|step| match &step.instruction {
            Instruction::Arg(list) => Some(list),
            _ => None,
        });
        let declared = of_stages.flatten().chain(&self.globals);
        let declared: HashSet<&str> = declared.map(|(name, _)| name.as_str()).collect();
        let names = args.keys().map(String::as_str);
        names
            .filter(|name| !declared.contains(name) && !evaluate::is_proxy(name))
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
