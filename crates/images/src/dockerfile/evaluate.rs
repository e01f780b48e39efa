//! Walking through a stage: variables in their scopes, and what each instruction comes to.

use std::collections::BTreeMap;

use pinfold_model::ImageConfig;

use super::{
    Action, Copy, CopyAction, CopyFrom, CopyKind, Dockerfile, DockerfileError, Instruction,
    Operation, Program, RunAction, RunProgram, Written, expand,
};
use crate::registry::Platform;

/// What a build may say about proxies without an `ARG`.
const PROXIES: [&str; 5] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
];
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

type Variables = BTreeMap<String, String>;

/// What a stage does and what its image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    pub operations: Vec<Operation>,
    pub config: ImageConfig,
}

pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Variables that `FROM` may use.
pub(super) fn globals(file: &Dockerfile, args: &Variables) -> Result<Variables, DockerfileError> {
    let mut globals = platform();
    for (name, default) in &file.globals {
        let value = match (args.get(name), default) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => {
                let expanded = expand::word(default, file.escape, &globals);
                expanded.map_err(|problem| {
                    DockerfileError::whole(format!("ARG {name} before the first FROM: {problem}"))
                })?
            }
            (None, None) => continue,
        };
        globals.insert(name.clone(), value);
    }
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

pub(super) fn stage(
    file: &Dockerfile,
    stage: usize,
    base: &ImageConfig,
    args: &Variables,
) -> Result<Evaluation, DockerfileError> {
    let mut walk = Walk {
        file,
        stage,
        args,
        globals: globals(file, args)?,
        declared: Variables::new(),
        config: base.clone(),
        shell: DEFAULT_SHELL.map(str::to_owned).to_vec(),
        operations: Vec::new(),
        cmd_is_own: false,
    };
    for step in &file.stages[stage].steps {
        let done = walk.step(step.line, &step.text, &step.instruction);
        done.map_err(|problem| DockerfileError::at(step.line, problem))?;
    }
    Ok(Evaluation {
        operations: walk.operations,
        config: walk.config,
    })
}

struct Walk<'f> {
    file: &'f Dockerfile,
    stage: usize,
    args: &'f Variables,
    globals: Variables,
    /// `ARG`s of this stage that have a value.
    declared: Variables,
    config: ImageConfig,
    shell: Vec<String>,
    operations: Vec<Operation>,
    /// `CMD` was said in this stage.
    cmd_is_own: bool,
}

type Done<T = ()> = Result<T, String>;

