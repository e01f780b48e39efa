//! From text to stages: the grammar is a library's, what is taken and what is refused is ours.

use parse_dockerfile as grammar;
use parse_dockerfile::Instruction as Parsed;

use super::heredocs::{self, Rewritten};
use super::{
    Copy, CopyKind, DOCKERFILE_MAX_BYTES, Dockerfile, DockerfileError, INSTRUCTIONS_MAX,
    Instruction, Program, Stage, Step, Written, words,
};

/// Characters of an instruction that are shown.
const TEXT_MAX_CHARS: usize = 200;
const STAGE_NAME_MAX_CHARS: usize = 128;

pub(super) fn parse(text: &str) -> Result<Dockerfile, DockerfileError> {
    if text.len() > DOCKERFILE_MAX_BYTES {
        return Err(DockerfileError::whole(format!(
            "it has {} bytes, at most {DOCKERFILE_MAX_BYTES} fit",
            text.len()
        )));
    }
    if text.contains('\0') {
        return Err(DockerfileError::whole("it holds a NUL byte"));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = escape_of(text);
    let rewritten = heredocs::rewrite(text, escape)?;
    let parsed = grammar::parse(&rewritten.text).map_err(|error| DockerfileError {
        line: (error.line() > 0).then(|| rewritten.line(error.line())),
        problem: plain(&error.to_string()),
    })?;
    if parsed.instructions.len() > INSTRUCTIONS_MAX {
        return Err(DockerfileError::whole(format!(
            "it has {} instructions, at most {INSTRUCTIONS_MAX} are possible",
            parsed.instructions.len()
        )));
    }
    let reader = Reader {
        lines: line_starts(&rewritten.text),
        source: &rewritten,
        escape,
    };
    reader.stages(&parsed)
}

/// The parser's directive, which has to stand before everything but comments.
fn escape_of(text: &str) -> char {
    let directives = text.lines().map_while(|line| line.trim().strip_prefix('#'));
    let backtick = directives
        .filter_map(|line| line.split_once('='))
        .any(|(name, value)| name.trim().eq_ignore_ascii_case("escape") && value.trim() == "`");
    if backtick { '`' } else { '\\' }
}

/// The library's words without the place, which is ours to tell.
fn plain(message: &str) -> String {
    message
        .split(" at line ")
        .next()
        .unwrap_or(message)
        .to_owned()
}

fn line_starts(text: &str) -> Vec<usize> {
    let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
    std::iter::once(0)
        .chain(breaks.map(|(at, _)| at + 1))
        .collect()
}

struct Reader<'s> {
    source: &'s Rewritten,
    lines: Vec<usize>,
    escape: char,
}

type Refused = String;

