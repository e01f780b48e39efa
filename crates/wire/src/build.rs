//! Builds: images made from Dockerfiles.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::encoding::Encoding;
use crate::journal::StreamName;
use crate::pipeline::PipelineStepState;
use crate::sandbox::{NetworkMode, NetworkPolicy};
use crate::word::words;

words! {
    /// Where a build is in its life.
    BuildState {
        /// Accepted; nothing has been done.
        Queued = "queued",
        Building = "building",
        /// `image_id` is there.
        Complete = "complete",
        /// `failure` says why.
        Failed = "failed",
    }
}

impl BuildState {
    /// Whether it will change no more. A word from a newer server counts as not ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed)
    }
}

/// An image to build.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateBuild {
    /// `NAME` or `NAME:TAG`: what the image is called when it is complete, taken from the image that
    /// had the name.
    pub name: String,
    /// The text of the Dockerfile; at most 1 MiB.
    pub dockerfile: String,
    /// The id of a sealed object, a tar (plain, gzip, zstd), which `COPY` and `ADD` take from. Its
    /// `.dockerignore` applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// The stage to build, by name or number; the last when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Values of `ARG`s.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Environment of every command. The values are in no image, record or cache key.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "texts"
    )]
    #[cfg_attr(feature = "openapi", schema(write_only))]
    pub secrets: BTreeMap<String, String>,
    /// Shell lines that run after the Dockerfile, one step each; at most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
    /// Who runs them; the image's user when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_user: Option<String>,
    /// Text files by absolute path, put into the image before `setup`; at most 1 MiB together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Over those of the Dockerfile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Do every step again, whatever earlier builds of the project left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
    /// Of each step's sandbox, as of sandboxes; so are the other resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// What one step may write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_mib: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// What the steps may reach: `open` when absent, or `policy` where there are rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub network: Option<NetworkMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// The id of a network policy of the project, or its name where no other has that, instead of
    /// rules: the steps obey it as it is when the build is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy_id: Option<String>,
    /// Of the whole build from its submission, 1 to 86400000; one hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Written by hand: errors that are derived quote what they found, which here is often a secret.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    const WANTED: &str = "secrets must be an object whose values are texts";
    let wanted = || D::Error::custom(WANTED);
    let Value::Object(fields) = Value::deserialize(from)? else {
        return Err(wanted());
    };
    let pair = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(wanted()),
    };
    fields.into_iter().map(pair).collect()
}

/// The values of secrets are in no text form.
impl fmt::Debug for CreateBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateBuild")
            .field("name", &self.name)
            .field("target", &self.target)
            .field("context_id", &self.context_id)
            .finish_non_exhaustive()
    }
}

/// A build as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Build {
    pub id: String,
    pub project_id: String,
    /// What the image is or will be called.
    pub name: String,
    pub state: BuildState,
    pub target: Option<String>,
    pub context_id: Option<String>,
    /// The image, when it is complete.
    pub image_id: Option<String>,
    pub failure: Option<BuildFailure>,
    /// What the Dockerfile or the request says to no effect.
    pub warnings: Vec<String>,
    pub step_count: u32,
    /// Of these, taken from earlier builds.
    pub cached_count: u32,
    /// As many as `step_count`, in order; left out in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<BuildStep>,
    /// A cancel was asked for.
    pub cancel_requested: bool,
    pub timeout_ms: u64,
    pub created_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
}

/// Why a build failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BuildFailure {
    /// `step_failed`, `base_image`, `dockerfile`, `context`, `cancelled`, `timeout`,
    /// `sandbox_failed`, `disk_full`, `out_of_memory`, `quota_exceeded`, `lost` or `internal`.
    pub code: String,
    pub message: String,
    /// The step that it happened in, from 0.
    pub step: Option<u32>,
}

/// One step of a build as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BuildStep {
    /// From 0.
    pub index: u32,
    /// The stage's name or number; empty for what follows the Dockerfile.
    pub stage: String,
    /// In the Dockerfile, from 1; `null` for what follows it.
    pub line: Option<u32>,
    /// What is done, in one line.
    pub text: String,
    pub state: PipelineStepState,
    /// It was taken from an earlier build.
    pub cached: bool,
    /// Of its command, as a shell shows it.
    pub exit_code: Option<i32>,
    /// Where it runs one; output is read there as of any command, while it is kept.
    pub command_id: Option<String>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
}

/// One thing that happened in a build. As a server-sent event, `event:` is the type, `id:` the seq
/// and `data:` this object. Sequence numbers grow and have gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BuildEvent {
    StepStarted {
        seq: u64,
        /// From 0.
        step: u32,
        text: String,
    },
    Output {
        seq: u64,
        step: u32,
        time: String,
        stream: StreamName,
        encoding: Encoding,
        data: String,
    },
    /// What the step wrote after this was not kept.
    Truncated { seq: u64, step: u32 },
    /// It was done, taken from an earlier build, failed, or was skipped without having started.
    StepEnded {
        seq: u64,
        step: u32,
        result: BuildStep,
    },
    /// The last one, with the whole build.
    Ended { seq: u64, build: Box<Build> },
}

impl BuildEvent {
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::StepStarted { seq, .. }
            | Self::Output { seq, .. }
            | Self::Truncated { seq, .. }
            | Self::StepEnded { seq, .. }
            | Self::Ended { seq, .. } => *seq,
        }
    }

    /// The name of its server-sent event.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self {
            Self::StepStarted { .. } => "step_started",
            Self::Output { .. } => "output",
            Self::Truncated { .. } => "truncated",
            Self::StepEnded { .. } => "step_ended",
            Self::Ended { .. } => "ended",
        }
    }
}

/// Which builds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListBuilds {
    /// Only this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub state: Option<BuildState>,
    /// Only builds of images of this name, without its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Items at most: 1 to 50, 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 50))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct BuildEventsQuery {
    /// Only events after this one. The header `Last-Event-ID` says the same and wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_not_shown() {
        let secrets = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
        let build = CreateBuild {
            secrets,
            ..CreateBuild::default()
        };
        assert!(!format!("{build:?}").contains("hunter2"));
        for body in [
            r#"{"secrets": "hunter2"}"#,
            r#"{"secrets": {"a": ["hunter2"]}}"#,
        ] {
            let error = serde_json::from_str::<CreateBuild>(body).expect_err("refused");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
