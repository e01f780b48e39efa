//! The steps of a build, laid out from its Dockerfile before anything is resolved. Pure, and not
//! quick: what a large file says is worked out in a thread.

use std::sync::Arc;

use pinfold_images::{Dockerfile, DockerfileError, Evaluator};
use pinfold_model::build::{BuildSpec, BuildStep};
use pinfold_model::pipeline::StepRun;

/// Characters of a set-up command that are shown.
const TEXT_MAX_CHARS: usize = 200;

/// Where the steps of each part stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) steps: Vec<BuildStep>,
    /// In the order of the Dockerfile; the target is the last.
    pub(super) stages: Vec<StageSteps>,
    /// The step that puts the files of the request in place.
    pub(super) files: Option<usize>,
    /// The first step of the set-up.
    pub(super) setup: usize,
}

/// A stage that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StageSteps {
    /// Counted from 0, as the Dockerfile has it.
    pub(super) stage: usize,
    /// The step of its `FROM`; its operations follow.
    pub(super) from: usize,
}

/// Reads the Dockerfile of a build.
pub(super) fn read(spec: &BuildSpec) -> Result<(Evaluator, Layout), DockerfileError> {
    let file = Dockerfile::parse(&spec.dockerfile)?;
    let mut evaluator = Evaluator::new(Arc::new(file), spec.args.clone())?;
    let stages = evaluator.needed(spec.target.as_deref())?;
    let layout = lay_out(evaluator.file(), stages, spec);
    Ok((evaluator, layout))
}

fn lay_out(file: &Dockerfile, stages: Vec<usize>, spec: &BuildSpec) -> Layout {
    let mut layout = Layout {
        steps: Vec::new(),
        stages: Vec::new(),
        files: None,
        setup: 0,
    };
    for stage in stages {
        let name = file.stage_name(stage);
        let (line, text) = file.stage_text(stage);
        layout.stages.push(StageSteps {
            stage,
            from: layout.steps.len(),
        });
        layout.steps.push(step(&name, Some(line), text));
        for (line, text) in file.operations_of(stage) {
            layout.steps.push(step(&name, Some(line), text.to_owned()));
        }
    }
    if !spec.files.is_empty() {
        layout.files = Some(layout.steps.len());
        let text = format!("files: {}", spec.files.len());
        layout.steps.push(step("", None, text));
    }
    layout.setup = layout.steps.len();
    for line in &spec.setup {
        let first = line.lines().next().unwrap_or_default();
        let text = first.chars().take(TEXT_MAX_CHARS).collect();
        layout.steps.push(step("", None, text));
    }
    layout
}

/// What the Dockerfile and the request say to no effect.
pub(super) fn warnings(file: &Dockerfile, spec: &BuildSpec) -> Vec<String> {
    let without = file.without_effect().into_iter();
    let without = without.map(|(line, why)| format!("Dockerfile line {line}: {why}"));
    let unused = file.unused(&spec.args).into_iter();
    let unused = unused.map(|name| format!("no ARG takes the argument {name}"));
    without.chain(unused).collect()
}

fn step(stage: &str, line: Option<usize>, text: String) -> BuildStep {
    BuildStep {
        stage: stage.to_owned(),
        line,
        text,
        cached: false,
        run: StepRun::pending(),
    }
}
