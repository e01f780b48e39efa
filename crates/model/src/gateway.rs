//! Gateways: places outside that sandboxes call with a token of their own, and that see the project's
//! secret instead.
//!
//! A gateway is a configuration: where calls go and how the secret is put into them. Which secret goes
//! with it is said where a sandbox gets it. Inside a sandbox all gateways of a kind are behind one name,
//! which is a name of the sandbox's own network: a network policy allows it like any other.

mod endpoint;
mod tools;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::credential::check_header;
use crate::error::{Error, Result};
use crate::id::{GatewayId, KeyId, ProjectId, SecretId};
use crate::limits;
use crate::sandbox::validate_name;

pub use endpoint::{Endpoint, NoPath};
pub use tools::{ToolPattern, Tools};

/// What is behind a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayKind {
    /// Any API over HTTP.
    Http,
    /// A server of the Model Context Protocol, of which some tools may be used.
    Mcp,
}

impl GatewayKind {
    pub const ALL: [Self; 2] = [Self::Http, Self::Mcp];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mcp => "mcp",
        }
    }

    /// The name of all gateways of this kind inside sandboxes. Names below `internal` are nobody's
    /// outside.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Http => "gateway.pinfold.internal",
            Self::Mcp => "mcp.pinfold.internal",
        }
    }

    /// Where calls are sent to inside; the token says to which gateway.
    #[must_use]
    pub const fn url(self) -> &'static str {
        match self {
            Self::Http => "http://gateway.pinfold.internal",
            Self::Mcp => "http://mcp.pinfold.internal/mcp",
        }
    }
}

impl std::str::FromStr for GatewayKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| Error::invalid("kind", format!("unknown kind of gateway {text:?}")))
    }
}

/// A gateway of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    pub id: GatewayId,
    pub project: ProjectId,
    /// A label: others may have the same.
    pub name: String,
    pub description: Option<String>,
    pub spec: GatewaySpec,
    /// Grows with each change.
    pub version: u32,
    pub created_at: Time,
    pub updated_at: Time,
    /// The key that made it; `None`: the process itself.
    pub created_by: Option<KeyId>,
}

/// Where calls go and what is put into them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaySpec {
    pub endpoint: Endpoint,
    pub auth: Auth,
    /// Added after the secret, in place of what a call has.
    #[serde(default)]
    pub headers: Vec<CustomHeader>,
    /// Those of an MCP server that may be used; `None`: it is no such server.
    #[serde(default)]
    pub tools: Option<Vec<ToolPattern>>,
}

/// How the secret is put into a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// `Authorization: Basic`, of a secret `user:password`.
    Basic,
    /// The secret alone in the header of this name.
    Header(String),
}

/// One more header of each call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomHeader {
    pub name: String,
    pub value: HeaderValueSource,
}

/// Where the value of a header comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValueSource {
    Text(String),
    Secret(SecretRef),
}

/// A secret of the project: found by its name, shown by the id that it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    pub id: SecretId,
    pub name: String,
}

/// A gateway that a sandbox was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayBinding {
    pub kind: GatewayKind,
    pub gateway: GatewayId,
    pub secret: SecretRef,
    /// Of each command's environment: has the token.
    pub token_variable: String,
    /// The same for the URL. Several of a kind may share one.
    pub url_variable: String,
}

impl Gateway {
    #[must_use]
    pub const fn kind(&self) -> GatewayKind {
        match self.spec.tools {
            Some(_) => GatewayKind::Mcp,
            None => GatewayKind::Http,
        }
    }

    /// Which tools may be used, of an MCP server.
    #[must_use]
    pub fn tools(&self) -> Option<Tools> {
        let patterns = self.spec.tools.clone()?;
        Some(Tools::new(&self.name, patterns))
    }

    /// Checks the parts that callers choose.
    pub fn validate(&self) -> Result<()> {
        validate_name("name", &self.name)?;
        if self.name.parse::<GatewayId>().is_ok() {
            // Gateways are found by id or name.
            return Err(Error::invalid(
                "name",
                "a gateway's name cannot look like an id",
            ));
        }
        let description = self.description.as_deref().unwrap_or_default();
        if description.chars().count() > limits::DESCRIPTION_MAX_CHARS {
            return Err(Error::invalid(
                "description",
                format!(
                    "description may have at most {} characters",
                    limits::DESCRIPTION_MAX_CHARS
                ),
            ));
        }
        self.spec.validate()
    }
}

impl GatewaySpec {
    fn validate(&self) -> Result<()> {
        if let Auth::Header(name) = &self.auth {
            check_header("auth_mechanism", &name.to_ascii_lowercase())?;
        }
        if self.headers.len() > limits::GATEWAY_HEADERS_MAX {
            return Err(Error::invalid(
                "custom_headers",
                format!(
                    "a gateway adds at most {} headers",
                    limits::GATEWAY_HEADERS_MAX
                ),
            ));
        }
        for (index, header) in self.headers.iter().enumerate() {
            header.validate()?;
            let same = |other: &CustomHeader| other.name.eq_ignore_ascii_case(&header.name);
            if self.headers[..index].iter().any(same) {
                let text = format!("two headers are called {}", header.name);
                return Err(Error::invalid("custom_headers", text));
            }
        }
        let tools = self.tools.as_deref().unwrap_or_default();
        if tools.len() > limits::TOOL_PATTERNS_MAX {
            return Err(Error::invalid(
                "allowed_tools",
                format!("at most {} patterns", limits::TOOL_PATTERNS_MAX),
            ));
        }
        Ok(())
    }
}

