//! Path parameters, refused in the facade's own shape.

use axum::extract::{FromRequestParts, Path as AxumPath};
use axum::http::request::Parts;
use pinfold_model::Error;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The parameters of the matched route.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match AxumPath::<T>::from_request_parts(parts, state).await {
            Ok(AxumPath(value)) => Ok(Self(value)),
            Err(rejection) => Err(Error::invalid("path", rejection.body_text()).into()),
        }
    }
}
