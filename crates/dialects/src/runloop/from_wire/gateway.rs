//! Configurations of gateways and of MCP servers, and the devboxes that get some. Pure.

use pinfold_engine::{PutGateway, PutHeader, PutValue, WantedGateway};
use pinfold_model::gateway::{Auth, ToolPattern};
use pinfold_model::{Error, GatewayKind};

use crate::runloop::errors::Refused;
use crate::runloop::{ids, wire};

/// Where SDKs find the MCP hub, and the token of those that name no variable for it.
const MCP_URL: &str = "RL_MCP_URL";
const MCP_TOKEN: &str = "RL_MCP_TOKEN";

pub(in crate::runloop) fn create(
    kind: GatewayKind,
    request: wire::PutConfig,
) -> Result<PutGateway, Error> {
    let missing = |field: &str| Error::invalid(field, format!("{field} is missing"));
    let auth = match (&request.auth_mechanism, kind) {
        (Some(mechanism), _) => auth(mechanism)?,
        (None, GatewayKind::Mcp) => Auth::Bearer,
        (None, GatewayKind::Http) => return Err(missing("auth_mechanism")),
    };
    let tools = match (kind, request.allowed_tools) {
        (GatewayKind::Http, _) => None,
        (GatewayKind::Mcp, Some(tools)) => Some(patterns(tools)?),
        (GatewayKind::Mcp, None) => return Err(missing("allowed_tools")),
    };
    let endpoint = request.endpoint.ok_or_else(|| missing("endpoint"))?;
    Ok(PutGateway {
        name: request.name.ok_or_else(|| missing("name"))?,
        description: request.description.filter(|text| !text.is_empty()),
        endpoint: endpoint.parse()?,
        auth,
        headers: headers(request.custom_headers.unwrap_or_default())?,
        tools,
    })
}

/// Puts what is given into a configuration.
pub(in crate::runloop) fn put(
    request: wire::PutConfig,
    mut before: PutGateway,
) -> Result<PutGateway, Error> {
    if let Some(name) = request.name {
        before.name = name;
    }
    if let Some(text) = request.description {
        before.description = Some(text).filter(|text| !text.is_empty());
    }
    if let Some(endpoint) = request.endpoint {
        before.endpoint = endpoint.parse()?;
    }
    if let Some(mechanism) = request.auth_mechanism {
        before.auth = auth(&mechanism)?;
    }
    if let Some(given) = request.custom_headers {
        before.headers = headers(given)?;
    }
    if let (Some(tools), Some(before)) = (request.allowed_tools, &mut before.tools) {
        *before = patterns(tools)?;
    }
    Ok(before)
}

fn auth(mechanism: &wire::AuthMechanism) -> Result<Auth, Error> {
    let key = mechanism.key.as_deref().filter(|key| !key.is_empty());
    let wrong = |why: String| Err(Error::invalid("auth_mechanism", why));
    match (mechanism.kind.as_str(), key) {
        ("bearer", None) => Ok(Auth::Bearer),
        ("basic", None) => Ok(Auth::Basic),
        ("header", Some(key)) => Ok(Auth::Header(key.to_owned())),
        ("header", None) => {
            wrong("the type \"header\" needs the name of the header as key".to_owned())
        }
        ("bearer" | "basic", Some(_)) => wrong("only the type \"header\" has a key".to_owned()),
        (other, _) => wrong(format!(
            "the type is \"header\", \"bearer\" or \"basic\", not {other:?}"
        )),
    }
}

fn headers(given: Vec<wire::CustomHeader>) -> Result<Vec<PutHeader>, Error> {
    let one = |header: wire::CustomHeader| {
        let value = match (header.secret, header.value) {
            (Some(secret), None) => PutValue::Secret(secret),
            (None, Some(text)) => PutValue::Text(text),
            _ => {
                return Err(Error::invalid(
                    "custom_headers",
                    format!("{:?} has either a secret or a value", header.name),
                ));
            }
        };
        Ok(PutHeader {
            name: header.name,
            value,
        })
    };
    given.into_iter().map(one).collect()
}

fn patterns(tools: Vec<String>) -> Result<Vec<ToolPattern>, Error> {
    tools.into_iter().map(ToolPattern::try_from).collect()
}

