//! Storage objects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

type Texts = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct CreateObject {
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) content_type: String,
    pub(in crate::runloop) metadata: Option<Texts>,
    pub(in crate::runloop) ttl_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListObjects {
    pub(in crate::runloop) limit: Option<i64>,
    pub(in crate::runloop) starting_after: Option<String>,
    /// A part of it.
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) content_type: Option<String>,
    pub(in crate::runloop) state: Option<String>,
    /// The id, or a part of the name.
    pub(in crate::runloop) search: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct DownloadUrlQuery {
    pub(in crate::runloop) duration_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct DownloadUrl {
    pub(in crate::runloop) download_url: String,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Object {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) content_type: &'static str,
    pub(in crate::runloop) create_time_ms: i64,
    pub(in crate::runloop) state: &'static str,
    pub(in crate::runloop) size_bytes: Option<u64>,
    pub(in crate::runloop) delete_after_time_ms: Option<i64>,
    pub(in crate::runloop) metadata: Texts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) upload_url: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Objects {
    pub(in crate::runloop) objects: Vec<Object>,
    pub(in crate::runloop) has_more: bool,
}
