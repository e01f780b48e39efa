//! Credentials: which secret goes with requests to which destination, and in which header.
//!
//! A sandbox has the names alone. The egress proxy adds the value on the way out, so nothing inside can
//! read it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::limits;
use crate::resources::NetworkMode;
use crate::secret::{SecretValue, validate_secret_name};

/// Where a sandbox with credentials has the certificates of whom to trust: its image's, and that of the
/// egress, which speaks to it for the hosts that get one.
pub const CERTIFICATES: &str = "/etc/pinfold/certificates.pem";
/// What programs read to find such a file.
pub const CERTIFICATES_IN_ENV: [&str; 9] = [
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

const FIELD: &str = "credentials";
/// RFC 1035: of a whole name, and of one label.
const NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;
const HEADER_MAX_BYTES: usize = 64;
const FORMAT_MAX_BYTES: usize = 256;
/// Where the secret's value goes in a format.
const PLACE: &str = "{}";
/// Of HTTPS, where a destination names none.
const PORT_DEFAULT: u16 = 443;

/// Headers that say how a message is cut, where it goes or what it is: RFC 9110 (7.6.1 lists those that
/// are a connection's own), RFC 7230 and RFC 7239. Adding one would change the request, not vouch for it.
const HEADERS_REFUSED: [&str; 20] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-http-method-override",
];
const HEADER_PREFIXES_REFUSED: [&str; 4] = ["proxy-", "sec-", "x-forwarded-", "x-pinfold-"];

/// Hosts, and one port of them, that may get a secret: `api.example.com`, `*.example.com` (every name
/// below it, not itself), either with `:port`. Without a port it is 443.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination {
    /// In lower case, without `*.`.
    name: String,
    reach: Reach,
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reach {
    This,
    Below,
}

impl Destination {
    /// Whether a request to that host and port may get the secret. `host` is a name without a port, in
    /// any case, and may end with the dot of a full name.
    #[must_use]
    pub fn includes(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        if port != self.port() {
            return false;
        }
        match self.reach {
            Reach::This => host.eq_ignore_ascii_case(&self.name),
            Reach::Below => {
                let cut = host.len().checked_sub(self.name.len());
                let parts = cut.and_then(|cut| host.split_at_checked(cut));
                parts.is_some_and(|(below, name)| {
                    name.eq_ignore_ascii_case(&self.name) && below.len() > 1 && below.ends_with('.')
                })
            }
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(PORT_DEFAULT)
    }

    /// The name, or the one that all of them end with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.reach == Reach::Below
    }

    /// Grows the fewer hosts it includes.
    fn exactness(&self) -> (bool, usize) {
        (self.reach == Reach::This, self.name.len())
    }
}

