//! Usage and audit.

use pinfold_wire::{
    AuditEvent, ListAudit, ListSandboxUsage, Page, SandboxUsage, Usage, UsageQuery,
};

use crate::client::Client;
use crate::error::Result;

#[derive(Debug, Clone)]
pub struct UsageReports {
    client: Client,
}

impl UsageReports {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The project's usage over a period.
    pub async fn project(&self, query: &UsageQuery) -> Result<Usage> {
        let call = self.client.get(&["usage"]).query(query)?;
        self.client.fetch(call).await
    }

    /// The same for each sandbox.
    pub async fn sandboxes(&self, query: &ListSandboxUsage) -> Result<Page<SandboxUsage>> {
        let call = self.client.get(&["usage", "sandboxes"]).query(query)?;
        self.client.fetch(call).await
    }
}

#[derive(Debug, Clone)]
pub struct Audit {
    client: Client,
}

impl Audit {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// One page of the audit trail, newest first; needs an admin key.
    pub async fn list(&self, query: &ListAudit) -> Result<Page<AuditEvent>> {
        let call = self.client.get(&["audit"]).query(query)?;
        self.client.fetch(call).await
    }
}
