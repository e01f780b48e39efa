//! Runs of pipelines.

use futures::Stream;
use pinfold_wire::{
    ListPipelineRuns, Page, PipelineEvent, PipelineReport, PipelineReportQuery, PipelineRun,
    SubmitPipeline, bound,
};
use reqwest::Method;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::pages;
use crate::stream::{PipelineStream, StreamOptions};

#[derive(Debug, Clone)]
pub struct Pipelines {
    client: Client,
}

impl Pipelines {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Submits a document and answers at once. Tried again where that is safe, under an idempotency
    /// key of its own: one run comes of it.
    pub async fn submit(&self, request: &SubmitPipeline) -> Result<PipelineRun> {
        self.submit_named(request, None).await
    }

    /// The same under the caller's idempotency key, safe also across runs of the program.
    pub async fn submit_named(
        &self,
        request: &SubmitPipeline,
        idempotency_key: Option<&str>,
    ) -> Result<PipelineRun> {
        let call = self.client.call(Method::POST, &["pipeline-runs"]);
        let call = call.json(request)?.named(idempotency_key);
        self.client.fetch(call).await
    }

    /// A run with its steps.
    pub async fn get(&self, id: u64) -> Result<PipelineRun> {
        let id = id.to_string();
        self.client
            .fetch(self.client.get(&["pipeline-runs", &id]))
            .await
    }

    /// One page, newest first, without the steps.
    pub async fn list(&self, query: &ListPipelineRuns) -> Result<Page<PipelineRun>> {
        let call = self.client.get(&["pipeline-runs"]).query(query)?;
        self.client.fetch(call).await
    }

    /// Every run that the filter keeps, page after page.
    pub fn all(
        &self,
        query: ListPipelineRuns,
    ) -> impl Stream<Item = Result<PipelineRun>> + Send + use<> {
        let this = self.clone();
        pages::all(move |cursor| {
            let (this, mut query) = (this.clone(), query.clone());
            query.cursor = cursor;
            async move { this.list(&query).await }
        })
    }

    /// Asks a run to end and answers at once; its end comes by the stream.
    pub async fn cancel(&self, id: u64) -> Result<PipelineRun> {
        let id = id.to_string();
        let call = self
            .client
            .repeatable_post(&["pipeline-runs", &id, "cancel"]);
        self.client.fetch(call).await
    }

    /// A run with the beginning of what its finished steps wrote: `stream_bytes` of each stream of
    /// each, 64 KiB when `None` and 1 MiB at most.
    pub async fn report(&self, id: u64, stream_bytes: Option<u32>) -> Result<PipelineReport> {
        let id = id.to_string();
        let query = PipelineReportQuery { stream_bytes };
        let call = self.client.get(&["pipeline-runs", &id, "report"]);
        self.client.fetch(call.query(&query)?).await
    }

    /// Waits for the end of the run, however long that takes.
    pub async fn wait(&self, id: u64) -> Result<PipelineRun> {
        let mut events = self.stream(id, bound::PIPELINE_EVENTS_END);
        while let Some(event) = events.next().await? {
            if let PipelineEvent::Ended { run, .. } = event {
                return Ok(*run);
            }
        }
        Err(Error::Protocol(
            "the events of the run ended without its end".to_owned(),
        ))
    }

    /// A run's events behind number `after_seq` (0: all), up to the last. Connects with the first
    /// `next`.
    #[must_use]
    pub fn stream(&self, id: u64, after_seq: u64) -> PipelineStream {
        let options = StreamOptions {
            after_seq,
            stream: None,
        };
        let id = id.to_string();
        PipelineStream::new(
            self.client.clone(),
            &["pipeline-runs", &id, "stream"],
            options,
        )
    }
}
