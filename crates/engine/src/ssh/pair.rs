//! Pairs of keys: fresh ones, and public halves that callers bring.

use pinfold_model::{Error, Result, SandboxId, limits};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// A public key in the one form that is kept and compared.
pub(super) struct Public {
    /// Algorithm and base64, without a comment.
    pub(super) text: String,
    pub(super) fingerprint: String,
}

/// A pair whose comment says what it opens: people find such files years later.
pub(super) fn fresh(sandbox: &SandboxId) -> Result<(Public, Option<Zeroizing<String>>)> {
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    let private = PrivateKey::new(pair, sandbox.as_str()).map_err(Error::internal)?;
    let text = private
        .to_openssh(LineEnding::LF)
        .map_err(Error::internal)?;
    Ok((public(private.public_key())?, Some(text)))
}

/// A line as in `authorized_keys`. Options before the key are no part of it, and are refused.
pub(super) fn parsed(text: &str) -> Result<Public> {
    let text = text.trim();
    if text.len() > limits::SSH_PUBLIC_KEY_MAX_BYTES || text.contains(['\n', '\r', '\0']) {
        return Err(unreadable());
    }
    let key = PublicKey::from_openssh(text).map_err(|_| unreadable())?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => public(&key),
        other => Err(Error::invalid(
            "public_key",
            format!("keys of the kind {other} are not taken; make one with ssh-keygen -t ed25519"),
        )),
    }
}

fn public(key: &PublicKey) -> Result<Public> {
    let bare = PublicKey::from(key.key_data().clone());
    Ok(Public {
        text: bare.to_openssh().map_err(Error::internal)?,
        fingerprint: bare.fingerprint(HashAlg::Sha256).to_string(),
    })
}

fn unreadable() -> Error {
    Error::invalid(
        "public_key",
        "public_key must be one line as in a .pub file: algorithm, base64 and perhaps a comment",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID+30drOjWys64nUou1jwK36R6wCC41WQvYZOZ3XU3iD";

    #[test]
    fn a_fresh_pair_is_one_that_openssh_reads_and_no_other() {
        let sandbox = SandboxId::generate();
        let (one, private) = fresh(&sandbox).expect("a pair");
        let private = private.expect("its private half");
        let read = PrivateKey::from_openssh(private.as_bytes()).expect("readable");
        assert_eq!(read.comment().as_str().ok(), Some(sandbox.as_str()));
        assert_eq!(public(read.public_key()).expect("text").text, one.text);
        assert_eq!(
            parsed(&one.text).expect("its own text").fingerprint,
            one.fingerprint
        );
        let (other, _) = fresh(&sandbox).expect("a pair");
        assert_ne!(one.fingerprint, other.fingerprint);
    }

    #[test]
    fn a_callers_key_loses_its_comment_and_keeps_its_fingerprint() {
        let plain = parsed(OWN).expect("valid");
        let named = parsed(&format!("  {OWN} me@home\n")).expect("valid");
        assert_eq!(named.text, OWN);
        assert_eq!(named.fingerprint, plain.fingerprint);
        assert_eq!(
            plain.fingerprint,
            "SHA256:PnBjAHW5p8aCjIPt/Ed+zWh7WGawbOr2Fe9JF8LhxqQ"
        );
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let (private, long) = (
            fresh(&SandboxId::generate())
                .expect("a pair")
                .1
                .expect("private"),
            format!("{OWN} {}", "x".repeat(limits::SSH_PUBLIC_KEY_MAX_BYTES)),
        );
        let options = format!("command=\"id\" {OWN}");
        let two = format!("{OWN}\n{OWN}");
        let cut = &OWN[..OWN.len() - 8];
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !!",
            &private,
            &long,
            &options,
            &two,
            cut,
        ] {
            let error = parsed(bad).err().expect("refused");
            assert_eq!(error.details()["field"], "public_key", "{bad:?}");
            assert!(!format!("{error:?}").contains("PRIVATE KEY"));
        }
    }
}
