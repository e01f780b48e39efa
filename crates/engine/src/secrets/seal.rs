//! The envelope: AES-256-GCM-SIV (RFC 8452) under a key that is made from the master key.
//!
//! ```text
//! version (1) | id of the key (8) | nonce (12) | ciphertext | tag (16)
//! ```
//! The secret's id, project and name are authenticated with it, so no sealed value can be moved to another
//! row, also by somebody who writes the database. Nonces are random; should one ever be used twice, this
//! cipher gives away only whether two values of one secret are equal.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use hmac::{Hmac, KeyInit, Mac};
use pinfold_model::{Error, Result, Secret, SecretValue};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::master::MasterKey;

const VERSION: u8 = 1;
const ID_BYTES: usize = 8;
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_LEN;

/// Which master key something was sealed under; tells nothing of the key.
pub(super) type KeyId = [u8; ID_BYTES];

/// Why a sealed value was not opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    /// Longer or newer than this Pinfold makes them, or cut off.
    #[error("the sealed value has not the form that this version knows")]
    Form,
    #[error("the value was sealed under another key")]
    OtherKey,
    /// Changed, or put in another row.
    #[error("the sealed value is not what was stored for this secret")]
    Forged,
}

/// Seals and opens values.
pub(super) struct Seal {
    cipher: RandomizedNonceKey,
    requests: Hmac<Sha256>,
    id: KeyId,
}

impl Seal {
    pub(super) fn new(master: &MasterKey) -> Self {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM_SIV, &*derived(master, "seal"))
            .expect("32 bytes are a key of this cipher");
        let requests = keyed(&derived(master, "requests"));
        let id = derived(master, "id");
        let id = *id.first_chunk().expect("32 bytes have 8");
        Self {
            cipher,
            requests,
            id,
        }
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    /// HMAC-SHA-256 over the parts of `about`, none of which has a NUL, and `digest`.
    pub(super) fn keyed(&self, about: &[&str], digest: &[u8; 32]) -> [u8; 32] {
        let mut mac = self.requests.clone();
        for part in about {
            mac.update(part.as_bytes());
            mac.update(b"\0");
        }
        mac.update(digest);
        mac.finalize().into_bytes().into()
    }

    pub(super) fn seal(&self, secret: &Secret, value: &SecretValue) -> Result<Vec<u8>> {
        self.seal_bytes(&about(secret), value.expose().as_bytes())
    }

