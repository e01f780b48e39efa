//! What every facade gets around its routes, seen from a client: ids, envelopes, panics, keys.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use pinfold_http::{
    Authenticate, Caller, Facade, Failure, IdempotencyKey, Json, Peer, RateLimits, authenticated,
};
use pinfold_model::{Code, Ctx, Error, KeyId, OrgId, Principal, ProjectId, RequestId, Role};
use tower::ServiceExt;

const SECRET: &str = "right";
static KEY: LazyLock<KeyId> = LazyLock::new(KeyId::generate);

struct OneKey;

#[async_trait]
impl Authenticate for OneKey {
    async fn authenticate(&self, secret: &str, request: &RequestId) -> Result<Ctx, Error> {
        if secret != SECRET {
            return Err(Error::new(Code::Unauthenticated, "unknown key"));
        }
        let principal = Principal {
            org: OrgId::generate(),
            project: ProjectId::generate(),
            role: Role::Member,
            scopes: pinfold_model::Scopes::All,
            key: Some(KEY.clone()),
        };
        Ok(Ctx {
            principal,
            request: request.clone(),
        })
    }
}

fn render(failure: &Failure, request_id: &str) -> Response {
    let error = failure.error();
    let body = serde_json::json!({
        "code": error.code().as_str(), "message": error.message(), "id": request_id,
    });
    (failure.status(), Json(body)).into_response()
}

fn app() -> Router {
    let routes = Router::new()
        .route(
            "/who",
            get(|caller: Caller| async move { caller.0.request.to_string() }),
        )
        .route(
            "/panic",
            get(|| async { panic!("secret-cause") as &'static str }),
        )
        .route(
            "/broken",
            get(|| async { Failure::from(Error::internal(std::io::Error::other("secret-cause"))) }),
        )
        .route(
            "/key",
            post(|key: IdempotencyKey| async move { Json(key.0) }),
        );
    Facade {
        name: "test",
        render,
        elsewhere: &[],
    }
    .wrap(authenticated(routes, Arc::new(OneKey)))
}

struct Answer {
    status: StatusCode,
    id: String,
    allow: Option<String>,
    body: String,
}

async fn ask(request: axum::http::request::Builder) -> Answer {
    let request = request.body(Body::empty()).expect("a request");
    let response = app().oneshot(request).await.expect("infallible");
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().expect("text").to_owned())
    };
    let (status, id, allow) = (response.status(), header("x-request-id"), header("allow"));
    let bytes = response.into_body().collect().await.expect("a body");
    Answer {
        status,
        id: id.expect("every answer has an id"),
        allow,
        body: String::from_utf8(bytes.to_bytes().to_vec()).expect("text"),
    }
}

fn with_key(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {SECRET}"))
}

#[tokio::test]
async fn a_callers_request_id_is_echoed_and_reaches_the_use_case() {
    let answer = ask(with_key("GET", "/who").header("x-request-id", "trace-7")).await;
    assert_eq!(answer.id, "trace-7");
    assert_eq!(answer.body, "req_trace7");
    let made = ask(with_key("GET", "/who").header("x-request-id", "a b")).await;
    assert!(made.id.starts_with("req_"), "{}", made.id);
}

#[tokio::test]
async fn no_key_and_a_wrong_key_are_401_before_anything_else() {
    for request in [
        Request::get("/who"),
        Request::get("/panic"),
        Request::get("/who").header("x-api-key", "wrong"),
    ] {
        let answer = ask(request).await;
        assert_eq!(answer.status, 401);
        assert!(answer.body.contains("unauthenticated"), "{}", answer.body);
        assert!(answer.body.contains(&answer.id));
    }
    let own_spelling = Request::get("/who").header("x-api-key", SECRET);
    assert_eq!(ask(own_spelling).await.status, 200);
}

#[tokio::test]
async fn unknown_routes_and_methods_have_envelopes() {
    let unknown = ask(with_key("GET", "/nowhere")).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("route_not_found"));
    let method = ask(with_key("DELETE", "/who")).await;
    assert_eq!(method.status, 405);
    assert!(method.body.contains("method_not_allowed"));
    assert_eq!(method.allow.as_deref(), Some("GET,HEAD"));
}

#[tokio::test]
async fn panics_and_private_causes_answer_500_and_stay_private() {
    for path in ["/panic", "/broken"] {
        let answer = ask(with_key("GET", path)).await;
        assert_eq!(answer.status, 500, "{path}");
        assert!(answer.body.contains("internal"));
        assert!(!answer.body.contains("secret-cause"), "{}", answer.body);
    }
}

#[tokio::test]
async fn idempotency_keys_are_bounded() {
    let sent = |key: &str| with_key("POST", "/key").header("idempotency-key", key);
    assert_eq!(ask(sent("order 66")).await.body, "\"order 66\"");
    assert_eq!(ask(with_key("POST", "/key")).await.body, "null");
    assert_eq!(ask(sent("")).await.status, 400);
    assert_eq!(ask(sent(&"x".repeat(256))).await.status, 400);
}

#[tokio::test]
async fn an_overlong_url_is_414() {
    let path = format!("/who?{}", "x".repeat(17 << 10));
    assert_eq!(ask(with_key("GET", &path)).await.status, 414);
}

#[tokio::test]
async fn a_key_and_a_guessing_address_are_limited_apart_from_each_other() {
    let limits = RateLimits::new("2/h".parse().expect("a rate"));
    let app = app().layer(axum::Extension(limits));
    let ask = |secret: &'static str, address: &'static str| {
        let app = app.clone();
        async move {
            let request = Request::get("/who")
                .header("authorization", format!("Bearer {secret}"))
                .extension(Peer(Some(address.parse().expect("an address"))))
                .body(Body::empty());
            app.oneshot(request.expect("a request"))
                .await
                .expect("an answer")
        }
    };
    for _ in 0..2 {
        let wrong = ask("wrong", "192.0.2.1:1000").await;
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    }
    // Another port is the same guesser; another address and a right key are not.
    let limited = ask("wrong", "192.0.2.1:1001").await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.headers().contains_key("retry-after"));
    let elsewhere = ask("wrong", "192.0.2.2:1000").await;
    assert_eq!(elsewhere.status(), StatusCode::UNAUTHORIZED);
    for _ in 0..2 {
        assert_eq!(ask(SECRET, "192.0.2.1:1000").await.status(), StatusCode::OK);
    }
    let limited = ask(SECRET, "192.0.2.3:1000").await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds = limited.headers()["retry-after"].to_str().expect("a number");
    assert!(
        (1..=1800).contains(&seconds.parse::<u64>().expect("a number")),
        "{seconds}"
    );
    let body = limited
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["code"], "rate_limited");
}
