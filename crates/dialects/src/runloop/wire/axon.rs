//! Axons: streams of events, and their databases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

type Texts = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct CreateAxon {
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) metadata: Option<Texts>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct UpdateAxon {
    /// None: it stays.
    pub(in crate::runloop) metadata: Option<Texts>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListAxons {
    pub(in crate::runloop) limit: Option<i64>,
    pub(in crate::runloop) starting_after: Option<String>,
    pub(in crate::runloop) include_total_count: Option<bool>,
    pub(in crate::runloop) id: Option<String>,
    /// What the name begins with.
    pub(in crate::runloop) name: Option<String>,
    /// An id, or a part of the name.
    pub(in crate::runloop) search: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Axon {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) created_at_ms: i64,
    pub(in crate::runloop) metadata: Texts,
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) deleted_at_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Axons {
    pub(in crate::runloop) axons: Vec<Axon>,
    pub(in crate::runloop) has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) total_count: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct Publish {
    pub(in crate::runloop) event_type: String,
    pub(in crate::runloop) origin: String,
    pub(in crate::runloop) payload: String,
    pub(in crate::runloop) source: String,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Published {
    pub(in crate::runloop) sequence: u64,
    pub(in crate::runloop) timestamp_ms: i64,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct Subscribe {
    pub(in crate::runloop) after_sequence: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListAxonEvents {
    pub(in crate::runloop) limit: Option<i64>,
    /// A sequence number: events have no other name.
    pub(in crate::runloop) starting_after: Option<String>,
    pub(in crate::runloop) include_total_count: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct AxonEvent {
    pub(in crate::runloop) axon_id: String,
    pub(in crate::runloop) event_type: String,
    pub(in crate::runloop) origin: &'static str,
    pub(in crate::runloop) payload: String,
    pub(in crate::runloop) sequence: u64,
    pub(in crate::runloop) source: String,
    pub(in crate::runloop) timestamp_ms: i64,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct AxonEvents {
    pub(in crate::runloop) events: Vec<AxonEvent>,
    pub(in crate::runloop) has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) total_count: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct SqlStatement {
    pub(in crate::runloop) sql: String,
    pub(in crate::runloop) params: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct SqlBatch {
    pub(in crate::runloop) statements: Vec<SqlStatement>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct SqlResult {
    pub(in crate::runloop) columns: Vec<SqlColumn>,
    pub(in crate::runloop) rows: Vec<Vec<Value>>,
    pub(in crate::runloop) meta: SqlMeta,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct SqlColumn {
    pub(in crate::runloop) name: String,
    #[serde(rename = "type")]
    pub(in crate::runloop) declared: String,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct SqlMeta {
    pub(in crate::runloop) changes: u64,
    pub(in crate::runloop) duration_ms: f64,
    pub(in crate::runloop) rows_read_limit_reached: bool,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct SqlBatchResult {
    pub(in crate::runloop) results: Vec<SqlStep>,
}

/// One of both.
#[derive(Debug, Default, Serialize)]
pub(in crate::runloop) struct SqlStep {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) success: Option<SqlResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) error: Option<SqlStepError>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct SqlStepError {
    pub(in crate::runloop) message: String,
}
