//! Secrets: values go in and come out nowhere, and credentials name them.

use serde_json::{Value, json};

use crate::world::{SECRET_VALUE, World};

impl World {
    async fn put(&self, name: &str, body: &Value) -> crate::world::Answer {
        let target = format!("/v1/secrets/{name}");
        self.ask("PUT", &target, Some(&self.owner), body).await
    }

    async fn look(&self, key: &str, target: &str) -> crate::world::Answer {
        self.ask("GET", target, Some(key), &Value::Null).await
    }
}

#[tokio::test]
async fn a_secret_is_made_replaced_and_deleted_and_never_shown() {
    let world = World::new().await;
    let value = "sk-hunter2-0123456789";
    let made = world.put("TOKEN", &json!({"value": value})).await;
    assert_eq!(made.status, 200, "{made:?}");
    let (made, again) = (
        made.json(),
        world.put("TOKEN", &json!({"value": "other"})).await.json(),
    );
    assert_eq!(made["id"], again["id"]);
    assert_eq!(made["created_at"], again["created_at"]);
    assert!(made["id"].as_str().is_some_and(|id| id.starts_with("sec_")));
    assert!(
        made["created_by"]
            .as_str()
            .is_some_and(|id| id.starts_with("key_"))
    );
    let shown = world.look(&world.owner, "/v1/secrets/TOKEN").await.json();
    assert_eq!(shown, again);
    let mut fields: Vec<_> = shown.as_object().expect("an object").keys().collect();
    fields.sort();
    let wanted = [
        "created_at",
        "created_by",
        "id",
        "name",
        "project_id",
        "updated_at",
    ];
    assert_eq!(fields, wanted);
    let listed = world.look(&world.owner, "/v1/secrets").await.json();
    let names: Vec<_> = listed["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|s| &s["name"])
        .collect();
    assert_eq!(names, ["TOKEN", "private"]);
    for target in [
        "/v1/secrets",
        "/v1/secrets/TOKEN",
        "/v1/secrets/private",
        "/v1/audit",
    ] {
        let text = String::from_utf8(world.look(&world.owner, target).await.body).expect("text");
        assert!(!text.contains("hunter2"), "{target}: {text}");
    }
    let gone = |target: &'static str| world.ask("DELETE", target, Some(&world.owner), &Value::Null);
    assert_eq!(gone("/v1/secrets/TOKEN").await.status, 204);
    let twice = gone("/v1/secrets/TOKEN").await;
    assert_eq!(
        (twice.status.as_u16(), twice.code()),
        (404, "secret_not_found".into())
    );
}

#[tokio::test]
async fn the_audit_trail_has_the_name_and_the_outcome_alone() {
    let world = World::new().await;
    world.put("TOKEN", &json!({"value": "hunter2"})).await;
    world.put("TOKEN", &json!({"value": "hunter22"})).await;
    world
        .put("hunter2/../x", &json!({"value": "hunter2"}))
        .await;
    let target = "/v1/secrets/TOKEN";
    world
        .ask("DELETE", target, Some(&world.owner), &Value::Null)
        .await;
    let audit = world.look(&world.admin, "/v1/audit").await;
    let text = String::from_utf8_lossy(&audit.body).into_owned();
    assert!(!text.contains("hunter2"), "{text}");
    let lines: Vec<_> = audit.json()["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|line| line["subject"] == "TOKEN")
        .map(|line| {
            (
                line["action"].clone(),
                line["outcome"].clone(),
                line["details"].clone(),
            )
        })
        .collect();
    let put = |replaced: bool| {
        (
            json!("secret.put"),
            json!("ok"),
            json!({"replaced": replaced}),
        )
    };
    let deleted = (json!("secret.delete"), json!("ok"), json!({}));
    assert_eq!(lines, [deleted, put(true), put(false)]);
}

#[tokio::test]
async fn no_refusal_quotes_the_value_it_refuses() {
    let world = World::new().await;
    let long = "hunter2".repeat(5000);
    for body in [
        json!({"value": "hunter2\u{0}"}),
        json!({"value": long}),
        json!({"value": ""}),
        json!({"value": ["hunter2"]}),
        json!({"value": 31337}),
        json!({"value": "hunter2", "more": "hunter2"}),
        json!({"hunter2": "hunter2"}),
        json!({"name": "hunter2"}),
        json!("hunter2"),
        json!(["hunter2"]),
        json!({}),
    ] {
        let answer = world.put("TOKEN", &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.code(), "invalid_argument");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            !text.contains("hunter2") && !text.contains("31337"),
            "{text}"
        );
    }
    let none = world.look(&world.owner, "/v1/secrets/TOKEN").await;
    assert_eq!(none.status, 404, "nothing of all that was kept");
}

#[tokio::test]
async fn hostile_names_are_refused_or_found_nowhere() {
    let world = World::new().await;
    for name in [
        "a%20b",
        "a%2Fb",
        "..%2Fprivate",
        "%2e%2e",
        "a%00",
        "a%0d%0ab",
        "-a",
        "_a",
        "a@b",
        "%C3%A9",
        "private%20",
        "PRIVATE%2e%2e%2f",
    ] {
        let put = world.put(name, &json!({"value": "v"})).await;
        assert_eq!(put.status, 400, "{name}: {put:?}");
        for method in ["GET", "DELETE"] {
            let target = format!("/v1/secrets/{name}");
            let answer = world
                .ask(method, &target, Some(&world.owner), &Value::Null)
                .await;
            assert_eq!(answer.code(), "secret_not_found", "{method} {name}");
        }
    }
    let long = "x".repeat(101);
    assert_eq!(world.put(&long, &json!({"value": "v"})).await.status, 400);
    assert_eq!(
        world.look(&world.owner, "/v1/secrets/private").await.status,
        200
    );
}

#[tokio::test]
async fn a_name_is_another_secret_in_another_project() {
    let world = World::new().await;
    let theirs = json!({"value": "theirs"});
    let put = world
        .ask("PUT", "/v1/secrets/private", Some(&world.stranger), &theirs)
        .await;
    assert_eq!(put.status, 200);
    let (own, other) = (
        world.look(&world.owner, "/v1/secrets/private").await.json(),
        world
            .look(&world.stranger, "/v1/secrets/private")
            .await
            .json(),
    );
    assert_ne!(own["id"], other["id"]);
    let target = "/v1/secrets/private";
    let deleted = world
        .ask("DELETE", target, Some(&world.stranger), &Value::Null)
        .await;
    assert_eq!(deleted.status, 204);
    assert_eq!(world.look(&world.owner, target).await.json(), own);
}

#[tokio::test]
async fn a_sandbox_shows_the_names_of_its_credentials() {
    let world = World::new().await;
    let target = format!("/v1/sandboxes/{}", world.sandbox);
    let shown = world.look(&world.owner, &target).await;
    assert_eq!(
        shown.json()["credentials"],
        json!([{
            "secret": "private",
            "host": "api.example.com",
            "header": "authorization",
            "format": "Bearer {}",
        }])
    );
    let text = String::from_utf8_lossy(&shown.body).into_owned();
    assert!(!text.contains(SECRET_VALUE), "{text}");
}

#[tokio::test]
async fn credentials_are_checked_before_anything_is_made() {
    let world = World::new().await;
    let good = json!({"secret": "private", "host": "api.example.com"});
    let with = |field: &str, value: Value| {
        let mut credential = good.clone();
        credential[field] = value;
        json!([credential])
    };
    let many: Vec<_> = (0..33)
        .map(|n| json!({"secret": "private", "host": format!("h{n}.com")}))
        .collect();
    for (credentials, code) in [
        (with("host", json!("10.0.0.1")), "invalid_argument"),
        (with("host", json!("*.com")), "invalid_argument"),
        (with("host", json!("http://a.com")), "invalid_argument"),
        (with("header", json!("host")), "invalid_argument"),
        (with("header", json!("a\r\nb")), "invalid_argument"),
        (with("format", json!("{} {}")), "invalid_argument"),
        (with("format", json!("x\r\ny: {}")), "invalid_argument"),
        (with("secret", json!("a/b")), "invalid_argument"),
        (with("value", json!("v")), "invalid_argument"),
        (with("secret", json!("missing")), "secret_not_found"),
        (json!([good, good]), "invalid_argument"),
        (json!(many), "invalid_argument"),
    ] {
        let body = json!({"wait": false, "credentials": credentials});
        let answer = world
            .ask("POST", "/v1/sandboxes", Some(&world.owner), &body)
            .await;
        assert_eq!(answer.code(), code, "{body} {answer:?}");
    }
    let theirs = json!({"wait": false, "credentials": [good]});
    let answer = world
        .ask("POST", "/v1/sandboxes", Some(&world.stranger), &theirs)
        .await;
    assert_eq!(
        answer.code(),
        "secret_not_found",
        "another project's secret"
    );
    for network in ["none", "open"] {
        let body = json!({"wait": false, "network": network, "credentials": [good]});
        let answer = world
            .ask("POST", "/v1/sandboxes", Some(&world.owner), &body)
            .await;
        assert_eq!(answer.code(), "invalid_argument");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains("policy"), "{text}");
    }
    let none = json!({"wait": false, "credentials": []});
    let answer = world
        .ask("POST", "/v1/sandboxes", Some(&world.owner), &none)
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
}
