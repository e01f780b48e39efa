//! Idempotency keys: what makes two requests the same one.
//!
//! Requests hold values of secrets, so what is recorded of one proves nothing to who has a copy of the
//! records: it is keyed by the master key, which is not among them. A process without that key records
//! the bare SHA-256, as all did before; such records are compared as they are, until their day is over.

use pinfold_model::{Ctx, Error, KeyId, Result, SandboxId, limits};
use pinfold_store::Idempotency;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::Engine;

impl Engine {
    /// As [`Engine::claim`], for an operation on one sandbox, whose keys are its own.
    pub(crate) fn claim_in(
        &self,
        ctx: &Ctx,
        sandbox: &SandboxId,
        operation: &'static str,
        key: Option<&str>,
        request: &impl Serialize,
    ) -> Result<Option<Idempotency>> {
        let claim = self.claim(ctx, operation, key, request)?;
        Ok(claim.map(|claim| claim.in_sandbox(sandbox)))
    }

    /// What claims the caller's key for `request`; `None` where the caller gave no key.
    pub(crate) fn claim(
        &self,
        ctx: &Ctx,
        operation: &'static str,
        key: Option<&str>,
        request: &impl Serialize,
    ) -> Result<Option<Idempotency>> {
        let Some(key) = key else {
            return Ok(None);
        };
        check(key)?;
        let principal = &ctx.principal;
        let bare = fingerprint(request);
        let (project, api_key) = (&principal.project, principal.key.as_ref());
        let claim = |hash| Idempotency::new(project, api_key, operation, key, hash);
        // Whose key it is belongs to it: with another caller's guesses nothing can be compared.
        let whose = [
            project.as_str(),
            api_key.map_or("", KeyId::as_str),
            operation,
            key,
        ];
        Ok(Some(match self.inner.vault.keyed(&whose, &bare) {
            Some(keyed) => claim(keyed).or_recorded_as(bare),
            None => claim(bare),
        }))
    }
}

/// SHA-256 of a value in its one JSON form: all maps of requests are ordered.
pub(crate) fn fingerprint(value: &impl Serialize) -> [u8; 32] {
    let json = serde_json::to_vec(value).expect("requests have text keys and no failing parts");
    Sha256::digest(json).into()
}

fn check(key: &str) -> Result<()> {
    let printable = key.bytes().all(|b| (0x20..0x7f).contains(&b));
    if !key.is_empty() && key.len() <= limits::IDEMPOTENCY_KEY_MAX_CHARS && printable {
        return Ok(());
    }
    Err(Error::invalid(
        "idempotency_key",
        "an idempotency key is 1 to 255 printable ASCII characters",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_printable() {
        assert!(check("order-7").is_ok());
        for bad in ["", "a\n", "é", &"x".repeat(256)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn equal_requests_have_equal_fingerprints() {
        let one = std::collections::BTreeMap::from([("b", 1), ("a", 2)]);
        let two = std::collections::BTreeMap::from([("a", 2), ("b", 1)]);
        assert_eq!(fingerprint(&one), fingerprint(&two));
        assert_ne!(fingerprint(&one), fingerprint(&["a"]));
    }
}
