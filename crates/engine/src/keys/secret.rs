//! Making secrets and hashing them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Keys the hashes of secrets: without it a stolen table of hashes cannot be searched.
pub(crate) struct Pepper(Hmac<Sha256>);

impl Pepper {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length"))
    }

    pub(crate) fn hash(&self, secret: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Whether `hash` is that of `secret`, in a time that does not tell how much of it is right.
    pub(crate) fn verify(&self, secret: &str, hash: &[u8]) -> bool {
        let mut mac = self.0.clone();
        mac.update(secret.as_bytes());
        mac.verify_slice(hash).is_ok()
    }
}

/// A fresh secret of 256 random bits. The checksum lets scanners tell a leaked key from chance.
pub(crate) fn generate(prefix: &str) -> String {
    let bytes: [u8; 32] = rand::random();
    let body = hex::encode(bytes);
    let check = hex::encode(&Sha256::digest(&body)[..4]);
    format!("{prefix}{body}{check}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_carry_their_checksum() {
        let (a, b) = (generate("pfk_"), generate("pfk_"));
        assert_ne!(a, b);
        let (body, check) = a["pfk_".len()..].split_at(64);
        assert_eq!(hex::encode(&Sha256::digest(body)[..4]), check);
    }

    #[test]
    fn hashes_depend_on_the_pepper() {
        let (one, two) = (Pepper::new(&[1; 32]), Pepper::new(&[2; 32]));
        assert_eq!(one.hash("s"), one.hash("s"));
        assert_ne!(one.hash("s"), two.hash("s"));
        assert_ne!(one.hash("s"), one.hash("t"));
    }
}
