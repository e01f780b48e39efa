//! The native shape of errors.

use axum::response::{IntoResponse, Response};
use pinfold_http::{Facade, Failure, Json};
use pinfold_model::Error;
use pinfold_wire as wire;

/// The native facade; also the right one for what no dialect claims.
pub const FACADE: Facade = Facade {
    name: "native",
    render,
    elsewhere: &[],
};

fn render(failure: &Failure, request_id: &str) -> Response {
    let envelope = wire::ErrorEnvelope {
        error: body(failure.error(), request_id),
    };
    (failure.status(), Json(envelope)).into_response()
}

pub(crate) fn body(error: &Error, request_id: &str) -> wire::ErrorBody {
    wire::ErrorBody {
        code: error.code().as_str().to_owned(),
        message: error.message().to_owned(),
        details: error.details().clone(),
        request_id: request_id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use pinfold_model::Code;
    use pinfold_wire::ErrorCode;

    #[test]
    fn clients_know_every_code() {
        for code in Code::ALL {
            assert_eq!(ErrorCode::from_word(code.as_str()).as_str(), code.as_str());
        }
        assert_eq!(ErrorCode::ALL.len(), Code::ALL.len());
    }
}
