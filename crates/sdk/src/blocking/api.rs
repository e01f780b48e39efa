//! Every resource's methods, each one its async namesake run to the end.

use std::time::Duration;

use bytes::Bytes;
use pinfold_wire::{
    AuditEvent, Build, CancelMode, CodeContext, CodeRun, Command, CreateBuild, CreateCodeContext,
    CreateKey, CreateNetworkPolicy, CreateObject, CreatePreview, CreateProject, CreateSandbox,
    CreateSshKey, CreatedKey, CreatedPreview, CreatedSshKey, DirectoryList, FileEntry, Gauge,
    Image, ImagePull, Key, LinkUse, ListAudit, ListBuilds, ListCommands, ListImages, ListKeys,
    ListObjects, ListPipelineRuns, ListPreviews, ListSandboxUsage, ListSandboxes, LogPage,
    LogsQuery, MakeDirectory, MoveFile, NamedNetworkPolicy, Object, Page, PageQuery,
    PipelineReport, PipelineRun, Preview, PreviewLink, Project, PtyQuery, PullImage,
    PutSandboxNetwork, PutTemplate, RunCode, RunResult, Sandbox, SandboxNetwork, SandboxUsage,
    Secret, SignedUrl, SshKey, StartCommand, SubmitPipeline, TakeSnapshot, Template, UpdateKey,
    UpdateNetworkPolicy, UpdateProject, UploadObjectQuery, Usage, UsageQuery, WindowSize,
};

use super::Driver;
use super::streams::{
    BuildStream, ByteStream, CodeStream, CommandStream, Items, PipelineStream, Pty, WatchStream,
};
use crate::body::Upload;
use crate::commands::OutputOptions;
use crate::error::Result;
use crate::files::WriteOptions;
use crate::stream::StreamOptions;

macro_rules! mirrored {
    ($name:ident { $(fn $method:ident($($arg:ident: $type:ty),*) -> $out:ty;)* }) => {
        #[doc = concat!("Blocking form of [`crate::", stringify!($name), "`].")]
        #[derive(Debug, Clone)]
        pub struct $name {
            driver: Driver,
            inner: crate::$name,
        }

        impl $name {
            pub(super) fn new(driver: &Driver, inner: crate::$name) -> Self {
                Self { driver: driver.clone(), inner }
            }

            $(
                #[doc = concat!(
                    "As [`crate::", stringify!($name), "::", stringify!($method), "`]."
                )]
                pub fn $method(&self, $($arg: $type),*) -> Result<$out> {
                    self.driver.run(self.inner.$method($($arg),*))
                }
            )*
        }
    };
}

mirrored! { Sandboxes {
    fn create(request: &CreateSandbox) -> Sandbox;
    fn create_named(request: &CreateSandbox, idempotency_key: Option<&str>) -> Sandbox;
    fn get(id: &str) -> Sandbox;
    fn list(query: &ListSandboxes) -> Page<Sandbox>;
    fn destroy(id: &str) -> Sandbox;
    fn suspend(id: &str) -> Sandbox;
    fn resume(id: &str) -> Sandbox;
    fn stop(id: &str) -> Sandbox;
    fn start(id: &str) -> Sandbox;
    fn extend(id: &str, ttl: Duration) -> Sandbox;
    fn network(id: &str) -> SandboxNetwork;
    fn set_network(id: &str, request: &PutSandboxNetwork) -> SandboxNetwork;
    fn snapshot(id: &str, request: &TakeSnapshot) -> Image;
    fn usage(id: &str) -> Gauge;
}}

impl Sandboxes {
    /// As [`crate::Sandboxes::all`].
    pub fn all(&self, query: ListSandboxes) -> Items<Sandbox> {
        Items::new(&self.driver, self.inner.all(query))
    }
}

