//! From a markdown document to the steps of a pipeline. Pure: resolves no image, judges no bound.
//!
//! Fences and headings are CommonMark's, so a parser for that finds them; ours are the front matter
//! and what stands behind the language of a block.

mod front_matter;
mod info;

use std::time::Duration;

use pinfold_model::pipeline::{OnFailure, Step};
use pinfold_model::{Error, Result};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use super::SubmitRun;
use crate::{CreateSandbox, ImageOrTemplate};

use front_matter::FrontMatter;
use info::Info;

/// Bytes of a document at most.
pub const PIPELINE_DOCUMENT_MAX_BYTES: usize = 1 << 20;
/// Characters of a step's name that are kept.
const NAME_MAX_CHARS: usize = 200;
/// Where steps begin unless the caller says otherwise.
const WORKDIR: &str = "/workspace";

/// What a document asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PipelineDocument {
    /// A template or image.
    pub image: Option<String>,
    pub vcpu: Option<u32>,
    pub memory_mib: Option<u32>,
    /// Of the whole run.
    pub timeout: Option<Duration>,
    pub steps: Vec<Step>,
}

impl PipelineDocument {
    /// Reads a document. Without a step it is valid here; submitting it is refused.
    pub fn parse(markdown: &str) -> Result<Self> {
        if markdown.len() > PIPELINE_DOCUMENT_MAX_BYTES {
            return Err(Error::invalid(
                "markdown",
                format!(
                    "the document is {} bytes long, at most {PIPELINE_DOCUMENT_MAX_BYTES} fit",
                    markdown.len()
                ),
            ));
        }
        let markdown = markdown.strip_prefix('\u{feff}').unwrap_or(markdown);
        let (front, body) = FrontMatter::split(markdown)?;
        Ok(Self {
            image: front.image,
            vcpu: front.vcpu,
            memory_mib: front.memory_mib,
            timeout: front.timeout,
            steps: steps(body)?,
        })
    }
}

impl PipelineDocument {
    /// The run that the document asks for. What the caller says wins over what the document says.
    #[must_use]
    pub fn into_request(self, sandbox: CreateSandbox, timeout: Option<Duration>) -> SubmitRun {
        let from = match (sandbox.from, self.image) {
            (ImageOrTemplate::Default, Some(image)) => ImageOrTemplate::Named(image),
            (from, _) => from,
        };
        SubmitRun {
            steps: self.steps,
            timeout: timeout.or(self.timeout),
            sandbox: CreateSandbox {
                from,
                // More CPUs than any sandbox may have, where the product is too large.
                vcpu_millis: sandbox
                    .vcpu_millis
                    .or(self.vcpu.map(|vcpu| vcpu.saturating_mul(1000))),
                memory_mib: sandbox.memory_mib.or(self.memory_mib),
                workdir: sandbox.workdir.or_else(|| Some(WORKDIR.to_owned())),
                ..sandbox
            },
        }
    }
}

/// What the walk through the document is in the middle of.
enum Within {
    Text,
    Heading(String),
    Block(Info, String),
}

