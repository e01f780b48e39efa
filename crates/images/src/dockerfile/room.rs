//! How much a Dockerfile may come to: a megabyte of text can say gigabytes, and what it says is held in
//! memory for as long as its build lasts.

use pinfold_model::ImageConfig;

use super::{Action, CopyAction, RunAction, RunProgram, Variables};

/// Bytes of everything that a file is expanded to.
const ROOM_BYTES: usize = 64 << 20;

/// Bytes that may still be taken.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(ROOM_BYTES)
    }
}

impl Room {
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            format!("with it the file comes to more than {ROOM_BYTES} bytes; say less in variables")
        })?;
        Ok(())
    }
}

pub(super) fn of_map(map: &Variables) -> usize {
    map.iter().map(|(name, text)| name.len() + text.len()).sum()
}

pub(super) fn of_texts(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum()
}

pub(super) fn of_config(config: &ImageConfig) -> usize {
    let lists = [&config.entrypoint, &config.cmd, &config.exposed_ports];
    let lists: usize = lists.into_iter().map(|list| of_texts(list)).sum();
    let texts: usize = [&config.user, &config.workdir]
        .into_iter()
        .flatten()
        .map(String::len)
        .sum();
    of_map(&config.env) + of_map(&config.labels) + lists + texts
}

pub(super) fn of_action(action: &Action) -> usize {
    match action {
        Action::Run(run) => of_run(run),
        Action::Copy(copy) => of_copy(copy),
        Action::Workdir(path) => path.len(),
    }
}

fn of_run(run: &RunAction) -> usize {
    let program = match &run.program {
        RunProgram::Argv(argv) => of_texts(argv),
        RunProgram::Line(text) | RunProgram::Script(text) => text.len(),
    };
    let user = run.user.as_ref().map_or(0, String::len);
    program + of_map(&run.env) + of_map(&run.proxies) + user + run.workdir.len()
}

fn of_copy(copy: &CopyAction) -> usize {
    let files = copy.files.iter();
    let files: usize = files.map(|(name, text)| name.len() + text.len()).sum();
    let chown = copy.chown.as_ref().map_or(0, String::len);
    of_texts(&copy.paths) + files + copy.destination.len() + chown
}