impl FromStr for Destination {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (text, None),
        };
        let (name, reach) = match host.strip_prefix("*.") {
            Some(name) => (name, Reach::Below),
            None => (host, Reach::This),
        };
        check_name(name)?;
        if reach == Reach::Below && !name.contains('.') {
            return Err(Error::invalid(
                FIELD,
                "a wildcard needs two labels behind it, such as *.example.com: anybody may own a name \
                 below a top-level one",
            ));
        }
        Ok(Self {
            name: name.to_ascii_lowercase(),
            reach,
            port,
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reach == Reach::Below {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

/// Digits alone: `parse` would take a sign as well.
fn parse_port(text: &str) -> Result<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse::<u16>().ok().filter(|&port| port > 0 && digits);
    port.ok_or_else(|| Error::invalid(FIELD, "a credential's port must be from 1 to 65535"))
}

/// A name of DNS that no resolver takes for an address: those end with a label of digits, or of `0x`
/// and digits.
fn check_name(name: &str) -> Result<()> {
    let label = |label: &str| {
        (1..=LABEL_MAX_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let address = last.starts_with(|c: char| c.is_ascii_digit());
    if name.len() <= NAME_MAX_BYTES && name.split('.').all(label) && !address {
        return Ok(());
    }
    Err(Error::invalid(
        FIELD,
        "a credential's host is a DNS name such as api.example.com, or *.example.com for every name \
         below it, with or without :PORT; no address, and other scripts in their xn-- form",
    ))
}

/// A secret bound to a destination. Every one there is has passed its checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Credential {
    secret: String,
    host: Destination,
    header: String,
    format: String,
}

#[derive(Deserialize)]
struct Unchecked {
    secret: String,
    host: String,
    header: Option<String>,
    format: Option<String>,
}

impl TryFrom<Unchecked> for Credential {
    type Error = Error;
    fn try_from(unchecked: Unchecked) -> Result<Self> {
        let Unchecked {
            secret,
            host,
            header,
            format,
        } = unchecked;
        Self::new(secret, &host, header.as_deref(), format)
    }
}

impl Credential {
    pub const HEADER_DEFAULT: &'static str = "authorization";
    pub const FORMAT_DEFAULT: &'static str = "Bearer {}";

    /// The secret of that name for that destination, in `header` (`authorization`) and in `format`
    /// (`Bearer {}`), where `{}` stands for the value.
    pub fn new(
        secret: impl Into<String>,
        host: &str,
        header: Option<&str>,
        format: Option<String>,
    ) -> Result<Self> {
        let secret = secret.into();
        validate_secret_name(&secret)?;
        let header = header.unwrap_or(Self::HEADER_DEFAULT).to_ascii_lowercase();
        check_header(FIELD, &header)?;
        let format = format.unwrap_or_else(|| Self::FORMAT_DEFAULT.to_owned());
        check_format(&format)?;
        Ok(Self {
            secret,
            host: host.parse()?,
            header,
            format,
        })
    }

    /// The name of the secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    #[must_use]
    pub const fn host(&self) -> &Destination {
        &self.host
    }

    /// In lower case.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// What the header says: bytes that a header of HTTP may hold, overwritten when they go.
    #[must_use]
    pub fn header_value(&self, value: &SecretValue) -> Zeroizing<String> {
        let (before, behind) = self
            .format
            .split_once(PLACE)
            .expect("checked when it was made");
        let value = value.expose();
        // With its whole size from the first on, so that growing leaves no copy behind.
        let size = before.len() + value.len() + behind.len();
        let mut text = Zeroizing::new(String::with_capacity(size));
        for part in [before, value, behind] {
            text.push_str(part);
        }
        text
    }
}

/// Which of a sandbox's credentials go with a request to that host and port: for each header the one
/// whose destination includes the fewest hosts.
#[must_use]
pub fn chosen<'a>(credentials: &'a [Credential], host: &str, port: u16) -> Vec<&'a Credential> {
    let mut chosen: Vec<&Credential> = Vec::new();
    for credential in credentials.iter().filter(|c| c.host.includes(host, port)) {
        match chosen.iter_mut().find(|c| c.header == credential.header) {
            Some(other) if other.host.exactness() < credential.host.exactness() => {
                *other = credential
            }
            Some(_) => {}
            None => chosen.push(credential),
        }
    }
    chosen
}

/// Checks what no credential shows alone.
pub(crate) fn validate(credentials: &[Credential], network: NetworkMode) -> Result<()> {
    if credentials.is_empty() {
        return Ok(());
    }
    if credentials.len() > limits::CREDENTIALS_MAX {
        return Err(Error::invalid(
            FIELD,
            format!(
                "a sandbox may have at most {} credentials",
                limits::CREDENTIALS_MAX
            ),
        ));
    }
    for (index, credential) in credentials.iter().enumerate() {
        let same = |other: &Credential| {
            let place = |c: &Credential| (c.host.name.clone(), c.host.reach, c.host.port());
            other.header == credential.header && place(other) == place(credential)
        };
        if credentials[..index].iter().any(same) {
            return Err(Error::invalid(
                FIELD,
                format!(
                    "two credentials give {} the header {}",
                    credential.host, credential.header
                ),
            ));
        }
    }
    check_network(network)
}

fn check_network(network: NetworkMode) -> Result<()> {
    match network {
        NetworkMode::Policy => Ok(()),
        NetworkMode::None | NetworkMode::Open => Err(Error::invalid(
            FIELD,
            "credentials are added by the egress proxy, which only the network mode policy has",
        )),
    }
}

/// A token of RFC 9110 (5.6.2), in lower case, that says nothing about how a request travels.
pub(crate) fn check_header(field: &'static str, header: &str) -> Result<()> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !(1..=HEADER_MAX_BYTES).contains(&header.len()) || !header.bytes().all(token) {
        return Err(Error::invalid(
            field,
            "a header here is the name of one, such as authorization or x-api-key",
        ));
    }
    let refused = HEADERS_REFUSED.contains(&header)
        || HEADER_PREFIXES_REFUSED
            .iter()
            .any(|prefix| header.starts_with(prefix));
    if refused {
        return Err(Error::invalid(
            field,
            format!("the header {header} says how a request travels; nothing can be put into it"),
        ));
    }
    Ok(())
}

fn check_format(format: &str) -> Result<()> {
    let printable = |b: u8| (b' '..=b'~').contains(&b);
    let good = format.len() <= FORMAT_MAX_BYTES
        && format.bytes().all(printable)
        && format.matches(PLACE).count() == 1
        && format.trim().len() == format.len();
    if good {
        return Ok(());
    }
    Err(Error::invalid(
        FIELD,
        "a credential's format is up to 256 printable characters with {} once, where the value goes, \
         and no space at an end",
    ))
}

#[cfg(test)]
mod tests;
