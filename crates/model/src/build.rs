//! A build: an image being made from a Dockerfile, step by step, each in a sandbox of its own.
//!
//! ```text
//! queued -> building -> complete | failed(fault)
//! ```
//! The image is recorded with the end of the build and not before. Knows no Dockerfile's grammar.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::error::{Code, Error, Result};
use crate::id::{BuildId, ImageId, KeyId, ObjectId, OrgId, ProjectId, SandboxId};
use crate::image::ImageName;
use crate::limits;
use crate::network::NetworkPolicy;
use crate::pipeline::StepRun;
use crate::resources::{NetworkMode, Resources};
use crate::sandbox::{validate_env, validate_metadata, validate_network};
use crate::secret_env::SecretEnv;

/// What a build may take from earlier builds of its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildCache {
    #[default]
    Use,
    /// Every step is done again; later builds may take what this one does.
    Ignore,
}

/// Everything that decides what a build does; immutable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildSpec {
    /// Given to the image when it is complete, taken from the image that had it.
    pub name: ImageName,
    pub dockerfile: String,
    /// A sealed object: a tar, plain, gzip or zstd.
    pub context: Option<ObjectId>,
    /// A stage; `None`: the last.
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    /// Environment of every command; the names are recorded, the values are not.
    pub secrets: SecretEnv,
    /// Shell lines that run after the Dockerfile, one step each.
    pub setup: Vec<String>,
    /// Environment of single lines of `setup`, by their place; recorded like `secrets`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub setup_secrets: BTreeMap<usize, SecretEnv>,
    /// Lines of `setup` from this one on are run by every build: what they do is not decided by what
    /// stands in them alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_anew_from: Option<usize>,
    /// Who runs them; `None`: the image's user.
    pub setup_user: Option<String>,
    /// Text files, by absolute path, put into the image before `setup`.
    pub files: BTreeMap<String, String>,
    /// Whose those of `files` are that are below somebody's home; the others are root's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<BuildHome>,
    /// Over those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    pub cache: BuildCache,
    /// Of each step's sandbox.
    pub resources: Resources,
    pub network: NetworkMode,
    pub network_policy: NetworkPolicy,
    /// Of the whole build, from its submission.
    pub timeout: Duration,
    /// The key whose quota its sandboxes count against; `None`: the process itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

/// A directory of the image that belongs to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildHome {
    /// Absolute.
    pub path: String,
    /// `UID:GID`.
    pub user: String,
}

impl BuildHome {
    /// Whether what an absolute path names is below it.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.path.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

impl BuildSpec {
    /// Whether values that it needs were not recorded, and are gone.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        let mut all = self.setup_secrets.values().chain([&self.secrets]);
        all.any(SecretEnv::is_withheld)
    }

    /// The environment of a line of `setup` that is recorded nowhere.
    #[must_use]
    pub fn secrets_of_setup(&self, place: usize) -> SecretEnv {
        let mut values = self.secrets.values().clone();
        if let Some(env) = self.setup_secrets.get(&place) {
            values.extend(env.values().clone());
        }
        SecretEnv::new(values)
    }

    /// Checks the part that callers choose, but for the Dockerfile. The first fault found is the one
    /// reported.
    pub fn validate(&self) -> Result<()> {
        self.resources.validate()?;
        validate_network(self.network, &self.network_policy)?;
        validate_env(&self.args)?;
        validate_env(self.secrets.values())?;
        for env in self.setup_secrets.values() {
            validate_env(env.values())?;
        }
        validate_metadata(&self.labels)?;
        if self.setup.len() > limits::BUILD_SETUP_MAX {
            return Err(Error::invalid(
                "setup",
                format!(
                    "at most {} set-up commands are possible",
                    limits::BUILD_SETUP_MAX
                ),
            ));
        }
        if self
            .setup
            .iter()
            .any(|line| line.trim().is_empty() || line.contains('\0'))
        {
            return Err(Error::invalid(
                "setup",
                "a set-up command is a line for a shell",
            ));
        }
        let size = self.files.values().map(String::len).sum::<usize>();
        if self.files.len() > limits::BUILD_FILES_MAX || size > limits::BUILD_FILES_MAX_BYTES {
            return Err(Error::invalid(
                "files",
                format!(
                    "at most {} files of {} bytes together are possible; use a context",
                    limits::BUILD_FILES_MAX,
                    limits::BUILD_FILES_MAX_BYTES
                ),
            ));
        }
        if let Some(path) = self.files.keys().find(|path| !is_absolute_file(path)) {
            return Err(Error::invalid(
                "files",
                format!("{path:?} is no absolute path of a file"),
            ));
        }
        if self.timeout.is_zero() || self.timeout > limits::BUILD_TIMEOUT_MAX {
            return Err(Error::invalid(
                "timeout",
                "a timeout must be more than 0 and at most 24 hours",
            ));
        }
        Ok(())
    }
}

fn is_absolute_file(path: &str) -> bool {
    path.len() <= limits::PATH_MAX_BYTES
        && !path.contains('\0')
        && path.starts_with('/')
        && !path.ends_with('/')
        && path.split('/').all(|part| part != "." && part != "..")
}

/// Where a build is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildState {
    Queued,
    Building,
    /// Its image is there.
    Complete,
    Failed,
}

impl BuildState {
    pub const ALL: [Self; 4] = [Self::Queued, Self::Building, Self::Complete, Self::Failed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }

    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed)
    }
}

impl std::str::FromStr for BuildState {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Error::invalid("state", format!("unknown state of a build {text:?}")))
    }
}

