//! How previews say what is wrong: in the native shape, which tells it from what the application
//! inside says.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::{IntoResponse, Response};
use pinfold_http::{Facade, Failure, Json};
use pinfold_model::{Code, Error};

pub(crate) const FACADE: Facade = Facade {
    name: "preview",
    render,
    elsewhere: &[Code::PreviewUnavailable, Code::Timeout],
};

fn render(failure: &Failure, request_id: &str) -> Response {
    let error = failure.error();
    let mut body = serde_json::json!({
        "code": error.code().as_str(),
        "message": error.message(),
        "request_id": request_id,
    });
    if !error.details().is_empty() {
        body["details"] = error.details().clone().into();
    }
    let mut response =
        (failure.status(), Json(serde_json::json!({ "error": body }))).into_response();
    // It may be another the next time.
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error with the status that previews have for it.
pub(crate) fn failure(error: Error) -> Failure {
    let bad_gateway = error.code() == Code::PreviewUnavailable;
    let failure = Failure::from(error);
    if bad_gateway {
        failure.with_status(StatusCode::BAD_GATEWAY)
    } else {
        failure
    }
}