/// Those that a new devbox is to have.
pub(in crate::runloop) fn wanted(
    request: &wire::CreateDevbox,
) -> Result<Vec<WantedGateway>, Refused> {
    let gateways = request.gateways.iter().flatten();
    let gateways = gateways.map(|(prefix, wanted)| WantedGateway {
        kind: GatewayKind::Http,
        gateway: named(GatewayKind::Http, &wanted.gateway),
        secret: wanted.secret.clone(),
        token_variable: prefix.clone(),
        url_variable: format!("{prefix}_URL"),
    });
    let mcp = |variable: &str, wanted: &wire::WantedMcp| WantedGateway {
        kind: GatewayKind::Mcp,
        gateway: named(GatewayKind::Mcp, &wanted.mcp_config),
        secret: wanted.secret.clone(),
        token_variable: variable.to_owned(),
        url_variable: MCP_URL.to_owned(),
    };
    let mcps: Vec<_> = match &request.mcp {
        None => Vec::new(),
        Some(wire::WantedMcps::ByVariable(map)) => {
            map.iter().map(|(name, wanted)| mcp(name, wanted)).collect()
        }
        // One token opens one server here.
        Some(wire::WantedMcps::List(list)) if list.len() > 1 => {
            return Err(Refused::absent_but(
                "a list of more than one mcp",
                "a token opens one server, and SDKs with a map of them name a variable for each token",
            ));
        }
        Some(wire::WantedMcps::List(list)) => {
            list.iter().map(|wanted| mcp(MCP_TOKEN, wanted)).collect()
        }
    };
    Ok(gateways.chain(mcps).collect())
}

/// An id of the vendor's becomes ours; anything else is a name.
pub(in crate::runloop) fn named(kind: GatewayKind, text: &str) -> String {
    ids::gateway(kind, text).map_or_else(|_| text.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config(fields: Value) -> wire::PutConfig {
        serde_json::from_value(fields).expect("a request")
    }

    fn http(fields: Value) -> Result<PutGateway, Error> {
        create(GatewayKind::Http, config(fields))
    }

    #[test]
    fn what_a_configuration_needs_and_may_not_have() {
        let with = |mechanism: Value| {
            http(json!({ "name": "n", "endpoint": "https://a.b", "auth_mechanism": mechanism }))
        };
        let header = with(json!({ "type": "header", "key": "X-Api-Key" })).expect("legal");
        assert_eq!(header.auth, Auth::Header("X-Api-Key".into()));
        assert_eq!(header.tools, None);
        for bad in [
            json!({ "type": "header" }),
            json!({ "type": "bearer", "key": "x" }),
            json!({ "type": "digest" }),
        ] {
            assert!(with(bad).is_err());
        }
        assert!(http(json!({ "name": "n", "endpoint": "https://a.b" })).is_err());
        let mcp = |fields: Value| create(GatewayKind::Mcp, config(fields));
        let open = mcp(json!({ "name": "n", "endpoint": "https://a.b", "allowed_tools": ["*"] }));
        assert_eq!(open.expect("legal").auth, Auth::Bearer);
        assert!(mcp(json!({ "name": "n", "endpoint": "https://a.b" })).is_err());
    }

    #[test]
    fn what_is_not_given_stays_and_lists_are_replaced() {
        let before = create(
            GatewayKind::Mcp,
            config(json!({
                "name": "n", "endpoint": "https://a.b", "allowed_tools": ["a"], "description": "d",
                "custom_headers": [{ "name": "x-a", "value": "1" }, { "name": "x-b", "secret": "s" }],
            })),
        );
        let before = before.expect("legal");
        let same = put(config(json!({})), before.clone()).expect("legal");
        assert_eq!(
            (same.headers, same.tools),
            (before.headers.clone(), before.tools.clone())
        );
        let cleared = json!({ "custom_headers": [], "allowed_tools": [], "description": "" });
        let cleared = put(config(cleared), before.clone()).expect("legal");
        assert_eq!((cleared.headers, cleared.tools), (vec![], Some(vec![])));
        assert_eq!((cleared.description, cleared.name.as_str()), (None, "n"));
        for header in [
            json!({ "name": "x" }),
            json!({ "name": "x", "value": "1", "secret": "s" }),
        ] {
            let both = json!({ "custom_headers": [header] });
            assert!(put(config(both), before.clone()).is_err());
        }
    }
}
