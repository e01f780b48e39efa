//! Tunnels: one address outside for each port of a sandbox, and the names of their hosts.
//!
//! ```text
//! PORT-KEY.tunnel.ANYTHING        a port of the sandbox behind the tunnel of that key
//! 13-pty-KEY.tunnel.ANYTHING      terminals of the sandbox that a token names together with the key
//! ```

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::id::{PreviewId, ProjectId, SandboxId};
use crate::preview::PreviewAccess;

/// The label of a host behind that of a port and a key.
pub const TUNNEL_LABEL: &str = "tunnel";
/// In the place of a port: where terminals are, by agreement with the clients that have them.
pub const TERMINALS_PORT: u16 = 13;

/// Random letters of a key, 5 bits each: in a tunnel that is open the key is all that protects it.
const KEY_LETTERS: usize = 26;
const TERMINALS_PREFIX: &str = "pty-";
/// Lower case only: host names do not keep their case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What names a tunnel in its hosts, and cannot be guessed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TunnelKey(String);

/// What names the terminals of a sandbox in their host. It opens nothing: the token that was made
/// with it does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TerminalsKey(String);

/// The text is no key or no host of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a tunnel's key, or PORT-KEY with a port from 1 to 65535")]
pub struct InvalidTunnel;

impl TunnelKey {
    /// From random bytes, which the caller brings: this crate has no source of its own.
    #[must_use]
    pub fn from_random(bytes: [u8; KEY_LETTERS]) -> Self {
        Self(letters(bytes))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TunnelKey {
    type Err = InvalidTunnel;
    fn from_str(text: &str) -> Result<Self, InvalidTunnel> {
        are_letters(text)
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidTunnel)
    }
}

impl TerminalsKey {
    /// From random bytes, as [`TunnelKey::from_random`].
    #[must_use]
    pub fn from_random(bytes: [u8; KEY_LETTERS]) -> Self {
        Self(format!("{TERMINALS_PREFIX}{}", letters(bytes)))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TerminalsKey {
    type Err = InvalidTunnel;
    fn from_str(text: &str) -> Result<Self, InvalidTunnel> {
        text.strip_prefix(TERMINALS_PREFIX)
            .filter(|letters| are_letters(letters))
            .map(|_| Self(text.to_owned()))
            .ok_or(InvalidTunnel)
    }
}

fn letters(bytes: [u8; KEY_LETTERS]) -> String {
    let letter = |byte: u8| char::from(ALPHABET[usize::from(byte % 32)]);
    bytes.into_iter().map(letter).collect()
}

fn are_letters(text: &str) -> bool {
    text.len() == KEY_LETTERS && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// Whose host a label names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelHost {
    Port { port: u16, key: TunnelKey },
    Terminals(TerminalsKey),
}

impl TunnelHost {
    /// The label of a host, in lower case and without a dot at its end, that belongs to tunnels: then
    /// it is some tunnel's or nobody's, and never anything else's.
    #[must_use]
    pub fn label(host: &str) -> Option<&str> {
        let (label, behind) = host.split_once('.')?;
        let next = behind.split_once('.').map_or(behind, |(next, _)| next);
        let (port, _) = label.split_once('-')?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        (digits && next == TUNNEL_LABEL).then_some(label)
    }
}

impl FromStr for TunnelHost {
    type Err = InvalidTunnel;
    fn from_str(label: &str) -> Result<Self, InvalidTunnel> {
        let (digits, key) = label.split_once('-').ok_or(InvalidTunnel)?;
        let port: u16 = digits.parse().map_err(|_| InvalidTunnel)?;
        // One spelling for each port: no zeros or signs before it.
        if port == 0 || port.to_string() != digits {
            return Err(InvalidTunnel);
        }
        match key.parse::<TerminalsKey>() {
            Ok(key) if port == TERMINALS_PORT => Ok(Self::Terminals(key)),
            Ok(_) => Err(InvalidTunnel),
            Err(InvalidTunnel) => Ok(Self::Port {
                port,
                key: key.parse()?,
            }),
        }
    }
}

/// Whether requests through a tunnel keep its sandbox from being idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    #[default]
    KeepsInUse,
    /// The sandbox may be ended for idleness amid a request.
    Ignored,
}

/// What a request does to a sandbox that was suspended or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wake {
    #[default]
    Never,
    OnRequest,
}

/// What a tunnel is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TunnelSpec {
    pub access: TunnelAccess,
    pub traffic: Traffic,
    pub wake: Wake,
}

