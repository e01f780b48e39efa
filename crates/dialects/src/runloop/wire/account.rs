//! Accounts and keys.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Account {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) account_status: &'static str,
    pub(in crate::runloop) tier: &'static str,
    pub(in crate::runloop) billing: Billing,
    pub(in crate::runloop) created_at: String,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Billing {
    pub(in crate::runloop) account_billing_type: &'static str,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct CreateKey {
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) expires_at_ms: Option<i64>,
    /// Of restricted keys.
    pub(in crate::runloop) scopes: Option<Vec<Scope>>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(in crate::runloop) struct Scope {
    pub(in crate::runloop) resource_type: Option<String>,
    pub(in crate::runloop) access_level: Option<String>,
}

/// Holds a secret, so nothing prints it.
#[derive(Serialize)]
pub(in crate::runloop) struct CreatedKey {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) key_secret: String,
    pub(in crate::runloop) expires_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) scopes: Option<Vec<Scope>>,
}
