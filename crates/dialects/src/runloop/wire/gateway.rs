//! Gateway and MCP configurations, and tokens for what they lead to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is given of a new configuration of either kind, and of a change: what is not given stays.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::runloop) struct PutConfig {
    pub(in crate::runloop) name: Option<String>,
    pub(in crate::runloop) description: Option<String>,
    pub(in crate::runloop) endpoint: Option<String>,
    pub(in crate::runloop) auth_mechanism: Option<AuthMechanism>,
    pub(in crate::runloop) custom_headers: Option<Vec<CustomHeader>>,
    /// Of MCP alone.
    pub(in crate::runloop) allowed_tools: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runloop) struct AuthMechanism {
    #[serde(rename = "type")]
    pub(in crate::runloop) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runloop) struct CustomHeader {
    pub(in crate::runloop) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) value: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct ListConfigs {
    pub(in crate::runloop) limit: Option<i64>,
    pub(in crate::runloop) starting_after: Option<String>,
    pub(in crate::runloop) id: Option<String>,
    /// A part of the name.
    pub(in crate::runloop) name: Option<String>,
    /// An id, or a part of the name.
    pub(in crate::runloop) search: Option<String>,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Config {
    pub(in crate::runloop) id: String,
    pub(in crate::runloop) account_id: String,
    pub(in crate::runloop) name: String,
    pub(in crate::runloop) description: Option<String>,
    pub(in crate::runloop) endpoint: String,
    pub(in crate::runloop) auth_mechanism: AuthMechanism,
    pub(in crate::runloop) custom_headers: Vec<CustomHeader>,
    pub(in crate::runloop) create_time_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) allowed_tools: Option<Vec<String>>,
}

/// One page of either kind; the list that it is not of is left out.
#[derive(Debug, Serialize)]
pub(in crate::runloop) struct Configs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) gateway_configs: Option<Vec<Config>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::runloop) mcp_configs: Option<Vec<Config>>,
    pub(in crate::runloop) has_more: bool,
}

/// What a new devbox is to have, and what a token is asked for.
#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct WantedGateway {
    pub(in crate::runloop) gateway: String,
    pub(in crate::runloop) secret: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::runloop) struct WantedMcp {
    pub(in crate::runloop) mcp_config: String,
    pub(in crate::runloop) secret: String,
}

pub(in crate::runloop) type CreateMcpToken = WantedMcp;

/// By the variables of their tokens, or as older SDKs say it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::runloop) enum WantedMcps {
    ByVariable(BTreeMap<String, WantedMcp>),
    List(Vec<WantedMcp>),
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct BoundGateway {
    pub(in crate::runloop) gateway_config_id: String,
    pub(in crate::runloop) secret_id: String,
}

#[derive(Debug, Serialize)]
pub(in crate::runloop) struct BoundMcp {
    pub(in crate::runloop) mcp_config_id: String,
    pub(in crate::runloop) secret_id: String,
}

/// Holds a token, so nothing prints it.
#[derive(Serialize)]
pub(in crate::runloop) struct GatewayToken {
    pub(in crate::runloop) token: String,
    pub(in crate::runloop) auth_mechanism: AuthMechanism,
    pub(in crate::runloop) devbox_id: String,
    pub(in crate::runloop) endpoint: String,
    pub(in crate::runloop) gateway_config_id: String,
    pub(in crate::runloop) url: &'static str,
}

/// Holds a token, so nothing prints it.
#[derive(Serialize)]
pub(in crate::runloop) struct McpToken {
    pub(in crate::runloop) token: String,
    pub(in crate::runloop) allowed_tools: Vec<String>,
    pub(in crate::runloop) devbox_id: String,
    pub(in crate::runloop) endpoint: String,
    pub(in crate::runloop) mcp_config_id: String,
    pub(in crate::runloop) url: &'static str,
}
