//! Walking through a stage: variables in their scopes, and what each instruction comes to.

use pinfold_model::{ImageConfig, limits};

use super::super::room::{self, Room};
use super::super::{
    Action, Dockerfile, Instruction, Operation, Program, RunAction, RunProgram, Variables, expand,
};
use super::copy::absolute;
use super::is_proxy;

/// Ports that an image exposes at most.
const PORTS_MAX: usize = 1024;

pub(super) struct Walk<'f> {
    pub(super) file: &'f Dockerfile,
    pub(super) stage: usize,
    pub(super) args: &'f Variables,
    pub(super) globals: &'f Variables,
    pub(super) room: &'f mut Room,
    /// `ARG`s of this stage that have a value.
    pub(super) declared: Variables,
    pub(super) config: ImageConfig,
    pub(super) shell: Vec<String>,
    pub(super) operations: Vec<Operation>,
    /// `CMD` was said in this stage.
    pub(super) cmd_is_own: bool,
}

pub(super) type Done<T = ()> = Result<T, String>;

impl Walk<'_> {
    pub(super) fn step(&mut self, line: usize, text: &str, instruction: &Instruction) -> Done {
        let action = match instruction {
            Instruction::Arg(list) => return self.arg(list),
            Instruction::Env(pairs) => {
                // All of one instruction see what was before it.
                let pairs = self.pairs(pairs)?;
                self.config.env.extend(pairs);
                return bounded(&self.config.env, "environment variables");
            }
            Instruction::Label(pairs) => {
                let pairs = self.pairs(pairs)?;
                self.config.labels.extend(pairs);
                return bounded(&self.config.labels, "labels");
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
                let path = self.word(path)?;
                let path = absolute(&self.workdir(), &path);
                self.config.workdir = Some(path.clone());
                Action::Workdir(path)
            }
            Instruction::Run(program) => Action::Run(self.run(program)?),
            Instruction::Copy(copy) => Action::Copy(self.copy(copy)?),
        };
        self.room.take(room::of_action(&action))?;
        self.operations.push(Operation {
            line,
            text: text.to_owned(),
            action,
        });
        Ok(())
    }

    pub(super) fn word(&mut self, text: &str) -> Done<String> {
        // `ENV` wins over `ARG`.
        let scopes = [&self.config.env, &self.declared];
        expand::word(text, self.file.escape, &scopes, self.room)
    }

    pub(super) fn text(&mut self, text: &str) -> Done<String> {
        let scopes = [&self.config.env, &self.declared];
        expand::text(text, self.file.escape, &scopes, self.room)
    }

    fn pairs(&mut self, pairs: &[(String, String)]) -> Done<Vec<(String, String)>> {
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
        bounded(&self.declared, "arguments")
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
                if self.config.exposed_ports.len() == PORTS_MAX {
                    return Err(format!("an image exposes at most {PORTS_MAX} ports"));
                }
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
            env: self.environment(),
            proxies: proxies.map(|(n, v)| (n.clone(), v.clone())).collect(),
            user: self.config.user.clone(),
            workdir: self.workdir(),
        })
    }

    fn environment(&self) -> Variables {
        let mut all = self.declared.clone();
        all.extend(self.config.env.clone());
        all
    }

    pub(super) fn workdir(&self) -> String {
        self.config
            .workdir
            .clone()
            .unwrap_or_else(|| "/".to_owned())
    }
}

/// As a command's environment is: more of it could not be given to one.
pub(super) fn bounded(map: &Variables, what: &str) -> Done {
    let (vars, bytes) = (limits::ENV_MAX_VARS, limits::COMMAND_MAX_BYTES);
    match map.len() > vars || room::of_map(map) > bytes {
        true => Err(format!(
            "there are more than {vars} {what}, or they have more than {bytes} bytes together"
        )),
        false => Ok(()),
    }
}