impl Reader<'_> {
    fn stages(&self, parsed: &grammar::Dockerfile<'_>) -> Result<Dockerfile, DockerfileError> {
        let mut dockerfile = Dockerfile {
            globals: Vec::new(),
            stages: Vec::new(),
            escape: self.escape,
        };
        for instruction in &parsed.instructions {
            let start = keyword(instruction).start;
            let line = self.line(start);
            let refused = |problem: Refused| DockerfileError::at(line, problem);
            if let Parsed::From(from) = instruction {
                let stage = self.stage(from, line).map_err(refused)?;
                dockerfile.stages.push(stage);
                continue;
            }
            let step = Step {
                line,
                text: self.shown(start),
                instruction: self.instruction(instruction, start).map_err(refused)?,
            };
            match (dockerfile.stages.last_mut(), step.instruction) {
                (None, Instruction::Arg(list)) => dockerfile.globals.extend(list),
                (None, _) => return Err(refused("it stands before the first FROM".to_owned())),
                (Some(stage), instruction) => stage.steps.push(Step {
                    instruction,
                    ..step
                }),
            }
        }
        match dockerfile.stages.is_empty() {
            true => Err(DockerfileError::whole("it has no FROM")),
            false => Ok(dockerfile),
        }
    }

    fn line(&self, at: usize) -> usize {
        self.source.line(self.lines_up_to(at))
    }

    fn lines_up_to(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// The first line of what begins there.
    fn shown(&self, start: usize) -> String {
        let rest = &self.source.text[start..];
        let mut lines = rest.lines();
        let mut text = lines.next().unwrap_or_default().to_owned();
        if self.source.is_inserted(self.lines_up_to(start)) {
            let command = lines.find(|line| !line.is_empty()).unwrap_or_default();
            text = format!("RUN {command}");
        }
        let mut shown: String = text.trim_end().chars().take(TEXT_MAX_CHARS).collect();
        if shown.ends_with(self.escape) {
            shown.pop();
            shown = format!("{} ...", shown.trim_end());
        }
        shown
    }

    fn stage(&self, from: &grammar::FromInstruction<'_>, line: usize) -> Result<Stage, Refused> {
        let mut platform = None;
        for option in &from.options {
            match (&*option.name.value, &option.value) {
                ("platform", Some(value)) => platform = Some(value.value.to_string()),
                (name, _) => return Err(unknown_option(name)),
            }
        }
        let name = from.as_.as_ref().map(|(_, name)| name.value.to_string());
        if let Some(name) = &name
            && !is_stage_name(name)
        {
            return Err(format!("{name:?} is no name for a stage"));
        }
        let image = &*from.image.value;
        Ok(Stage {
            line,
            text: format!("FROM {image}")
                .chars()
                .take(TEXT_MAX_CHARS)
                .collect(),
            name,
            from: image.to_owned(),
            platform,
            steps: Vec::new(),
        })
    }

    fn instruction(&self, parsed: &Parsed<'_>, start: usize) -> Result<Instruction, Refused> {
        let escape = self.escape;
        Ok(match parsed {
            Parsed::Arg(arg) => Instruction::Arg(words::assignments(&arg.arguments.value, escape)?),
            Parsed::Env(env) => Instruction::Env(words::pairs(&env.arguments.value, escape)?),
            Parsed::Label(label) => {
                Instruction::Label(words::pairs(&label.arguments.value, escape)?)
            }
            Parsed::Run(run) => Instruction::Run(self.run(run)?),
            Parsed::Copy(copy) => self.copy(
                CopyKind::Copy,
                &copy.options,
                &copy.src,
                &copy.dest.value,
                start,
            )?,
            Parsed::Add(add) => self.copy(
                CopyKind::Add,
                &add.options,
                &add.src,
                &add.dest.value,
                start,
            )?,
            Parsed::Workdir(workdir) => Instruction::Workdir(workdir.arguments.value.to_string()),
            Parsed::User(user) => Instruction::User(user.arguments.value.to_string()),
            Parsed::Expose(expose) => Instruction::Expose(strings(&expose.arguments)),
            Parsed::Entrypoint(entry) => Instruction::Entrypoint(self.program(&entry.arguments)?),
            Parsed::Cmd(cmd) => Instruction::Cmd(self.program(&cmd.arguments)?),
            Parsed::Shell(shell) if shell.arguments.is_empty() => {
                return Err("SHELL needs a program".to_owned());
            }
            Parsed::Shell(shell) => Instruction::Shell(strings(&shell.arguments)),
            Parsed::Volume(_) => {
                Instruction::Without("VOLUME has no effect: a sandbox's whole disk is its own")
            }
            Parsed::Stopsignal(_) => Instruction::Without(
                "STOPSIGNAL has no effect: sandboxes are stopped in their own way",
            ),
            Parsed::Healthcheck(_) => Instruction::Without(
                "HEALTHCHECK has no effect: sandboxes run no checks by themselves",
            ),
            Parsed::Maintainer(_) => Instruction::Without("MAINTAINER has no effect; use a LABEL"),
            Parsed::Onbuild(_) => {
                return Err(
                    "ONBUILD is not supported: put the instruction where it is used".to_owned(),
                );
            }
            _ => return Err("this instruction is not supported".to_owned()),
        })
    }

    fn run(&self, run: &grammar::RunInstruction<'_>) -> Result<Program, Refused> {
        for option in &run.options {
            let value = option.value.as_ref().map_or("", |value| &*value.value);
            match &*option.name.value {
                "mount" if is_scratch_mount(value) => {}
                "mount" => {
                    return Err(format!(
                        "RUN --mount={value} is not supported: only type=cache and type=tmpfs, \
                         which are plain directories here; secrets are environment variables"
                    ));
                }
                "network" if value == "default" => {}
                "network" => {
                    return Err(
                        "RUN --network is not supported: the whole build has one".to_owned()
                    );
                }
                name => return Err(unknown_option(name)),
            }
        }
        match run.here_docs.as_slice() {
            [] => self.program(&run.arguments),
            [script] => Ok(Program::Script(script.value.to_string())),
            _ => Err("its here-documents could not be read".to_owned()),
        }
    }

    fn program(&self, command: &grammar::Command<'_>) -> Result<Program, Refused> {
        match command {
            grammar::Command::Exec(words) if words.value.is_empty() => {
                Ok(Program::Exec(Vec::new()))
            }
            grammar::Command::Exec(words) => Ok(Program::Exec(strings(&words.value))),
            grammar::Command::Shell(line) => {
                Ok(Program::Shell(words::joined(line.value, self.escape)))
            }
            _ => Err("this form of a command is not supported".to_owned()),
        }
    }

    fn copy(
        &self,
        kind: CopyKind,
        options: &[grammar::Flag<'_>],
        sources: &[grammar::Source<'_>],
        destination: &str,
        start: usize,
    ) -> Result<Instruction, Refused> {
        let mut copy = Copy {
            kind,
            from: None,
            sources: self.sources(sources, start)?,
            destination: destination.to_owned(),
            chown: None,
            chmod: None,
        };
        for option in options {
            let value = option.value.as_ref().map(|value| value.value.to_string());
            match (&*option.name.value, value) {
                ("from", Some(from)) if kind == CopyKind::Copy => copy.from = Some(from),
                ("chown", Some(chown)) => copy.chown = Some(chown),
                ("chmod", Some(chmod)) => copy.chmod = Some(chmod),
                // What is copied is a layer of its own in any case.
                ("link", _) => {}
                (name, _) => return Err(unknown_option(name)),
            }
        }
        let is_remote = |source: &Written| match source {
            Written::Path(path) => {
                let remote = ["http://", "https://", "git@", "git://", "ssh://"];
                remote.iter().any(|scheme| path.starts_with(scheme))
            }
            Written::File { .. } => false,
        };
        if kind == CopyKind::Add && copy.sources.iter().any(is_remote) {
            return Err(
                "ADD of a URL is not supported: fetch it with RUN, within the network of the build"
                    .to_owned(),
            );
        }
        if copy.from.is_some()
            && copy
                .sources
                .iter()
                .any(|s| matches!(s, Written::File { .. }))
        {
            return Err("a here-document cannot be copied --from another stage".to_owned());
        }
        Ok(Instruction::Copy(copy))
    }

    fn sources(
        &self,
        sources: &[grammar::Source<'_>],
        start: usize,
    ) -> Result<Vec<Written>, Refused> {
        let mut names = heredocs::names(&self.source.text[start..], self.escape).into_iter();
        let one = |source: &grammar::Source<'_>| match source {
            grammar::Source::Path(path) => Ok(Written::Path(path.value.to_string())),
            grammar::Source::HereDoc(text) => Ok(Written::File {
                name: names.next().ok_or("a here-document without a name")?,
                content: text.value.to_string(),
                expand: text.expand,
            }),
            _ => Err("this kind of source is not supported".to_owned()),
        };
        sources.iter().map(one).collect()
    }
}

fn strings(words: &[grammar::UnescapedString<'_>]) -> Vec<String> {
    words.iter().map(|word| word.value.to_string()).collect()
}

fn unknown_option(name: &str) -> Refused {
    format!("the option --{name} is not supported here")
}

fn is_scratch_mount(value: &str) -> bool {
    value
        .split(',')
        .any(|part| matches!(part, "type=cache" | "type=tmpfs"))
}

fn is_stage_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name != "scratch"
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && name.len() <= STAGE_NAME_MAX_CHARS
}

fn keyword(instruction: &Parsed<'_>) -> grammar::Span {
    match instruction {
        Parsed::Add(i) => i.add.span.clone(),
        Parsed::Arg(i) => i.arg.span.clone(),
        Parsed::Cmd(i) => i.cmd.span.clone(),
        Parsed::Copy(i) => i.copy.span.clone(),
        Parsed::Entrypoint(i) => i.entrypoint.span.clone(),
        Parsed::Env(i) => i.env.span.clone(),
        Parsed::Expose(i) => i.expose.span.clone(),
        Parsed::From(i) => i.from.span.clone(),
        Parsed::Healthcheck(i) => i.healthcheck.span.clone(),
        Parsed::Label(i) => i.label.span.clone(),
        Parsed::Maintainer(i) => i.maintainer.span.clone(),
        Parsed::Onbuild(i) => i.onbuild.span.clone(),
        Parsed::Run(i) => i.run.span.clone(),
        Parsed::Shell(i) => i.shell.span.clone(),
        Parsed::Stopsignal(i) => i.stopsignal.span.clone(),
        Parsed::User(i) => i.user.span.clone(),
        Parsed::Volume(i) => i.volume.span.clone(),
        Parsed::Workdir(i) => i.workdir.span.clone(),
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> DockerfileError {
        parse(text).expect_err(text)
    }

    fn steps(text: &str) -> Vec<Step> {
        parse(text).expect(text).stages.remove(0).steps
    }

    #[test]
    fn every_instruction_is_read_or_refused_with_its_line() {
        let text = "# escape=\\\nARG V=1\nFROM --platform=linux/amd64 x:$V AS Base\nENV A=1 B=\"2 3\"\n\
            RUN a \\\n # no\n && b\nRUN [\"a\",\"b c\"]\nCOPY --chown=1:2 a b /d/\nWORKDIR /w\nUSER u\n\
            EXPOSE 80\nCMD x\nENTRYPOINT [\"y\"]\nSHELL [\"/bin/bash\",\"-c\"]\nLABEL a=b\nVOLUME /v\n\
            STOPSIGNAL 9\nHEALTHCHECK NONE\nMAINTAINER m\nADD z.tar /\n";
        let dockerfile = parse(text).expect("all known");
        let stage = &dockerfile.stages[0];
        assert_eq!((stage.line, stage.name.as_deref()), (3, Some("Base")));
        assert_eq!(
            stage.steps[1].instruction,
            Instruction::Run(Program::Shell("a  && b".into()))
        );
        assert_eq!(
            (stage.steps[1].line, &*stage.steps[1].text),
            (5, "RUN a ...")
        );
        assert_eq!(stage.steps[2].line, 8);
        assert_eq!(dockerfile.without_effect().len(), 4);
        assert_eq!(refused("FROM a\n\nONBUILD RUN x\n").line, Some(3));
        assert_eq!(refused("RUN x\n").line, Some(1));
        assert_eq!(refused("FROM a\nFOO x\n").line, Some(2));
        assert_eq!(refused("# nothing\n").line, None);
    }

    #[test]
    fn scripts_of_all_forms_keep_their_text_and_line() {
        let text = "FROM x\nRUN <<EOF\na\nEOF\nRUN python3 - <<'PY' > /o\nb\nPY\nRUN \\\n  cat \\\n  <<E\nc\nE\nRUN d\n";
        let steps = steps(text);
        let script = |text: &str| Instruction::Run(Program::Script(text.into()));
        assert_eq!(steps[0].instruction, script("a\n"));
        assert_eq!(
            steps[1].instruction,
            script("python3 - <<'PY' > /o\nb\nPY\n")
        );
        assert_eq!(
            (steps[1].line, &*steps[1].text),
            (5, "RUN python3 - <<'PY' > /o")
        );
        let Instruction::Run(Program::Script(third)) = &steps[2].instruction else {
            panic!("{:?}", steps[2]);
        };
        assert!(
            third.trim_start().ends_with("cat   <<E\nc\nE\n"),
            "{third:?}"
        );
        assert_eq!((steps[2].line, steps[3].line), (8, 13));
    }

    #[test]
    fn what_is_not_done_here_is_refused_in_words() {
        for (line, word) in [
            ("RUN --mount=type=secret,id=a x", "secrets are environment"),
            ("RUN --network=none x", "--network"),
            ("ADD https://a.example/b /c", "fetch it with RUN"),
            ("COPY --exclude=a b c", "--exclude"),
            ("COPY --from=a <<E /x\nE", "here-document"),
            ("ARG 1=2", "no name"),
        ] {
            let error = refused(&format!("FROM x\n{line}\n"));
            assert!(error.problem.contains(word), "{line}: {error}");
        }
        assert!(refused("FROM x AS scratch\n").problem.contains("no name"));
        assert!(parse("FROM x\nRUN --mount=type=cache,target=/c x\n").is_ok());
    }

    #[test]
    fn hostile_texts_are_bounded() {
        assert!(refused(&"#".repeat(10 << 20)).problem.contains("at most"));
        assert!(refused("FROM a\0b").problem.contains("NUL"));
        let many = format!("FROM x\n{}", "RUN a\n".repeat(INSTRUCTIONS_MAX));
        assert!(refused(&many).problem.contains("at most"));
    }

    /// Were each instruction read with all that is behind it, these would take hours.
    #[test]
    fn the_largest_files_are_read_in_one_pass() {
        let marks = format!("# END_OF_SCRIPT{}\n", "_".repeat(900_000));
        let run = "RUN cat <<EOF > /a\nEOF\n";
        assert_eq!(steps(&format!("FROM x\n{marks}{run}")).len(), 1);
        let copies = "COPY <<E /e\nE\n".repeat(1900);
        let lines = "#\n".repeat(450_000);
        let read = steps(&format!("FROM x\n{copies}{lines}"));
        assert_eq!(read.len(), 1900);
    }
}