/// What opens a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunnelAccess {
    /// Its host, which cannot be guessed.
    #[default]
    Open,
    /// Its token, or a key that may use the sandbox.
    Token,
}

impl TunnelAccess {
    /// The same among previews.
    #[must_use]
    pub const fn of_previews(self) -> PreviewAccess {
        match self {
            Self::Open => PreviewAccess::Public,
            Self::Token => PreviewAccess::Token,
        }
    }
}

/// Addresses outside that reach every port of a sandbox, which has one such tunnel at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Sessions and tokens belong to it as to a preview.
    pub id: PreviewId,
    pub key: TunnelKey,
    pub sandbox: SandboxId,
    pub project: ProjectId,
    pub spec: TunnelSpec,
    pub created_at: Time,
    /// When its sandbox ended, which ended the tunnel.
    pub sandbox_ended_at: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "abcdefghijklmnopqrstuvwxyz";

    fn host(label: &str) -> Option<TunnelHost> {
        label.parse().ok()
    }

    #[test]
    fn keys_fit_a_label_together_with_a_port() {
        let key = TunnelKey::from_random(std::array::from_fn(|n| (n as u8).wrapping_mul(11)));
        assert_eq!(key.as_str().parse(), Ok(key.clone()));
        let terminals = TerminalsKey::from_random([0; KEY_LETTERS]);
        assert_eq!(terminals.as_str().parse(), Ok(terminals.clone()));
        assert!(format!("65535-{}", terminals.as_str()).len() <= 63);
        assert!(terminals.as_str().parse::<TunnelKey>().is_err());
        assert!(key.as_str().parse::<TerminalsKey>().is_err());
    }

    #[test]
    fn hosts_name_a_port_and_a_key_in_one_spelling() {
        let key: TunnelKey = KEY.parse().expect("a key");
        for port in [1, 13, 8080, 65535] {
            let key = key.clone();
            let found = host(&format!("{port}-{KEY}"));
            assert_eq!(found, Some(TunnelHost::Port { port, key }));
        }
        for port in ["0", "65536", "080", "+80", "-80", "", "8080.", "1e3", "٣"] {
            assert_eq!(host(&format!("{port}-{KEY}")), None, "{port:?}");
        }
        for key in [
            "",
            "a",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "abcdefghijklmnopqrstuvwxy1",
        ] {
            assert_eq!(host(&format!("80-{key}")), None, "{key:?}");
        }
        assert_eq!(host(&format!("80-{KEY}a")), None);
    }

    #[test]
    fn terminals_have_one_port_and_their_own_keys() {
        let key: TerminalsKey = format!("pty-{KEY}").parse().expect("a key");
        assert_eq!(
            host(&format!("13-pty-{KEY}")),
            Some(TunnelHost::Terminals(key))
        );
        for label in [format!("14-pty-{KEY}"), format!("013-pty-{KEY}")] {
            assert_eq!(host(&label), None, "{label}");
        }
    }

    #[test]
    fn every_host_that_looks_like_a_tunnels_is_one() {
        for name in ["80-x.tunnel.d.org", "80-x.tunnel", "0-.tunnel.127.0.0.1"] {
            assert!(TunnelHost::label(name).is_some(), "{name}");
        }
        for name in [
            "80-x.d.org",
            "x-80.tunnel.d.org",
            "80.tunnel.d.org",
            "-80-x.tunnel.d.org",
            "80-x.80-y.tunnel.d.org",
            "80-x.tunnels.d.org",
            "tunnel.d.org",
            "80-x",
            "[::1]",
        ] {
            assert_eq!(TunnelHost::label(name), None, "{name}");
        }
    }
}
