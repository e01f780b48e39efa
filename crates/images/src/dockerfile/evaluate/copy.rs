//! What a `COPY` or an `ADD` comes to, and the paths in it.

use super::super::{Copy, CopyAction, CopyFrom, CopyKind, Written};
use super::walk::{Done, Walk};

/// Sources of one copy: each is looked for by itself.
const SOURCES_MAX: usize = 256;

impl Walk<'_> {
    pub(super) fn copy(&mut self, copy: &Copy) -> Done<CopyAction> {
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
        if copy.sources.len() > SOURCES_MAX {
            return Err(format!(
                "it has {} sources, at most {SOURCES_MAX} are possible; copy a directory",
                copy.sources.len()
            ));
        }
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
                        true => self.text(content)?,
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

    fn mode(&mut self, mode: &str) -> Done<u32> {
        let mode = self.word(mode)?;
        let parsed = u32::from_str_radix(&mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777);
        parsed
            .ok_or_else(|| format!("--chmod={mode}: only octal modes are known here, such as 755"))
    }
}

/// `path` from `base` on, without `.` and `..`, which cannot lead above the top.
pub(super) fn absolute(base: &str, path: &str) -> String {
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