fn steps(body: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut heading: Option<String> = None;
    let mut within = Within::Text;
    // How many lists, quotes and items are open: a step stands in none.
    let mut depth = 0_usize;
    for event in Parser::new(body) {
        match event {
            Event::Start(Tag::Heading { .. }) => within = Within::Heading(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                if let Within::Heading(text) = std::mem::replace(&mut within, Within::Text) {
                    heading = Some(named(&text)).filter(|text| !text.is_empty());
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(text))) if depth == 0 => {
                if let Some(info) = Info::parse(&text, steps.len() + 1)? {
                    within = Within::Block(info, String::new());
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Within::Block(info, script) = std::mem::replace(&mut within, Within::Text) {
                    let number = steps.len() + 1;
                    steps.push(step(info, script, heading.as_deref(), number));
                }
            }
            Event::Start(Tag::List(_) | Tag::Item | Tag::BlockQuote(_)) => depth += 1,
            Event::End(TagEnd::List(_) | TagEnd::Item | TagEnd::BlockQuote(_)) => {
                depth = depth.saturating_sub(1);
            }
            Event::Text(text) | Event::Code(text) => match &mut within {
                Within::Heading(into) | Within::Block(_, into) => into.push_str(&text),
                Within::Text => {}
            },
            Event::SoftBreak | Event::HardBreak => {
                if let Within::Heading(into) = &mut within {
                    into.push(' ');
                }
            }
            _ => {}
        }
    }
    Ok(steps)
}

fn step(info: Info, script: String, heading: Option<&str>, number: usize) -> Step {
    let given = info.name.map(|name| named(&name));
    let given = given.filter(|name| !name.is_empty());
    Step {
        name: given
            .or_else(|| heading.map(str::to_owned))
            .unwrap_or_else(|| format!("step {number}")),
        script,
        timeout: info.timeout,
        on_failure: match info.continue_on_error {
            true => OnFailure::Continue,
            false => OnFailure::Stop,
        },
    }
}

/// One line, not too long.
fn named(text: &str) -> String {
    text.trim().chars().take(NAME_MAX_CHARS).collect()
}

/// Seconds, whole or not, of a timeout. `None` where the text is none.
fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Step> {
        PipelineDocument::parse(text)
            .expect("a good document")
            .steps
    }

    fn scripts(text: &str) -> Vec<String> {
        parsed(text).into_iter().map(|step| step.script).collect()
    }

    #[test]
    fn only_top_level_bash_fences_are_steps() {
        let text = "```bash\na\n```\n~~~ bash x\nb\n~~~~\n```python\nno\n```\n```\nno\n```\n    ```bash\n    no\n    ```\n\
                    ```sh\nno\n```\n````bash\n```bash\nnested\n```\n````\n````md\n```bash\nno\n```\n````\n\
                    - item\n  ```bash\n  no\n  ```\n\n> ```bash\n> no\n> ```\n\n```bashful\nno\n```\n";
        assert_eq!(scripts(text), ["a\n", "b\n", "```bash\nnested\n```\n"]);
    }

    #[test]
    fn indent_is_removed_and_line_ends_are_lf() {
        let text = "   ```bash\r\n   if x\r\n     then\r\n y\r\n   ```\r\n";
        assert_eq!(scripts(text), ["if x\n  then\ny\n"]);
        assert_eq!(scripts("```bash\nunclosed"), ["unclosed"]);
        assert_eq!(scripts("```bash\n```\n"), [""]);
        assert_eq!(scripts("```bash\n\n  a\n\n```"), ["\n  a\n\n"]);
    }

    #[test]
    fn a_step_is_named_by_itself_its_heading_or_its_number() {
        let text = "```bash\n```\n# Set `up` *all*\n```bash\n```\nTitle\n---\n```bash name=\"own name\"\n```\n\
                    ```bash name=''\n```\n";
        let names: Vec<_> = parsed(text).into_iter().map(|step| step.name).collect();
        assert_eq!(names, ["step 1", "Set up all", "own name", "Title"]);
    }

    #[test]
    fn attributes_follow_the_language() {
        let steps = parsed("```bash timeout=1.5 continue-on-error color=red\n```\n```bash\n```\n");
        assert_eq!(steps[0].timeout, Some(Duration::from_millis(1500)));
        assert_eq!(steps[0].on_failure, OnFailure::Continue);
        assert_eq!(steps[1].timeout, None);
        assert_eq!(steps[1].on_failure, OnFailure::Stop);
        assert!(PipelineDocument::parse("```bash timeout=soon\n```\n").is_err());
        assert!(PipelineDocument::parse("```bash timeout=-1\n```\n").is_err());
    }

    #[test]
    fn the_caller_wins_over_the_document() {
        let text = "---\nimage: python\nvcpu: 2\nmemory: 256\ntimeout: 60\n---\n```bash\na\n```\n";
        let document = || PipelineDocument::parse(text).expect("good");
        let run = document().into_request(CreateSandbox::default(), None);
        assert_eq!(run.sandbox.from, ImageOrTemplate::Named("python".into()));
        assert_eq!(run.sandbox.vcpu_millis, Some(2000));
        assert_eq!(run.sandbox.memory_mib, Some(256));
        assert_eq!(run.sandbox.workdir.as_deref(), Some(WORKDIR));
        assert_eq!(run.timeout, Some(Duration::from_secs(60)));
        let wanted = CreateSandbox {
            from: ImageOrTemplate::Image("node".into()),
            vcpu_millis: Some(500),
            workdir: Some("/srv".into()),
            ..CreateSandbox::default()
        };
        let run = document().into_request(wanted, Some(Duration::from_secs(5)));
        assert_eq!(run.sandbox.from, ImageOrTemplate::Image("node".into()));
        assert_eq!(run.sandbox.vcpu_millis, Some(500));
        assert_eq!(run.sandbox.memory_mib, Some(256));
        assert_eq!(run.sandbox.workdir.as_deref(), Some("/srv"));
        assert_eq!(run.timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn front_matter_is_no_part_of_the_body() {
        let text = "---\nimage: \"python:3.12\" # why\n# a comment\nvcpu: 2\nmemory: 256\ntimeout: 60\n\
                    owner: me\n---\n```bash\na\n```\n";
        let document = PipelineDocument::parse(text).expect("good");
        assert_eq!(document.image.as_deref(), Some("python:3.12"));
        assert_eq!((document.vcpu, document.memory_mib), (Some(2), Some(256)));
        assert_eq!(document.timeout, Some(Duration::from_secs(60)));
        assert_eq!(document.steps.len(), 1);
        assert_eq!(document.steps[0].name, "step 1");
    }
}
