//! A path as a caller gives it, and as the guest takes it.

use pinfold_model::{Error, Result, limits};
use pinfold_runtime::guest::{FilePath, Follow};

use serde::Serialize;

use crate::commands::absolute;
use crate::live::Lease;

/// A path of a request. Made from a text, it may lead anywhere in the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileAt<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<&'a str>,
}

impl<'a> FileAt<'a> {
    /// A path that has to end within `directory` (absolute), after `..` and all symlinks, dangling
    /// ones included; otherwise the request is `path_outside`. A relative one begins there. The
    /// guest decides by the directories that it holds open, so nothing that runs in the sandbox
    /// can turn it elsewhere meanwhile.
    #[must_use]
    pub const fn within(path: &'a str, directory: &'a str) -> Self {
        Self {
            path,
            within: Some(directory),
        }
    }

    /// The one or the other: confined to `directory` where there is one.
    #[must_use]
    pub const fn of(path: &'a str, directory: Option<&'a str>) -> Self {
        Self {
            path,
            within: directory,
        }
    }

    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// What it is confined to.
    pub(crate) const fn directory(&self) -> Option<&'a str> {
        self.within
    }

    /// As the guest takes it: absolute, and worked on by the sandbox's default user.
    pub(super) fn located(&self, lease: &Lease, follow: Follow) -> Result<FilePath> {
        let path = self.path;
        if path.is_empty() || path.contains('\0') || path.len() > limits::PATH_MAX_BYTES {
            return Err(Error::invalid(
                "path",
                format!(
                    "a path has 1 to {} bytes and no NUL",
                    limits::PATH_MAX_BYTES
                ),
            ));
        }
        let spec = &lease.sandbox().spec;
        let base = self.within.unwrap_or(&spec.workdir);
        Ok(FilePath {
            path: absolute(base, path).into(),
            user: spec.user.clone(),
            within: self.within.map(Into::into),
            follow,
        })
    }
}

impl<'a> From<&'a str> for FileAt<'a> {
    fn from(path: &'a str) -> Self {
        Self { path, within: None }
    }
}

impl<'a> From<&'a String> for FileAt<'a> {
    fn from(path: &'a String) -> Self {
        path.as_str().into()
    }
}
