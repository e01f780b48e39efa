//! Projects, API keys and usage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(in crate::crownest) struct CreateProject {
    pub(in crate::crownest) name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct Project {
    pub(in crate::crownest) id: String,
    pub(in crate::crownest) org_id: String,
    pub(in crate::crownest) name: String,
    pub(in crate::crownest) created_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct ApiKey {
    pub(in crate::crownest) id: String,
    pub(in crate::crownest) org_id: String,
    pub(in crate::crownest) name: String,
    pub(in crate::crownest) prefix: String,
    pub(in crate::crownest) last4: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) project_ids: Option<Vec<String>>,
    pub(in crate::crownest) scopes: Vec<&'static str>,
    pub(in crate::crownest) created_by_user_id: String,
    pub(in crate::crownest) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::crownest) last_used_at: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct Usage {
    pub(in crate::crownest) period: Period,
    pub(in crate::crownest) pricing_version: &'static str,
    pub(in crate::crownest) compute_unit_seconds_per_credit: u64,
    pub(in crate::crownest) currency_per_credit: f64,
    pub(in crate::crownest) compute_unit_seconds: Used,
    pub(in crate::crownest) credits: Used,
    pub(in crate::crownest) quotas: BTreeMap<&'static str, Quota>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::crownest) struct Period {
    pub(in crate::crownest) start: String,
    pub(in crate::crownest) end: String,
    pub(in crate::crownest) reset_at: String,
}

#[derive(Debug, Serialize)]
pub(in crate::crownest) struct Used {
    pub(in crate::crownest) used: f64,
}

#[derive(Debug, Serialize)]
pub(in crate::crownest) struct Quota {
    pub(in crate::crownest) limit: u64,
    pub(in crate::crownest) current: u64,
    pub(in crate::crownest) remaining: u64,
}
