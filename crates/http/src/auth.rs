//! Who calls: the credential in a request's headers, and the caller it stands for.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use pinfold_model::{Code, Ctx, Error, RequestId};

use crate::failure::Failure;
use crate::rate::RateLimits;
use crate::request_tag::RequestTag;

/// Longer credentials are refused before anything is computed from them.
const CREDENTIAL_MAX_BYTES: usize = 512;

/// Turns a secret into a caller; implemented where engine and HTTP meet.
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// Fails with `unauthenticated` for a secret that is unknown, revoked or expired.
    async fn authenticate(&self, secret: &str, request: &RequestId) -> Result<Ctx, Error>;
}

/// The secret in `Authorization: Bearer` or `x-api-key`, in this order.
pub fn credential(headers: &HeaderMap) -> Result<&str, Error> {
    let bearer = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let bearer = bearer.and_then(|value| {
        let (scheme, secret) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(secret.trim())
    });
    let own = headers.get("x-api-key").and_then(|v| v.to_str().ok());
    match bearer.or(own).filter(|secret| !secret.is_empty()) {
        Some(secret) if secret.len() <= CREDENTIAL_MAX_BYTES => Ok(secret),
        Some(_) => Err(Error::new(Code::Unauthenticated, "the key is too long")),
        None => Err(Error::new(
            Code::Unauthenticated,
            "no key: send the header `Authorization: Bearer <key>` or `x-api-key: <key>`",
        )
        .detail("reason", "missing")),
    }
}

/// Makes every route of `router` need a key. A layer over all routes, not an extractor in each, so
/// that no new route can forget it; unmatched paths stay 404.
pub fn authenticated<S>(router: Router<S>, authority: Arc<dyn Authenticate>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.route_layer(from_fn_with_state(authority, check))
}

async fn check(
    State(authority): State<Arc<dyn Authenticate>>,
    tag: RequestTag,
    mut request: Request,
    next: Next,
) -> Response {
    let found = match credential(request.headers()) {
        Ok(secret) => authority.authenticate(secret, &tag.id).await,
        Err(error) => Err(error),
    };
    let admitted = found.and_then(|ctx| {
        if let Some(limits) = request.extensions().get::<RateLimits>() {
            limits.admit(&ctx.principal)?;
        }
        Ok(ctx)
    });
    match admitted {
        Ok(ctx) => {
            request.extensions_mut().insert(Caller(ctx));
            next.run(request).await
        }
        Err(error) => Failure::from(error).into_response(),
    }
}

/// The caller, as [`authenticated`] found it.
#[derive(Debug, Clone)]
pub struct Caller(pub Ctx);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // A route outside `authenticated` that asks for a caller has none: closed, not open.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Error::new(Code::Unauthenticated, "this route takes no credentials").into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("header text"));
        headers
    }

    #[test]
    fn both_spellings_carry_a_secret() {
        for headers in [
            headers("authorization", "Bearer s3cret"),
            headers("authorization", "bearer s3cret"),
            headers("x-api-key", "s3cret"),
        ] {
            assert_eq!(credential(&headers).expect("present"), "s3cret");
        }
    }

    #[test]
    fn other_schemes_empty_and_oversized_secrets_are_refused() {
        for headers in [
            HeaderMap::new(),
            headers("authorization", "Basic s3cret"),
            headers("authorization", "Bearer "),
            headers("x-api-key", &"x".repeat(513)),
        ] {
            let error = credential(&headers).expect_err("refused");
            assert_eq!(error.code(), Code::Unauthenticated);
            assert!(!error.message().contains("s3cret"));
        }
    }
}
