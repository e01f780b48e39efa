//! What is kept of a sandbox's files when one of its commands has ended.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

/// Files to copy into objects behind a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collect {
    /// 1 to 100 of them.
    pub files: Vec<CollectFile>,
    pub on: CollectOn,
    /// A directory that all of them have to be in, after `..` and all symlinks.
    pub within: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectFile {
    pub path: String,
    /// Of the object; `None`: the file's own.
    pub name: Option<String>,
}

/// After which ends of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectOn {
    /// It exited with 0.
    Success,
    Always,
}

/// What became of it; recorded once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectReport {
    /// The command did not end in the way that was asked for.
    Skipped,
    Done {
        stored: usize,
        failed: Vec<CollectFailure>,
    },
}

/// A file that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectFailure {
    /// As it was asked for.
    pub path: String,
    pub kind: CollectFailureKind,
    /// Public text.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectFailureKind {
    NotFound,
    Outside,
    Failed,
}

impl Collect {
    pub fn validate(&self) -> Result<()> {
        if !(1..=limits::COLLECT_FILES_MAX).contains(&self.files.len()) {
            return Err(Error::invalid(
                "collect",
                format!("collect names 1 to {} files", limits::COLLECT_FILES_MAX),
            ));
        }
        let bad = |path: &str| {
            path.is_empty() || path.len() > limits::PATH_MAX_BYTES || path.contains('\0')
        };
        if self.files.iter().any(|file| bad(&file.path)) {
            return Err(Error::invalid(
                "collect",
                "each path of collect has 1 to 4095 bytes and no NUL",
            ));
        }
        let names = self.files.iter().filter_map(|file| file.name.as_deref());
        for name in names {
            crate::object::validate_object_name(name)?;
        }
        Ok(())
    }
}
