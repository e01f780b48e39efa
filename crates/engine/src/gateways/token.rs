//! Tokens of gateways: which gateway, with which secret, and the proof that it is for one sandbox.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use pinfold_model::{GatewayId, SandboxId};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What every token begins with; the egress finds it by that.
const PREFIX: &str = "gws_";
const VERSION: u8 = 1;
const TOKEN_MAX_BYTES: usize = 1024;
/// So that no other use of the secret could ever make a token.
const PURPOSE: &[u8] = b"pinfold gateway token\0";

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    #[serde(rename = "v")]
    version: u8,
    #[serde(rename = "g")]
    pub(crate) gateway: GatewayId,
    /// The name of the secret.
    #[serde(rename = "s")]
    pub(crate) secret: String,
}

impl Claims {
    pub(crate) fn new(gateway: GatewayId, secret: String) -> Self {
        Self {
            version: VERSION,
            gateway,
            secret,
        }
    }
}

/// Signs and proves.
pub(crate) struct TokenKey(Hmac<Sha256>);

impl TokenKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        let mut mac: Hmac<Sha256> =
            Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length");
        mac.update(PURPOSE);
        Self(mac)
    }

    /// The same claims always make the same token, so each life of a sandbox has those of the last.
    pub(crate) fn seal(&self, sandbox: &SandboxId, claims: &Claims) -> String {
        let json = serde_json::to_vec(claims).expect("claims have text keys and no failing parts");
        let proof = self.mac(sandbox, &json).finalize().into_bytes();
        format!(
            "{PREFIX}{}.{}",
            URL_SAFE_NO_PAD.encode(json),
            URL_SAFE_NO_PAD.encode(proof)
        )
    }

    /// What a token of that sandbox claims. Nothing of it is read before it is proved.
    pub(crate) fn open(&self, sandbox: &SandboxId, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let (json, proof) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let json = URL_SAFE_NO_PAD.decode(json).ok()?;
        let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
        self.mac(sandbox, &json).verify_slice(&proof).ok()?;
        let claims: Claims = serde_json::from_slice(&json).ok()?;
        (claims.version == VERSION).then_some(claims)
    }

    /// Ids have no NUL, so no sandbox's token is another one's.
    fn mac(&self, sandbox: &SandboxId, json: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(sandbox.as_str().as_bytes());
        mac.update(b"\0");
        mac.update(json);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_in_its_own_sandbox_and_nowhere_else() {
        let (key, other) = (TokenKey::new(&[1; 32]), TokenKey::new(&[2; 32]));
        let (one, two) = (SandboxId::generate(), SandboxId::generate());
        let claims = Claims::new(GatewayId::generate(), "TOKEN".into());
        let token = key.seal(&one, &claims);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        assert!(
            token.starts_with(PREFIX) && token.bytes().all(plain),
            "{token}"
        );
        assert_eq!(token, key.seal(&one, &claims));
        assert_eq!(key.open(&one, &token), Some(claims.clone()));
        assert_eq!(key.open(&two, &token), None);
        assert_eq!(other.open(&one, &token), None);
        let forged = key.seal(&one, &Claims::new(GatewayId::generate(), "TOKEN".into()));
        let (_, proof) = token.split_once('.').expect("a dot");
        let (json, _) = forged.split_once('.').expect("a dot");
        assert_eq!(key.open(&one, &format!("{json}.{proof}")), None);
        for bad in ["", "gws_", "gws_.", &token[4..], &token[..token.len() - 1]] {
            assert_eq!(key.open(&one, bad), None, "{bad}");
        }
        let longest = Claims::new(GatewayId::generate(), "x".repeat(100));
        assert!(key.open(&one, &key.seal(&one, &longest)).is_some());
    }
}
