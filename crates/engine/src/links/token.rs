//! The text of a link: what it claims, and the proof that this store's servers claim it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use pinfold_model::{Code, Error, KeyId, OrgId, ProjectId, Result};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Linked;

pub(super) const VERSION: u8 = 1;
/// A claim about the longest path has about 6,000 characters.
const TOKEN_MAX_BYTES: usize = 12 << 10;
/// So that no other use of the secret could ever make a link.
const PURPOSE: &[u8] = b"pinfold signed link\0";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    #[serde(rename = "v")]
    pub(super) version: u8,
    #[serde(rename = "o")]
    pub(super) org: OrgId,
    #[serde(rename = "p")]
    pub(super) project: ProjectId,
    /// `None`: the process itself.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<KeyId>,
    #[serde(rename = "e")]
    pub(super) expires_ms: i64,
    #[serde(rename = "r")]
    pub(super) linked: Linked,
}

/// Signs and proves.
pub(crate) struct LinkKey(Hmac<Sha256>);

impl LinkKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        let mut mac: Hmac<Sha256> =
            Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length");
        mac.update(PURPOSE);
        Self(mac)
    }

    pub(super) fn seal(&self, claims: &Claims) -> String {
        let json = serde_json::to_vec(claims).expect("claims have text keys and no failing parts");
        let mut mac = self.0.clone();
        mac.update(&json);
        let proof = mac.finalize().into_bytes();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(json),
            URL_SAFE_NO_PAD.encode(proof)
        )
    }

    /// What a text of ours claims. Nothing of it is read before it is proved.
    pub(super) fn open(&self, token: &str) -> Result<Claims> {
        self.proved(token).ok_or_else(|| {
            Error::new(
                Code::LinkInvalid,
                "this is no link of this server, or it was changed on its way; ask for another",
            )
        })
    }

    /// Whether this server made it, whatever it is for and however old it is.
    pub(crate) fn made(&self, token: &str) -> bool {
        self.proved(token).is_some()
    }

    fn proved(&self, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let (json, proof) = token.split_once('.')?;
        let json = URL_SAFE_NO_PAD.decode(json).ok()?;
        let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
        let mut mac = self.0.clone();
        mac.update(&json);
        mac.verify_slice(&proof).ok()?;
        let claims: Claims = serde_json::from_slice(&json).ok()?;
        (claims.version == VERSION).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::ObjectId;
    use proptest::prelude::*;

    fn claims() -> Claims {
        Claims {
            version: VERSION,
            org: OrgId::generate(),
            project: ProjectId::generate(),
            key: Some(KeyId::generate()),
            expires_ms: 5,
            linked: Linked::ObjectDownload {
                object: ObjectId::generate(),
            },
        }
    }

    #[test]
    fn a_link_says_what_was_signed_and_only_to_its_own_store() {
        let (key, other) = (LinkKey::new(&[1; 32]), LinkKey::new(&[2; 32]));
        let claims = claims();
        let token = key.seal(&claims);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        assert!(token.bytes().all(plain), "{token}");
        let opened = key.open(&token).expect("ours");
        assert_eq!(opened.linked, claims.linked);
        assert_eq!(opened.expires_ms, 5);
        let foreign = other.open(&token).expect_err("another secret");
        assert_eq!(foreign.code(), Code::LinkInvalid);
    }

    #[test]
    fn another_claim_under_the_same_proof_is_refused() {
        let key = LinkKey::new(&[1; 32]);
        let (one, two) = (key.seal(&claims()), key.seal(&claims()));
        let (body, _) = one.split_once('.').expect("a dot");
        let (_, proof) = two.split_once('.').expect("a dot");
        for forged in [
            format!("{body}.{proof}"),
            format!("{body}."),
            body.to_owned(),
            String::new(),
            ".".to_owned(),
            "x".repeat(TOKEN_MAX_BYTES + 1),
        ] {
            assert!(key.open(&forged).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_change_of_one_character_is_accepted(at in 0usize..200, by in 1u8..64) {
            let key = LinkKey::new(&[7; 32]);
            let token = key.seal(&claims());
            let mut bytes = token.clone().into_bytes();
            let at = at % bytes.len();
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let now = alphabet.iter().position(|b| *b == bytes[at]).unwrap_or(0);
            bytes[at] = alphabet[(now + usize::from(by)) % alphabet.len()];
            let changed = String::from_utf8(bytes).expect("ASCII");
            prop_assume!(changed != token);
            prop_assert!(key.open(&changed).is_err());
        }
    }
}