impl Walk<'_> {
    fn step(&mut self, line: usize, text: &str, instruction: &Instruction) -> Done {
        let action = match instruction {
            Instruction::Arg(list) => return self.arg(list),
            Instruction::Env(pairs) => {
                // All of one instruction see what was before it.
                let pairs = self.pairs(pairs)?;
                self.config.env.extend(pairs);
                return Ok(());
            }
            Instruction::Label(pairs) => {
                let pairs = self.pairs(pairs)?;
                self.config.labels.extend(pairs);
                return Ok(());
            }
            Instruction::User(user) => {
                let user = self.word(user)?;
                self.config.user = Some(user).filter(|user| !user.is_empty());
                return Ok(());
            }
            Instruction::Expose(ports) => return self.expose(ports),
            Instruction::Entrypoint(program) => {
                self.config.entrypoint = self.argv(program);
                // The base's arguments were for the base's program.
                if !self.cmd_is_own {
                    self.config.cmd.clear();
                }
                return Ok(());
            }
            Instruction::Cmd(program) => {
                self.config.cmd = self.argv(program);
                self.cmd_is_own = true;
                return Ok(());
            }
            Instruction::Shell(words) => {
                self.shell.clone_from(words);
                return Ok(());
            }
            Instruction::Without(_) => return Ok(()),
            Instruction::Workdir(path) => {
                let path = absolute(&self.workdir(), &self.word(path)?);
                self.config.workdir = Some(path.clone());
                Action::Workdir(path)
            }
            Instruction::Run(program) => Action::Run(self.run(program)?),
            Instruction::Copy(copy) => Action::Copy(self.copy(copy)?),
        };
        self.operations.push(Operation {
            line,
            text: text.to_owned(),
            action,
        });
        Ok(())
    }

    /// What can be expanded here: `ENV` wins over `ARG`.
    fn variables(&self) -> Variables {
        let mut all = self.declared.clone();
        all.extend(self.config.env.clone());
        all
    }

    fn word(&self, text: &str) -> Done<String> {
        expand::word(text, self.file.escape, &self.variables())
    }

    fn pairs(&self, pairs: &[(String, String)]) -> Done<Vec<(String, String)>> {
        let pair = |(name, value): &(String, String)| Ok((self.word(name)?, self.word(value)?));
        pairs.iter().map(pair).collect()
    }

    fn arg(&mut self, list: &[(String, Option<String>)]) -> Done {
        for (name, default) in list {
            let value = match (self.args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.word(default)?),
                (None, None) => self.globals.get(name).cloned(),
            };
            if let Some(value) = value {
                self.declared.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    fn expose(&mut self, ports: &[String]) -> Done {
        for port in ports {
            let port = self.word(port)?;
            let (numbers, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
            let protocol = protocol.to_ascii_lowercase();
            let mut ends = numbers.splitn(2, '-').map(str::parse::<u16>);
            let good = ends.all(|port| port.is_ok_and(|port| port > 0))
                && matches!(protocol.as_str(), "tcp" | "udp" | "sctp");
            if !good {
                return Err(format!("{port:?} is no port"));
            }
            let port = format!("{numbers}/{protocol}");
            if !self.config.exposed_ports.contains(&port) {
                self.config.exposed_ports.push(port);
            }
        }
        Ok(())
    }

    fn argv(&self, program: &Program) -> Vec<String> {
        match program {
            Program::Exec(words) => words.clone(),
            Program::Shell(line) | Program::Script(line) => {
                let mut argv = self.shell.clone();
                argv.push(line.clone());
                argv
            }
        }
    }

    fn run(&self, program: &Program) -> Done<RunAction> {
        let program = match program {
            Program::Exec(words) if words.is_empty() => {
                return Err("RUN needs a command".to_owned());
            }
            Program::Shell(line) if line.trim().is_empty() => {
                return Err("RUN needs a command".to_owned());
            }
            Program::Script(script) if script.starts_with("#!") => {
                RunProgram::Script(script.clone())
            }
            program => RunProgram::Argv(self.argv(program)),
        };
        let proxies = self.args.iter().filter(|(name, _)| is_proxy(name));
        Ok(RunAction {
            program,
            env: self.variables(),
            proxies: proxies.map(|(n, v)| (n.clone(), v.clone())).collect(),
            user: self.config.user.clone(),
            workdir: self.workdir(),
        })
    }

    fn workdir(&self) -> String {
        self.config
            .workdir
            .clone()
            .unwrap_or_else(|| "/".to_owned())
    }

    fn copy(&self, copy: &Copy) -> Done<CopyAction> {
        let from = match &copy.from {
            None => CopyFrom::Context,
            Some(name) => match self.file.stage_before(self.stage, name) {
                Some(stage) => CopyFrom::Stage(stage),
                None if name.parse::<usize>().is_ok() => {
                    return Err(format!(
                        "--from={name}: there is no such stage before this one"
                    ));
                }
                None => CopyFrom::Image(name.clone()),
            },
        };
        let (mut paths, mut files) = (Vec::new(), Vec::new());
        for source in &copy.sources {
            match source {
                Written::Path(path) => paths.push(inside(&self.word(path)?)?),
                Written::File {
                    name,
                    content,
                    expand,
                } => {
                    let content = match expand {
                        true => expand::text(content, self.file.escape, &self.variables())?,
                        false => content.clone(),
                    };
                    files.push((name.clone(), content));
                }
            }
        }
        let destination = self.word(&copy.destination)?;
        if destination.is_empty() {
            return Err("it needs a destination".to_owned());
        }
        let is_directory = destination.ends_with('/')
            || destination.ends_with("/.")
            || destination.ends_with("/..")
            || matches!(destination.as_str(), "." | "..");
        let several = paths.len() + files.len() > 1;
        if several && !is_directory {
            return Err("with several sources the destination has to end with /".to_owned());
        }
        let chmod = copy
            .chmod
            .as_deref()
            .map(|mode| self.mode(mode))
            .transpose()?;
        Ok(CopyAction {
            kind: match copy.from {
                None => copy.kind,
                Some(_) => CopyKind::Copy,
            },
            from,
            paths,
            files,
            destination: absolute(&self.workdir(), &destination),
            into_directory: is_directory,
            chown: copy
                .chown
                .as_deref()
                .map(|owner| self.word(owner))
                .transpose()?,
            chmod,
        })
    }

    fn mode(&self, mode: &str) -> Done<u32> {
        let mode = self.word(mode)?;
        let parsed = u32::from_str_radix(&mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777);
        parsed
            .ok_or_else(|| format!("--chmod={mode}: only octal modes are known here, such as 755"))
    }
}

/// `path` from `base` on, without `.` and `..`, which cannot lead above the top.
fn absolute(base: &str, path: &str) -> String {
    let whole = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{base}/{path}"),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A source: relative to the top of where it comes from, and inside of it.
fn inside(path: &str) -> Done<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => {
                return Err(format!(
                    "the source {path:?} leads out of where it is copied from"
                ));
            }
            ".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn evaluated(text: &str, given: &[(&str, &str)]) -> Evaluation {
        let file = Dockerfile::parse(text).expect(text);
        let last = file.stage_count() - 1;
        file.evaluate(last, &ImageConfig::default(), &args(given))
            .expect(text)
    }

    fn runs(evaluation: &Evaluation) -> Vec<&RunAction> {
        let run = |operation: &'_ Operation| match &operation.action {
            Action::Run(_) => true,
            Action::Copy(_) | Action::Workdir(_) => false,
        };
        let found = evaluation.operations.iter().filter(|o| run(o));
        found
            .map(|operation| match &operation.action {
                Action::Run(action) => action,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn arguments_have_the_scopes_of_dockerfiles() {
        let text = "ARG G=1\nARG H=$G-h\nFROM x:$G\nRUN a\nARG G\nARG L=l$G\nENV E=$L$H$G\nARG E=arg\nRUN b\n";
        let done = evaluated(text, &[]);
        let ran = runs(&done);
        assert!(ran[0].env.is_empty());
        assert_eq!(ran[1].env["E"], "l11", "H is not declared in the stage");
        assert_eq!(ran[1].env["L"], "l1");
        assert_eq!(
            done.config.env,
            args(&[("E", "l11")]),
            "ARG is no part of the image"
        );
        let given = evaluated(text, &[("G", "9"), ("L", "x"), ("HTTP_PROXY", "p")]);
        let run = runs(&given)[1];
        assert_eq!((&*run.env["E"], &*run.proxies["HTTP_PROXY"]), ("x9", "p"));
        assert!(!run.env.contains_key("HTTP_PROXY"));
        let file = Dockerfile::parse(text).expect(text);
        assert_eq!(
            file.unused(&args(&[("Z", ""), ("G", ""), ("no_proxy", "")])),
            ["Z"]
        );
    }

    #[test]
    fn the_configuration_follows_its_instructions() {
        let text = "FROM x\nENTRYPOINT a b\nCMD [\"c\"]\nSHELL [\"/bin/bash\",\"-c\"]\nRUN d\nUSER u:g\n\
                    WORKDIR /a\nWORKDIR b/../c\nEXPOSE 80 53/udp 80\nLABEL k=\"v w\"\n";
        let done = evaluated(text, &[]);
        let config = &done.config;
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "a b"]);
        assert_eq!(config.cmd, ["c"]);
        assert_eq!(config.workdir.as_deref(), Some("/a/c"));
        assert_eq!(config.user.as_deref(), Some("u:g"));
        assert_eq!(config.exposed_ports, ["80/tcp", "53/udp"]);
        assert_eq!(config.labels["k"], "v w");
        let bash = ["/bin/bash", "-c", "d"].map(str::to_owned).to_vec();
        assert_eq!(runs(&done)[0].program, RunProgram::Argv(bash));
    }

    #[test]
    fn a_new_entrypoint_forgets_the_arguments_of_the_base() {
        let base = ImageConfig {
            cmd: vec!["old".into()],
            ..ImageConfig::default()
        };
        let file = Dockerfile::parse("FROM x\nENTRYPOINT [\"a\"]\n").expect("good");
        let done = file.evaluate(0, &base, &Variables::new()).expect("good");
        assert!(done.config.cmd.is_empty());
    }

    #[test]
    fn paths_of_copies_stay_inside() {
        let text = "FROM x\nWORKDIR /w\nCOPY a/../b ./c/ d/\nCOPY x ../../../etc/y\n";
        let done = evaluated(text, &[]);
        let Action::Copy(first) = &done.operations[1].action else {
            panic!("{done:?}")
        };
        assert_eq!(
            (first.paths.as_slice(), &*first.destination),
            (&["b".into(), "c".into()][..], "/w/d")
        );
        let Action::Copy(second) = &done.operations[2].action else {
            panic!("{done:?}")
        };
        assert_eq!(
            (&*second.destination, second.into_directory),
            ("/etc/y", false)
        );
        for bad in [
            "COPY ../a /",
            "COPY a b c",
            "COPY --chmod=u+x a b",
            "COPY --from=7 a b",
            "EXPOSE 99999",
        ] {
            let file = Dockerfile::parse(&format!("FROM x\n{bad}\n")).expect(bad);
            let error = file.evaluate(0, &ImageConfig::default(), &Variables::new());
            assert_eq!(error.expect_err(bad).line, Some(2));
        }
    }

    #[test]
    fn only_what_the_target_needs_is_needed() {
        let text = "ARG B=one\nFROM x AS one\nFROM y AS two\nFROM z AS three\nCOPY --from=two a b\n\
                    FROM $B AS four\nCOPY --from=2 a b\nFROM scratch AS five\n";
        let file = Dockerfile::parse(text).expect("good");
        let needed = |target| file.needed(target, &args(&[])).expect("good");
        assert_eq!(needed(None), [4]);
        assert_eq!(needed(Some("FOUR")), [0, 1, 2, 3]);
        assert_eq!(needed(Some("two")), [1]);
        assert!(file.needed(Some("six"), &args(&[])).is_err());
        let other = file
            .needed(Some("four"), &args(&[("B", "w")]))
            .expect("good");
        assert_eq!(other, [1, 2, 3]);
    }

    #[test]
    fn here_documents_are_files_of_their_name() {
        let done = evaluated(
            "FROM x\nENV A=1\nCOPY <<E.txt <<'F' /d/\n$A\nE.txt\n$A\nF\n",
            &[],
        );
        let Action::Copy(copy) = &done.operations[0].action else {
            panic!("{done:?}")
        };
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(copy.files, [file("E.txt", "1\n"), file("F", "$A\n")]);
    }
}