mirrored! { Commands {
    fn start(sandbox_id: &str, request: &StartCommand) -> Command;
    fn start_named(
        sandbox_id: &str, request: &StartCommand, idempotency_key: Option<&str>
    ) -> Command;
    fn run(sandbox_id: &str, request: &StartCommand) -> RunResult;
    fn get(id: &str) -> Command;
    fn list(sandbox_id: &str, query: &ListCommands) -> Page<Command>;
    fn cancel(id: &str, mode: CancelMode) -> Command;
    fn wait(id: &str) -> Command;
    fn wait_at_most(id: &str, timeout: Duration) -> Command;
    fn logs(id: &str, query: &LogsQuery) -> LogPage;
    fn write_stdin(id: &str, bytes: impl Into<Bytes>) -> ();
    fn stream_stdin(id: &str, source: Upload) -> ();
    fn close_stdin(id: &str) -> ();
    fn resize(id: &str, size: WindowSize) -> ();
    fn signal(id: &str, signal: &str) -> ();
}}

impl Commands {
    /// As [`crate::Commands::stream`], as an iterator.
    #[must_use]
    pub fn stream(&self, id: &str, options: StreamOptions) -> CommandStream {
        CommandStream::new(&self.driver, self.inner.stream(id, options))
    }

    /// As [`crate::Commands::output`].
    pub fn output(&self, id: &str, options: OutputOptions) -> Result<ByteStream> {
        let stream = self.driver.run(self.inner.output(id, options))?;
        Ok(ByteStream::new(&self.driver, stream))
    }

    /// As [`crate::Commands::pty`].
    pub fn pty(&self, sandbox_id: &str, query: &PtyQuery) -> Result<Pty> {
        let pty = self.driver.run(self.inner.pty(sandbox_id, query))?;
        Ok(Pty::new(&self.driver, pty))
    }
}

mirrored! { Files {
    fn write(path: &str, body: Upload, options: &WriteOptions) -> FileEntry;
    fn remove(path: &str, recursive: bool) -> ();
    fn stat(path: &str) -> FileEntry;
    fn list(path: &str, limit: Option<u32>) -> DirectoryList;
    fn make_directory(request: &MakeDirectory) -> FileEntry;
    fn rename(request: &MoveFile) -> FileEntry;
    fn chmod(path: &str, mode: u32) -> FileEntry;
    fn unpack(path: &str, tar: Upload) -> ();
    fn url(path: &str, expires_in: Option<Duration>) -> SignedUrl;
}}

impl Files {
    /// As [`crate::Files::read`].
    pub fn read(&self, path: &str) -> Result<ByteStream> {
        let stream = self.driver.run(self.inner.read(path))?;
        Ok(ByteStream::new(&self.driver, stream))
    }

    /// As [`crate::Files::read_range`].
    pub fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream> {
        let stream = self
            .driver
            .run(self.inner.read_range(path, offset, length))?;
        Ok(ByteStream::new(&self.driver, stream))
    }

    /// As [`crate::Files::archive`].
    pub fn archive(&self, path: &str) -> Result<ByteStream> {
        let stream = self.driver.run(self.inner.archive(path))?;
        Ok(ByteStream::new(&self.driver, stream))
    }

    /// As [`crate::Files::watch`], as an iterator.
    pub fn watch(&self, path: &str, recursive: bool) -> Result<WatchStream> {
        let stream = self.driver.run(self.inner.watch(path, recursive))?;
        Ok(WatchStream::new(&self.driver, stream))
    }
}

mirrored! { Code {
    fn create_context(sandbox_id: &str, request: &CreateCodeContext) -> CodeContext;
    fn contexts(sandbox_id: &str) -> Vec<CodeContext>;
    fn get_context(id: &str) -> CodeContext;
    fn delete_context(id: &str) -> CodeContext;
    fn restart_context(id: &str) -> CodeContext;
    fn start(sandbox_id: &str, request: &RunCode) -> CodeRun;
    fn start_named(
        sandbox_id: &str, request: &RunCode, idempotency_key: Option<&str>
    ) -> CodeRun;
    fn run(sandbox_id: &str, request: &RunCode) -> CodeRun;
    fn get(run_id: &str) -> CodeRun;
    fn interrupt(run_id: &str) -> CodeRun;
}}

