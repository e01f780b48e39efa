//! Code contexts and runs of code.

use pinfold_wire::{CodeContext, CodeContextList, CodeRun, CreateCodeContext, RunCode};
use reqwest::Method;

use crate::client::Client;
use crate::error::Result;
use crate::stream::{CodeStream, StreamOptions};

#[derive(Debug, Clone)]
pub struct Code {
    client: Client,
}

impl Code {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes a context: an interpreter that keeps its variables from one run to the next.
    pub async fn create_context(
        &self,
        sandbox_id: &str,
        request: &CreateCodeContext,
    ) -> Result<CodeContext> {
        let segments = ["sandboxes", sandbox_id, "contexts"];
        let call = self.client.call(Method::POST, &segments).json(request)?;
        self.client.fetch(call.named(None)).await
    }

    /// All contexts of a sandbox, oldest first.
    pub async fn contexts(&self, sandbox_id: &str) -> Result<Vec<CodeContext>> {
        let call = self.client.get(&["sandboxes", sandbox_id, "contexts"]);
        let list: CodeContextList = self.client.fetch(call).await?;
        Ok(list.contexts)
    }

    pub async fn get_context(&self, id: &str) -> Result<CodeContext> {
        self.client.fetch(self.client.get(&["contexts", id])).await
    }

    /// Ends a context with everything that it started.
    pub async fn delete_context(&self, id: &str) -> Result<CodeContext> {
        let call = self.client.call(Method::DELETE, &["contexts", id]);
        self.client.fetch(call).await
    }

    /// Gives a context a fresh interpreter.
    pub async fn restart_context(&self, id: &str) -> Result<CodeContext> {
        let call = self.client.repeatable_post(&["contexts", id, "restart"]);
        self.client.fetch(call.unbounded()).await
    }

    /// Starts a run and answers at once.
    pub async fn start(&self, sandbox_id: &str, request: &RunCode) -> Result<CodeRun> {
        self.start_named(sandbox_id, request, None).await
    }

    /// The same under the caller's idempotency key, safe also across runs of the program.
    pub async fn start_named(
        &self,
        sandbox_id: &str,
        request: &RunCode,
        idempotency_key: Option<&str>,
    ) -> Result<CodeRun> {
        let segments = ["sandboxes", sandbox_id, "code", "runs"];
        let call = self.client.call(Method::POST, &segments).json(request)?;
        self.client.fetch(call.named(idempotency_key)).await
    }

    /// Runs code to its end. What the code raises is part of the answer. However long it runs: a
    /// dropped connection is made again and waits on.
    pub async fn run(&self, sandbox_id: &str, request: &RunCode) -> Result<CodeRun> {
        let segments = ["sandboxes", sandbox_id, "code"];
        let call = self.client.call(Method::POST, &segments).json(request)?;
        self.client
            .fetch(call.named(None).patient().unbounded())
            .await
    }

    /// A run with everything it told until now.
    pub async fn get(&self, run_id: &str) -> Result<CodeRun> {
        self.client
            .fetch(self.client.get(&["code", "runs", run_id]))
            .await
    }

    /// Interrupts a run as Ctrl-C does, and waits for its end.
    pub async fn interrupt(&self, run_id: &str) -> Result<CodeRun> {
        let segments = ["code", "runs", run_id, "interrupt"];
        self.client
            .fetch(self.client.repeatable_post(&segments))
            .await
    }

    /// A run's events after number `after_seq` (0: all), up to the last. Connects with the first
    /// `next`.
    #[must_use]
    pub fn stream(&self, run_id: &str, after_seq: u64) -> CodeStream {
        let options = StreamOptions {
            after_seq,
            stream: None,
        };
        let segments = ["code", "runs", run_id, "stream"];
        CodeStream::new(self.client.clone(), &segments, options)
    }
}