/// Why a build failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildFault {
    /// A step did not do what it was to do.
    StepFailed,
    /// An image that it is built on, or copies from, is not to be had.
    BaseImage,
    /// The Dockerfile comes to something impossible once its variables are known.
    Dockerfile,
    /// The context cannot be used.
    Context,
    Cancelled,
    TimedOut,
    /// A sandbox did not boot, or ended under a step.
    SandboxFailed,
    /// A step used up its disk.
    OutOfDisk,
    /// A step failed, and something of it was killed since it used up its memory.
    OutOfMemory,
    QuotaExceeded,
    /// The server ended in the middle of it.
    Lost,
    Internal,
}

impl BuildFault {
    /// Stable and public.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StepFailed => "step_failed",
            Self::BaseImage => "base_image",
            Self::Dockerfile => "dockerfile",
            Self::Context => "context",
            Self::Cancelled => "cancelled",
            Self::TimedOut => Code::Timeout.as_str(),
            Self::SandboxFailed => Code::SandboxFailed.as_str(),
            Self::OutOfDisk => Code::DiskFull.as_str(),
            Self::OutOfMemory => "out_of_memory",
            Self::QuotaExceeded => Code::QuotaExceeded.as_str(),
            Self::Lost => "lost",
            Self::Internal => Code::Internal.as_str(),
        }
    }
}

/// A fault with its public text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFailure {
    pub fault: BuildFault,
    pub message: String,
    /// The step that it happened in, counted from 0.
    pub step: Option<usize>,
}

impl BuildFailure {
    #[must_use]
    pub fn new(fault: BuildFault, message: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
            step: None,
        }
    }
}

/// One step of a build and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildStep {
    /// The stage's name or number; empty for what follows the Dockerfile.
    pub stage: String,
    /// In the Dockerfile, from 1; `None` for what follows it.
    pub line: Option<usize>,
    /// What is done, in one line.
    pub text: String,
    /// It was taken from an earlier build.
    pub cached: bool,
    /// Only steps that run a command have one.
    pub run: StepRun,
}

/// A build as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    pub id: BuildId,
    pub org: OrgId,
    pub project: ProjectId,
    pub spec: BuildSpec,
    pub state: BuildState,
    /// All of them from the beginning: those of stages that are needed.
    pub steps: Vec<BuildStep>,
    /// What the Dockerfile says and nobody acts on.
    pub warnings: Vec<String>,
    /// Sandboxes that may be there, recorded before they are made.
    pub sandboxes: Vec<SandboxId>,
    /// What it made.
    pub image: Option<ImageId>,
    pub failure: Option<BuildFailure>,
    /// A cancel was asked for.
    pub cancel: bool,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_holds_what_is_below_it_and_nothing_beside_it() {
        let home = BuildHome {
            path: "/home/user".into(),
            user: "1000:1000".into(),
        };
        assert!(home.holds("/home/user/a") && home.holds("/home/user/a/b"));
        for other in ["/home/user", "/home/user2/a", "/etc/a", "home/user/a"] {
            assert!(!home.holds(other), "{other}");
        }
    }

    fn spec() -> BuildSpec {
        BuildSpec {
            name: "a:1".parse().expect("a name"),
            dockerfile: "FROM scratch".into(),
            context: None,
            target: None,
            args: BTreeMap::new(),
            secrets: SecretEnv::default(),
            setup: Vec::new(),
            setup_secrets: BTreeMap::new(),
            setup_anew_from: None,
            setup_user: None,
            files: BTreeMap::new(),
            home: None,
            labels: BTreeMap::new(),
            cache: BuildCache::Use,
            resources: Resources::default(),
            network: NetworkMode::Open,
            network_policy: NetworkPolicy::default(),
            timeout: Duration::from_secs(60),
            key: None,
        }
    }

    #[test]
    fn what_callers_choose_is_checked() {
        assert!(spec().validate().is_ok());
        for bad in ["etc/x", "/etc/", "/a/../b", "/a\0", ""] {
            let files = BTreeMap::from([(bad.to_owned(), String::new())]);
            assert!(BuildSpec { files, ..spec() }.validate().is_err(), "{bad:?}");
        }
        let setup = vec![" ".to_owned()];
        assert!(BuildSpec { setup, ..spec() }.validate().is_err());
        let timeout = Duration::from_secs(86_401);
        assert!(BuildSpec { timeout, ..spec() }.validate().is_err());
        let network_policy = NetworkPolicy {
            deny: vec!["example.com".parse().expect("a rule")],
            ..NetworkPolicy::default()
        };
        let ruled = |network| BuildSpec {
            network,
            network_policy: network_policy.clone(),
            ..spec()
        };
        assert!(ruled(NetworkMode::Policy).validate().is_ok());
        for network in [NetworkMode::Open, NetworkMode::None] {
            assert!(ruled(network).validate().is_err(), "nobody obeys the rules");
        }
    }

    #[test]
    fn secrets_are_recorded_by_name_only() {
        let values = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
        let with = BuildSpec {
            secrets: SecretEnv::new(values),
            ..spec()
        };
        let json = serde_json::to_string(&with).expect("plain data");
        assert!(json.contains("TOKEN") && !json.contains("hunter2"));
        let of_line = BuildSpec {
            setup_secrets: BTreeMap::from([(1, with.secrets)]),
            ..spec()
        };
        assert!(of_line.secrets_of_setup(0).is_empty() && !of_line.is_withheld());
        assert_eq!(of_line.secrets_of_setup(1).values()["TOKEN"], "hunter2");
        let json = serde_json::to_string(&of_line).expect("plain data");
        assert!(json.contains("TOKEN") && !json.contains("hunter2"));
        let back: BuildSpec = serde_json::from_str(&json).expect("its own form");
        assert!(back.is_withheld());
    }

    #[test]
    fn states_survive_their_text_form() {
        for state in BuildState::ALL {
            assert_eq!(
                state.as_str().parse::<BuildState>().expect("own text"),
                state
            );
        }
    }
}
