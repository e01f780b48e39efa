//! Network policies.

use serde::{Deserialize, Serialize};

/// What is given of a new policy, and of a change: what is not given stays.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::runloop) struct PutNetworkPolicy {
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) description: Option<String>,
    pub(in crate::runloop) allow_all: Option<bool>,
    pub(in crate::runloop) allow_devbox_to_devbox: Option<bool>,
    pub(in crate::runloop) allow_agent_gateway: Option<bool>,
    pub(in crate::runloop) allow_mcp_gateway: Option<bool>,
    pub(in crate::runloop) allow_runloop_mirrors: Option<bool>,
    pub(in crate::runloop) allowed_hostnames: Option<Vec<String>>,
    pub(in crate::runloop) allowed_cidrs: Option<Vec<AllowedCidr>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::runloop) struct Egress {
    pub(in crate::runloop) allow_all: bool,
    pub(in crate::runloop) allow_devbox_to_devbox: bool,
    pub(in crate::runloop) allow_agent_gateway: bool,
    pub(in crate::runloop) allow_mcp_gateway: bool,
    pub(in crate::runloop) allow_runloop_mirrors: bool,
    pub(in crate::runloop) allowed_hostnames: Vec<String>,
    pub(in crate::runloop) allowed_cidrs: Vec<AllowedCidr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runloop) struct AllowedCidr {
    pub(in crate::runloop) cidr: String,
    /// None, or an empty list: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) ports: Option<Vec<PortRule>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runloop) struct PortRule {
    pub(in crate::runloop) port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) end_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) protocol: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListNetworkPolicies {
    pub(in crate::runloop) limit: Option<i64>,
    pub(in crate::runloop) starting_after: Option<String>,
    pub(in crate::runloop) id: Option<String>,
    /// A part of the name.
    pub(in crate::runloop) name: Option<String>,
    /// An id, or a part of the name.
    pub(in crate::runloop) search: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct NetworkPolicy {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) description: Option<String>,
    pub(in crate::runloop) create_time_ms: i64,
    pub(in crate::runloop) update_time_ms: i64,
    pub(in crate::runloop) egress: Egress,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct NetworkPolicies {
    pub(in crate::runloop) network_policies: Vec<NetworkPolicy>,
    pub(in crate::runloop) has_more: bool,
}