impl Code {
    /// As [`crate::Code::stream`], as an iterator.
    #[must_use]
    pub fn stream(&self, run_id: &str, after_seq: u64) -> CodeStream {
        CodeStream::new(&self.driver, self.inner.stream(run_id, after_seq))
    }
}

mirrored! { Pipelines {
    fn submit(request: &SubmitPipeline) -> PipelineRun;
    fn submit_named(
        request: &SubmitPipeline, idempotency_key: Option<&str>
    ) -> PipelineRun;
    fn get(id: u64) -> PipelineRun;
    fn list(query: &ListPipelineRuns) -> Page<PipelineRun>;
    fn cancel(id: u64) -> PipelineRun;
    fn report(id: u64, stream_bytes: Option<u32>) -> PipelineReport;
    fn wait(id: u64) -> PipelineRun;
}}

impl Pipelines {
    /// As [`crate::Pipelines::all`].
    pub fn all(&self, query: ListPipelineRuns) -> Items<PipelineRun> {
        Items::new(&self.driver, self.inner.all(query))
    }

    /// As [`crate::Pipelines::stream`], as an iterator.
    #[must_use]
    pub fn stream(&self, id: u64, after_seq: u64) -> PipelineStream {
        PipelineStream::new(&self.driver, self.inner.stream(id, after_seq))
    }
}

mirrored! { Builds {
    fn create(request: &CreateBuild) -> Build;
    fn create_named(request: &CreateBuild, idempotency_key: Option<&str>) -> Build;
    fn get(id: &str) -> Build;
    fn list(query: &ListBuilds) -> Page<Build>;
    fn cancel(id: &str) -> Build;
    fn delete(id: &str) -> ();
    fn wait(id: &str) -> Build;
}}

impl Builds {
    /// As [`crate::Builds::all`].
    pub fn all(&self, query: ListBuilds) -> Items<Build> {
        Items::new(&self.driver, self.inner.all(query))
    }

    /// As [`crate::Builds::stream`], as an iterator.
    #[must_use]
    pub fn stream(&self, id: &str, after_seq: u64) -> BuildStream {
        BuildStream::new(&self.driver, self.inner.stream(id, after_seq))
    }
}

mirrored! { Images {
    fn pull(request: &PullImage) -> Image;
    fn start_pull(request: &PullImage) -> ImagePull;
    fn get_pull(id: &str, timeout: Duration) -> ImagePull;
    fn get(name: &str) -> Image;
    fn list(query: &ListImages) -> Page<Image>;
    fn import(name: &str, tar: Upload, select: Option<&str>) -> Image;
    fn remove(name: &str) -> ();
}}

impl Images {
    /// As [`crate::Images::all`].
    pub fn all(&self) -> Items<Image> {
        Items::new(&self.driver, self.inner.all())
    }

    /// As [`crate::Images::export`].
    pub fn export(&self, name: &str) -> Result<ByteStream> {
        let stream = self.driver.run(self.inner.export(name))?;
        Ok(ByteStream::new(&self.driver, stream))
    }
}

mirrored! { Objects {
    fn create(request: &CreateObject) -> Object;
    fn create_named(request: &CreateObject, idempotency_key: Option<&str>) -> Object;
    fn put(query: &UploadObjectQuery, body: Upload) -> Object;
    fn put_named(
        query: &UploadObjectQuery, body: Upload, idempotency_key: Option<&str>
    ) -> Object;
    fn upload(id: &str, body: Upload) -> Object;
    fn complete(id: &str) -> Object;
    fn get(id: &str) -> Object;
    fn list(query: &ListObjects) -> Page<Object>;
    fn delete(id: &str) -> Object;
    fn url(id: &str, link_use: LinkUse, expires_in: Option<Duration>) -> SignedUrl;
}}

impl Objects {
    /// As [`crate::Objects::all`].
    pub fn all(&self, query: ListObjects) -> Items<Object> {
        Items::new(&self.driver, self.inner.all(query))
    }

    /// As [`crate::Objects::read`].
    pub fn read(&self, id: &str) -> Result<ByteStream> {
        let stream = self.driver.run(self.inner.read(id))?;
        Ok(ByteStream::new(&self.driver, stream))
    }

