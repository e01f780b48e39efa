//! Ids in paths. A text that is no id names nothing, so it is as absent as an id nobody has.

use std::str::FromStr;

use pinfold_http::Failure;
use pinfold_model::{
    BuildId, Code, CodeContextId, CommandId, Error, KeyId, NetworkPolicyId, ObjectId, PreviewId,
    ProjectId, PullId, RunId, SandboxId, SshKeyId,
};

fn parsed<T: FromStr>(text: &str, code: Code, noun: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|_| Error::new(code, format!("there is no such {noun}")).into())
}

pub(crate) fn sandbox(text: &str) -> Result<SandboxId, Failure> {
    parsed(text, Code::SandboxNotFound, "sandbox")
}

pub(crate) fn command(text: &str) -> Result<CommandId, Failure> {
    parsed(text, Code::CommandNotFound, "command")
}

pub(crate) fn object(text: &str) -> Result<ObjectId, Failure> {
    parsed(text, Code::ObjectNotFound, "object")
}

pub(crate) fn code_context(text: &str) -> Result<CodeContextId, Failure> {
    parsed(text, Code::CodeContextNotFound, "code context")
}

pub(crate) fn project(text: &str) -> Result<ProjectId, Failure> {
    parsed(text, Code::ProjectNotFound, "project")
}

pub(crate) fn key(text: &str) -> Result<KeyId, Failure> {
    parsed(text, Code::KeyNotFound, "key")
}

pub(crate) fn preview(text: &str) -> Result<PreviewId, Failure> {
    parsed(text, Code::PreviewNotFound, "preview")
}

pub(crate) fn pull(text: &str) -> Result<PullId, Failure> {
    parsed(text, Code::ImageNotFound, "pull")
}

pub(crate) fn build(text: &str) -> Result<BuildId, Failure> {
    parsed(text, Code::BuildNotFound, "build")
}

pub(crate) fn run(text: &str) -> Result<RunId, Failure> {
    parsed(text, Code::RunNotFound, "run")
}

pub(crate) fn network_policy(text: &str) -> Result<NetworkPolicyId, Failure> {
    parsed(text, Code::NetworkPolicyNotFound, "network policy")
}

pub(crate) fn ssh_key(text: &str) -> Result<SshKeyId, Failure> {
    parsed(text, Code::SshKeyNotFound, "SSH key")
}
