//! Configurations of gateways and of MCP servers, and tokens.

use std::collections::BTreeMap;

use pinfold_engine::GatewayToken;
use pinfold_model::gateway::{Auth, GatewayBinding, HeaderValueSource, ToolPattern};
use pinfold_model::{Gateway, GatewayKind};

use super::time;
use crate::runloop::{ids, wire};

pub(in crate::runloop) fn config(gateway: Gateway) -> wire::Config {
    let kind = gateway.kind();
    let headers = gateway.spec.headers.into_iter().map(|header| {
        let (secret, value) = match header.value {
            HeaderValueSource::Secret(secret) => (Some(secret.id.into()), None),
            HeaderValueSource::Text(text) => (None, Some(text)),
        };
        wire::CustomHeader {
            name: header.name,
            secret,
            value,
        }
    });
    wire::Config {
        id: ids::of_gateway(kind, &gateway.id),
        account_id: gateway.project.into(),
        name: gateway.name,
        description: gateway.description,
        endpoint: gateway.spec.endpoint.to_string(),
        auth_mechanism: auth(&gateway.spec.auth),
        custom_headers: headers.collect(),
        create_time_ms: time(gateway.created_at),
        allowed_tools: gateway.spec.tools.as_deref().map(tools),
    }
}

fn auth(auth: &Auth) -> wire::AuthMechanism {
    let (kind, key) = match auth {
        Auth::Bearer => ("bearer", None),
        Auth::Basic => ("basic", None),
        Auth::Header(name) => ("header", Some(name.clone())),
    };
    wire::AuthMechanism {
        kind: kind.to_owned(),
        key,
    }
}

fn tools(tools: &[ToolPattern]) -> Vec<String> {
    tools.iter().map(|tool| tool.as_str().to_owned()).collect()
}

/// By the variables of their tokens.
pub(in crate::runloop) fn gateway_specs(
    bindings: &[GatewayBinding],
) -> BTreeMap<String, wire::BoundGateway> {
    let of_kind = bindings.iter().filter(|one| one.kind == GatewayKind::Http);
    let specs = of_kind.map(|one| {
        let bound = wire::BoundGateway {
            gateway_config_id: ids::of_gateway(one.kind, &one.gateway),
            secret_id: one.secret.id.to_string(),
        };
        (one.token_variable.clone(), bound)
    });
    specs.collect()
}

pub(in crate::runloop) fn mcp_specs(
    bindings: &[GatewayBinding],
) -> BTreeMap<String, wire::BoundMcp> {
    let of_kind = bindings.iter().filter(|one| one.kind == GatewayKind::Mcp);
    let specs = of_kind.map(|one| {
        let bound = wire::BoundMcp {
            mcp_config_id: ids::of_gateway(one.kind, &one.gateway),
            secret_id: one.secret.id.to_string(),
        };
        (one.token_variable.clone(), bound)
    });
    specs.collect()
}

pub(in crate::runloop) fn gateway_token(made: GatewayToken) -> wire::GatewayToken {
    let (kind, spec) = (made.gateway.kind(), &made.gateway.spec);
    wire::GatewayToken {
        token: made.token,
        auth_mechanism: auth(&spec.auth),
        devbox_id: ids::of_devbox(&made.sandbox),
        endpoint: spec.endpoint.to_string(),
        gateway_config_id: ids::of_gateway(kind, &made.gateway.id),
        url: kind.url(),
    }
}

pub(in crate::runloop) fn mcp_token(made: GatewayToken) -> wire::McpToken {
    let (kind, spec) = (made.gateway.kind(), &made.gateway.spec);
    wire::McpToken {
        token: made.token,
        allowed_tools: tools(spec.tools.as_deref().unwrap_or_default()),
        devbox_id: ids::of_devbox(&made.sandbox),
        endpoint: spec.endpoint.to_string(),
        mcp_config_id: ids::of_gateway(kind, &made.gateway.id),
        url: kind.url(),
    }
}