    /// As [`crate::Objects::read_range`].
    pub fn read_range(&self, id: &str, offset: u64, length: u64) -> Result<ByteStream> {
        let stream = self.driver.run(self.inner.read_range(id, offset, length))?;
        Ok(ByteStream::new(&self.driver, stream))
    }
}

mirrored! { Templates {
    fn set(name: &str, recipe: &PutTemplate) -> Template;
    fn get(name: &str) -> Template;
    fn get_version(name: &str, version: u32) -> Template;
    fn versions(name: &str, query: &PageQuery) -> Page<Template>;
    fn list(query: &PageQuery) -> Page<Template>;
    fn remove(name: &str) -> ();
}}

impl Templates {
    /// As [`crate::Templates::all`].
    pub fn all(&self) -> Items<Template> {
        Items::new(&self.driver, self.inner.all())
    }
}

mirrored! { SshKeys {
    fn create(sandbox_id: &str, request: &CreateSshKey) -> CreatedSshKey;
    fn list(sandbox_id: &str, query: &PageQuery) -> Page<SshKey>;
    fn delete(sandbox_id: &str, id: &str) -> ();
}}

impl SshKeys {
    /// As [`crate::SshKeys::all`].
    pub fn all(&self, sandbox_id: &str) -> Items<SshKey> {
        Items::new(&self.driver, self.inner.all(sandbox_id))
    }
}

mirrored! { Secrets {
    fn set(name: &str, value: impl Into<String>) -> Secret;
    fn get(name: &str) -> Secret;
    fn list(query: &PageQuery) -> Page<Secret>;
    fn delete(name: &str) -> ();
}}

impl Secrets {
    /// As [`crate::Secrets::all`].
    pub fn all(&self) -> Items<Secret> {
        Items::new(&self.driver, self.inner.all())
    }
}

mirrored! { NetworkPolicies {
    fn create(request: &CreateNetworkPolicy) -> NamedNetworkPolicy;
    fn get(id: &str) -> NamedNetworkPolicy;
    fn list(query: &PageQuery) -> Page<NamedNetworkPolicy>;
    fn update(id: &str, change: &UpdateNetworkPolicy) -> NamedNetworkPolicy;
    fn delete(id: &str) -> ();
}}

impl NetworkPolicies {
    /// As [`crate::NetworkPolicies::all`].
    pub fn all(&self) -> Items<NamedNetworkPolicy> {
        Items::new(&self.driver, self.inner.all())
    }
}

mirrored! { Projects {
    fn create(request: &CreateProject) -> Project;
    fn get(id: &str) -> Project;
    fn list(query: &PageQuery) -> Page<Project>;
    fn update(id: &str, change: &UpdateProject) -> Project;
}}

mirrored! { Keys {
    fn create(request: &CreateKey) -> CreatedKey;
    fn list(query: &ListKeys) -> Page<Key>;
    fn update(id: &str, change: &UpdateKey) -> Key;
    fn revoke(id: &str) -> Key;
}}

impl Keys {
    /// As [`crate::Keys::all`].
    pub fn all(&self) -> Items<Key> {
        Items::new(&self.driver, self.inner.all())
    }
}

mirrored! { Previews {
    fn create(sandbox_id: &str, request: &CreatePreview) -> CreatedPreview;
    fn get(id: &str) -> Preview;
    fn list(sandbox_id: &str, query: &ListPreviews) -> Page<Preview>;
    fn revoke(id: &str) -> Preview;
    fn link(id: &str, expires_in: Option<Duration>) -> PreviewLink;
}}

impl Previews {
    /// As [`crate::Previews::all`].
    pub fn all(&self, sandbox_id: &str, query: ListPreviews) -> Items<Preview> {
        Items::new(&self.driver, self.inner.all(sandbox_id, query))
    }
}

mirrored! { UsageReports {
    fn project(query: &UsageQuery) -> Usage;
    fn sandboxes(query: &ListSandboxUsage) -> Page<SandboxUsage>;
}}

mirrored! { Audit {
    fn list(query: &ListAudit) -> Page<AuditEvent>;
}}