impl CustomHeader {
    fn validate(&self) -> Result<()> {
        check_header("custom_headers", &self.name.to_ascii_lowercase())?;
        let HeaderValueSource::Text(text) = &self.value else {
            return Ok(());
        };
        // Nothing that could end the header and begin another one.
        let printable = |b: u8| (b' '..=b'~').contains(&b);
        let good = (1..=limits::GATEWAY_HEADER_MAX_BYTES).contains(&text.len())
            && text.bytes().all(printable)
            && text.trim().len() == text.len();
        if good {
            return Ok(());
        }
        Err(Error::invalid(
            "custom_headers",
            format!(
                "the value of {} must be 1 to {} printable characters, with no space at an end",
                self.name,
                limits::GATEWAY_HEADER_MAX_BYTES
            ),
        ))
    }
}

/// Checks what no binding shows alone.
pub(crate) fn validate_bindings(bindings: &[GatewayBinding]) -> Result<()> {
    const FIELD: &str = "gateways";
    if bindings.len() > limits::GATEWAYS_OF_SANDBOX_MAX {
        return Err(Error::invalid(
            FIELD,
            format!(
                "a sandbox may have at most {} gateways",
                limits::GATEWAYS_OF_SANDBOX_MAX
            ),
        ));
    }
    let word = |name: &str| {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        name.len() <= limits::NAME_MAX_CHARS
            && name.bytes().all(inside)
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
    };
    for (index, one) in bindings.iter().enumerate() {
        if !word(&one.token_variable) || !word(&one.url_variable) {
            return Err(Error::invalid(
                FIELD,
                format!(
                    "{:?} is no environment variable: letters, digits and '_'",
                    one.token_variable
                ),
            ));
        }
        let clashes = |other: &GatewayBinding| {
            other.token_variable == one.token_variable
                || other.token_variable == one.url_variable
                || other.url_variable == one.token_variable
                || (other.url_variable == one.url_variable && other.kind != one.kind)
        };
        if bindings[..index].iter().any(clashes) {
            let text = format!("two gateways want the variable {:?}", one.token_variable);
            return Err(Error::invalid(FIELD, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> Gateway {
        Gateway {
            id: GatewayId::generate(),
            project: ProjectId::generate(),
            name: "api".into(),
            description: None,
            spec: GatewaySpec {
                endpoint: "https://api.example.com".parse().expect("an endpoint"),
                auth: Auth::Bearer,
                headers: vec![],
                tools: None,
            },
            version: 1,
            created_at: Time::UNIX_EPOCH,
            updated_at: Time::UNIX_EPOCH,
            created_by: None,
        }
    }

    fn with_header(name: &str, value: &str) -> Gateway {
        let mut gateway = gateway();
        gateway.spec.headers.push(CustomHeader {
            name: name.into(),
            value: HeaderValueSource::Text(value.into()),
        });
        gateway
    }

    #[test]
    fn headers_that_would_be_more_than_one_or_reroute_a_call_are_refused() {
        assert!(with_header("DD-APPLICATION-KEY", "v 1").validate().is_ok());
        for (name, value) in [
            ("x-a", "v\r\nhost: other"),
            ("x-a", "v\n"),
            ("x-a", "\u{85}"),
            ("x-a", ""),
            ("x-a\r\nx-b", "v"),
            ("x a", "v"),
            ("Host", "other.example.com"),
            ("Content-Length", "0"),
            ("transfer-encoding", "chunked"),
            ("X-Forwarded-For", "1"),
        ] {
            assert!(
                with_header(name, value).validate().is_err(),
                "{name:?} {value:?}"
            );
        }
        let mut twice = with_header("x-a", "1");
        twice
            .spec
            .headers
            .extend(with_header("X-A", "2").spec.headers);
        assert!(twice.validate().is_err());
        let mut header = gateway();
        header.spec.auth = Auth::Header("Host".into());
        assert!(header.validate().is_err());
    }

    #[test]
    fn bindings_share_no_variables_but_the_url_of_one_kind() {
        let binding = |kind, token: &str, url: &str| GatewayBinding {
            kind,
            gateway: GatewayId::generate(),
            secret: SecretRef {
                id: SecretId::generate(),
                name: "s".into(),
            },
            token_variable: token.into(),
            url_variable: url.into(),
        };
        let (http, mcp) = (GatewayKind::Http, GatewayKind::Mcp);
        let good = [
            binding(http, "A", "A_URL"),
            binding(mcp, "B", "U"),
            binding(mcp, "C", "U"),
        ];
        assert!(validate_bindings(&good).is_ok());
        for bad in [
            [binding(http, "A", "A_URL"), binding(mcp, "A", "U")],
            [binding(http, "A", "A_URL"), binding(mcp, "A_URL", "U")],
            [binding(http, "U", "U_URL"), binding(mcp, "B", "U")],
            [binding(http, "A", "A_URL"), binding(mcp, "B", "A_URL")],
            [binding(http, "A=B", "A_URL"), binding(mcp, "B", "U")],
            [binding(http, "", "_URL"), binding(mcp, "B", "U")],
        ] {
            assert!(validate_bindings(&bad).is_err(), "{bad:?}");
        }
    }
}