    /// `about` is authenticated with it: nothing else opens what was sealed.
    pub(super) fn seal_bytes(&self, about: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        // With room for the tag, so that growing leaves no plain copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(
            plain.len() + self.cipher.algorithm().tag_len(),
        ));
        text.extend_from_slice(plain);
        let nonce = self
            .cipher
            .seal_in_place_append_tag(Aad::from(about), &mut *text)
            .map_err(|_| Error::internal("the cipher refused to seal a value"))?;
        let mut sealed = Vec::with_capacity(HEAD_BYTES + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id);
        let nonce: &[u8; NONCE_LEN] = nonce.as_ref();
        sealed.extend_from_slice(nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    pub(super) fn open(&self, secret: &Secret, sealed: &[u8]) -> Result<SecretValue, OpenError> {
        let plain = self.open_bytes(&about(secret), sealed)?;
        let plain = std::str::from_utf8(&plain).map_err(|_| OpenError::Form)?;
        SecretValue::new(plain.to_owned()).map_err(|_| OpenError::Form)
    }

    pub(super) fn open_bytes(
        &self,
        about: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if key_id(sealed)? != self.id {
            return Err(OpenError::OtherKey);
        }
        let (head, body) = sealed.split_at(HEAD_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(&head[1 + ID_BYTES..]);
        let nonce = nonce.map_err(|_| OpenError::Form)?;
        let mut text = Zeroizing::new(body.to_vec());
        let plain = self
            .cipher
            .open_in_place(nonce, Aad::from(about), &mut text)
            .map_err(|_| OpenError::Forged)?;
        let length = plain.len();
        text.truncate(length);
        Ok(text)
    }
}

/// Which key a value was sealed under.
pub(super) fn key_id(sealed: &[u8]) -> Result<KeyId, OpenError> {
    match sealed.split_first() {
        Some((&VERSION, rest)) if sealed.len() > HEAD_BYTES => {
            rest.first_chunk().copied().ok_or(OpenError::Form)
        }
        _ => Err(OpenError::Form),
    }
}

/// Ids have no NUL, names neither, so no two secrets have the same.
fn about(secret: &Secret) -> Vec<u8> {
    let (id, project) = (secret.id.as_str(), secret.project.as_str());
    format!("pinfold secret {VERSION}\0{id}\0{project}\0{}", secret.name).into_bytes()
}

/// A key for one use of the master key.
fn derived(master: &MasterKey, usage: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = keyed(master.bytes());
    mac.update(format!("pinfold secrets {VERSION} {usage}").as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::{ProjectId, SecretId, Time};

    fn secret() -> Secret {
        Secret {
            id: SecretId::generate(),
            project: ProjectId::generate(),
            name: "TOKEN".into(),
            created_at: Time::UNIX_EPOCH,
            updated_at: Time::UNIX_EPOCH,
            created_by: None,
        }
    }

    fn value(text: &str) -> SecretValue {
        SecretValue::new(text.to_owned()).expect("valid")
    }

    #[test]
    fn what_was_sealed_opens_and_shows_nothing_before() {
        let (seal, secret) = (Seal::new(&MasterKey::generate()), secret());
        let sealed = seal
            .seal(&secret, &value("hunter2 hunter2"))
            .expect("sealed");
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_eq!(seal.open(&secret, &sealed), Ok(value("hunter2 hunter2")));
        let again = seal
            .seal(&secret, &value("hunter2 hunter2"))
            .expect("sealed");
        assert_ne!(sealed, again, "equal values do not look equal");
    }

    #[test]
    fn a_value_opens_for_its_own_secret_only() {
        let (seal, secret) = (Seal::new(&MasterKey::generate()), secret());
        let sealed = seal.seal(&secret, &value("v")).expect("sealed");
        let moved = [
            Secret {
                id: SecretId::generate(),
                ..secret.clone()
            },
            Secret {
                project: ProjectId::generate(),
                ..secret.clone()
            },
            Secret {
                name: "OTHER".into(),
                ..secret.clone()
            },
        ];
        for other in moved {
            assert_eq!(
                seal.open(&other, &sealed),
                Err(OpenError::Forged),
                "{other:?}"
            );
        }
        let later = Secret {
            updated_at: Time::MAX,
            ..secret
        };
        assert_eq!(
            seal.open(&later, &sealed),
            Ok(value("v")),
            "times may change"
        );
    }

    #[test]
    fn what_stands_for_a_digest_is_of_one_key_and_one_purpose() {
        let (one, two) = (MasterKey::generate(), MasterKey::generate());
        let (seal, digest) = (Seal::new(&one), [7; 32]);
        let keyed = seal.keyed(&["a", "b"], &digest);
        assert_eq!(keyed, Seal::new(&one).keyed(&["a", "b"], &digest));
        let others = [
            digest,
            Seal::new(&two).keyed(&["a", "b"], &digest),
            seal.keyed(&["ab", ""], &digest),
            seal.keyed(&["", "ab"], &digest),
            seal.keyed(&["a", "b"], &[8; 32]),
        ];
        assert!(others.iter().all(|other| *other != keyed));
    }

    #[test]
    fn another_key_is_told_from_a_forgery() {
        let (one, two) = (MasterKey::generate(), MasterKey::generate());
        let secret = secret();
        let sealed = Seal::new(&one).seal(&secret, &value("v")).expect("sealed");
        let seal = Seal::new(&two);
        assert_eq!(seal.open(&secret, &sealed), Err(OpenError::OtherKey));
        let mut relabelled = sealed;
        relabelled[1..=ID_BYTES].copy_from_slice(&seal.id());
        assert_eq!(seal.open(&secret, &relabelled), Err(OpenError::Forged));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let (seal, secret) = (Seal::new(&MasterKey::generate()), secret());
        let sealed = seal.seal(&secret, &value("v")).expect("sealed");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seal.open(&secret, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(seal.open(&secret, &sealed[..length]).is_err(), "{length}");
        }
        let longer = [sealed, vec![0]].concat();
        assert!(seal.open(&secret, &longer).is_err());
    }
}
