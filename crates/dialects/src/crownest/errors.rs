//! CrowNest's shape of errors.

use axum::response::{IntoResponse, Response};
use pinfold_http::{Facade, Failure, Json};

pub(super) const FACADE: Facade = Facade {
    name: "crownest",
    render,
};

fn render(failure: &Failure, _request_id: &str) -> Response {
    let error = failure.error();
    let body = serde_json::json!({
        "error": {"code": error.code().as_str(), "message": error.message()}
    });
    (failure.status(), Json(body)).into_response()
}
