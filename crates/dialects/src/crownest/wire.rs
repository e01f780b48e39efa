//! The vendor's requests and resources as they stand on the wire. Fields that are unset are left
//! out, never null; unknown fields of requests are ignored. One module for each kind of thing.

mod account;
mod artifact;
mod code;
mod command;
mod file;
mod preview;
mod sandbox;

use serde::{Deserialize, Serialize};

pub(super) use account::{ApiKey, CreateProject, Period, Project, Quota, Usage, Used};
pub(super) use artifact::{Artifact, CreateArtifact};
pub(super) use code::{
    CodeContext, CodeError, CodeEvent, CodeOutput, CodeRun, CreateContext, RejectedReason, RunCode,
};
pub(super) use command::{
    CancelCommand, CollectError, Command, LogChunk, LogPage, Logs, RunCommand, StreamEvent,
};
pub(super) use file::{
    DownloadFile, DownloadUrl, FileContent, FilePath, FileStat, ListFiles, MakeDirectory, MoveFile,
    WriteFile,
};
pub(super) use preview::{CreatePreview, CreatedPreview, Preview};
pub(super) use sandbox::{CreateSandbox, ExtendSandbox, ListSandboxes, Sandbox};

#[derive(Debug, Default, Deserialize)]
pub(super) struct ListPage {
    pub(super) limit: Option<i64>,
    pub(super) cursor: Option<String>,
}

/// Part of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

macro_rules! envelopes {
    ($($envelope:ident { $field:ident: $type:ty },)+) => {$(
        #[derive(Debug, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub(super) struct $envelope {
            pub(super) $field: $type,
        }
    )+};
}

envelopes! {
    OneSandbox { sandbox: Sandbox },
    OneCommand { command: Command },
    OneFile { file: FileStat },
    Files { data: Vec<FileStat> },
    Deleted { deleted: bool },
    OneArtifact { artifact: Artifact },
    OneContext { context: CodeContext },
    OneRun { run: CodeRun },
    OnePreview { preview: Preview },
    OneProject { project: Project },
    OneApiKey { api_key: ApiKey },
}
