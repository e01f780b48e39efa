//! Secrets. Nothing here can be printed: a request holds a value.

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(in crate::runloop) struct CreateSecret {
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) value: String,
}

#[derive(Deserialize)]
pub(in crate::runloop) struct SecretValue {
    pub(in crate::runloop) value: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListSecrets {
    pub(in crate::runloop) limit: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Secret {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) create_time_ms: i64,
    pub(in crate::runloop) update_time_ms: i64,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Secrets {
    pub(in crate::runloop) secrets: Vec<Secret>,
    pub(in crate::runloop) has_more: bool,
}
