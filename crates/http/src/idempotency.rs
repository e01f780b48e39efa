//! The `Idempotency-Key` header: names a create or start so that repeating it is safe.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pinfold_model::{Error, limits};

use crate::failure::Failure;

/// The caller's key, if it sent one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default();
        let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if printable && (1..=limits::IDEMPOTENCY_KEY_MAX_CHARS).contains(&text.len()) {
            return Ok(Self(Some(text.to_owned())));
        }
        Err(Error::invalid(
            "idempotency-key",
            "Idempotency-Key must be 1 to 255 printable ASCII characters",
        )
        .into())
    }
}
