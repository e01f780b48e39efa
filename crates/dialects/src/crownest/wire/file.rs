//! Files and where to download them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(in crate::crownest) struct FilePath {
    pub(in crate::crownest) path: String,
    pub(in crate::crownest) encoding: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::crownest) struct DownloadFile {
    pub(in crate::crownest) path: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::crownest) struct ListFiles {
    pub(in crate::crownest) path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct WriteFile {
    pub(in crate::crownest) path: String,
    pub(in crate::crownest) content: String,
    pub(in crate::crownest) create_parents: Option<bool>,
    pub(in crate::crownest) encoding: Option<String>,
    pub(in crate::crownest) overwrite: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(in crate::crownest) struct MakeDirectory {
    pub(in crate::crownest) path: String,
    pub(in crate::crownest) parents: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(in crate::crownest) struct MoveFile {
    pub(in crate::crownest) from: String,
    pub(in crate::crownest) to: String,
    pub(in crate::crownest) overwrite: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct FileStat {
    pub(in crate::crownest) path: String,
    #[serde(rename = "type")]
    pub(in crate::crownest) kind: &'static str,
    pub(in crate::crownest) size_bytes: u64,
    pub(in crate::crownest) modified_at: String,
    /// Only entries of a directory have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct FileContent {
    pub(in crate::crownest) path: String,
    pub(in crate::crownest) size_bytes: u64,
    pub(in crate::crownest) encoding: &'static str,
    pub(in crate::crownest) content: String,
}

/// Where to download something, for a while.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct DownloadUrl {
    pub(in crate::crownest) url: String,
    pub(in crate::crownest) method: &'static str,
    /// An artifact's alone has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) headers: Option<BTreeMap<String, String>>,
    pub(in crate::crownest) auth_mode: &'static str,
}
