//! What the edge makes of good and bad requests.

use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_sandbox_shows_what_it_is_and_no_values_of_its_environment() {
    let world = World::new().await;
    let target = format!("/v1/sandboxes/{}", world.sandbox);
    let answer = world
        .ask("GET", &target, Some(&world.owner), &Value::Null)
        .await;
    assert_eq!(answer.status, 200);
    let sandbox = answer.json();
    assert_eq!(sandbox["state"], "failed");
    assert_eq!(sandbox["reason"], "boot_failed");
    assert_eq!(sandbox["vcpu"], 1.0);
    assert_eq!(sandbox["env_names"], json!(["TOKEN"]));
    assert!(!String::from_utf8_lossy(&answer.body).contains("hidden-value"));
}

#[tokio::test]
async fn lists_are_filtered_by_state_and_metadata_and_paged() {
    let world = World::new().await;
    for (query, count) in [
        ("", 1),
        ("?metadata.team=a%20b", 1),
        ("?metadata.team=other", 0),
        ("?state=failed&limit=1", 1),
        ("?state=running", 0),
        ("?include_ended=true", 1),
    ] {
        let target = format!("/v1/sandboxes{query}");
        let answer = world
            .ask("GET", &target, Some(&world.owner), &Value::Null)
            .await;
        let page = answer.json();
        assert_eq!(
            page["items"].as_array().expect("items").len(),
            count,
            "{query}"
        );
        assert_eq!(page["next_cursor"], Value::Null);
    }
}

#[tokio::test]
async fn cursors_walk_a_list_without_repeating() {
    let world = World::new().await;
    let mut seen = Vec::new();
    let mut target = "/v1/keys?limit=2".to_owned();
    loop {
        let page = world
            .ask("GET", &target, Some(&world.admin), &Value::Null)
            .await
            .json();
        let items = page["items"].as_array().expect("items").clone();
        seen.extend(
            items
                .iter()
                .map(|key| key["id"].as_str().expect("an id").to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => target = format!("/v1/keys?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (3, 3), "{seen:?}");
}

#[tokio::test]
async fn faults_are_named_by_field() {
    let world = World::new().await;
    let commands = format!("/v1/sandboxes/{}/commands", world.sandbox);
    for (method, target, body, field) in [
        ("POST", "/v1/sandboxes", json!({"imag": "x"}), "imag"),
        ("POST", "/v1/sandboxes", json!({"vcpu": "x"}), "vcpu"),
        ("POST", "/v1/sandboxes", json!({"vcpu": -1}), "vcpu"),
        (
            "POST",
            "/v1/sandboxes",
            json!({"memory_mib": 1}),
            "memory_mib",
        ),
        (
            "POST",
            "/v1/sandboxes",
            json!({"network": "wifi"}),
            "network",
        ),
        (
            "POST",
            "/v1/sandboxes",
            json!({"name": "x".repeat(300)}),
            "name",
        ),
        (
            "POST",
            "/v1/sandboxes",
            json!({"image": "a", "template": "b"}),
            "template",
        ),
        (
            "POST",
            "/v1/sandboxes",
            json!({"template_version": 1}),
            "template_version",
        ),
        ("POST", &*commands, json!({}), "argv"),
        (
            "POST",
            &*commands,
            json!({"shell": "a", "stdin": "x"}),
            "stdin",
        ),
        ("GET", "/v1/sandboxes?limit=0", Value::Null, "limit"),
        ("GET", "/v1/sandboxes?limit=501", Value::Null, "limit"),
        ("GET", "/v1/sandboxes?lim=1", Value::Null, "lim"),
        (
            "GET",
            "/v1/sandboxes?cursor=nonsense",
            Value::Null,
            "cursor",
        ),
        ("GET", "/v1/sandboxes?state=asleep", Value::Null, "state"),
        ("GET", "/v1/usage?from=yesterday", Value::Null, "from"),
        ("GET", "/v1/audit?since=x", Value::Null, "since"),
        ("PUT", "/v1/templates/t", json!({}), "body"),
    ] {
        let answer = world.ask(method, target, Some(&world.admin), &body).await;
        assert_eq!(answer.status, 400, "{target} {body} {answer:?}");
        assert_eq!(
            answer.json()["error"]["details"]["field"],
            field,
            "{target} {body}"
        );
    }
}

#[tokio::test]
async fn texts_that_are_no_ids_name_nothing() {
    let world = World::new().await;
    for (target, code) in [
        ("/v1/sandboxes/x", "sandbox_not_found"),
        ("/v1/sandboxes/..%2F..", "sandbox_not_found"),
        ("/v1/commands/sbx_1", "command_not_found"),
        ("/v1/projects/%00", "project_not_found"),
        ("/v1/images/no-such-image", "image_not_found"),
        ("/v1/templates/no-such-template", "template_not_found"),
        ("/v1/nowhere", "route_not_found"),
    ] {
        let answer = world
            .ask("GET", target, Some(&world.owner), &Value::Null)
            .await;
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(answer.code(), code, "{target}");
    }
}

#[tokio::test]
async fn a_stream_of_an_ended_command_closes_behind_its_end() {
    let world = World::new().await;
    let target = format!("/v1/commands/{}/stream", world.command);
    let answer = world
        .ask("GET", &target, Some(&world.owner), &Value::Null)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let text = String::from_utf8(answer.body).expect("text");
    assert!(text.starts_with("event: end\nid: 1\ndata: {"), "{text}");
    let data = text
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("data");
    let record: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(record["command"]["exit_code"], 3);
    assert_eq!(record["command"]["state"], "exited");
}

#[tokio::test]
async fn a_key_is_shown_once_works_and_stops_working() {
    let world = World::new().await;
    let wanted = json!({"name": "n", "role": "member", "kind": "agent"});
    let made = world
        .ask("POST", "/v1/keys", Some(&world.admin), &wanted)
        .await;
    assert_eq!(made.status, 201);
    assert_eq!(made.headers["cache-control"], "no-store");
    let (made, id) = (made.json(), made.json()["key"]["id"].clone());
    let secret = made["secret"].as_str().expect("a secret");
    let me = world
        .ask("GET", "/v1/whoami", Some(secret), &Value::Null)
        .await
        .json();
    assert_eq!((&me["key_id"], &me["role"]), (&id, &json!("member")));
    let listed = world
        .ask("GET", "/v1/keys", Some(&world.admin), &Value::Null)
        .await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(secret));
    let target = format!("/v1/keys/{}", id.as_str().expect("an id"));
    let revoked = world
        .ask("DELETE", &target, Some(&world.admin), &Value::Null)
        .await;
    assert!(revoked.json()["revoked_at"].is_string());
    let refused = world
        .ask("GET", "/v1/whoami", Some(secret), &Value::Null)
        .await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_quota_is_changed_field_by_field() {
    let world = World::new().await;
    let target = format!("/v1/projects/{}", world.project);
    let change = json!({"quota": {"vcpu": 2.5, "live_sandboxes": null, "object_bytes": 5}});
    let project = world
        .ask("PATCH", &target, Some(&world.admin), &change)
        .await
        .json();
    let quota = json!(
        {"vcpu": 2.5, "live_sandboxes": null, "memory_mib": null, "object_bytes": 5}
    );
    assert_eq!(project["quota"], quota);
}

#[tokio::test]
async fn the_same_idempotency_key_makes_one_sandbox_and_another_request_is_a_conflict() {
    let world = World::new().await;
    let ask = |body: Value| {
        let world = &world;
        async move {
            let request = axum::http::Request::post("/v1/sandboxes")
                .header("authorization", format!("Bearer {}", world.owner))
                .header("content-type", "application/json")
                .header("idempotency-key", "order-66")
                .body(axum::body::Body::from(body.to_string()))
                .expect("a request");
            let answer = tower::ServiceExt::oneshot(world.router(), request).await;
            let answer = answer.expect("infallible");
            let replay = answer.headers().contains_key("idempotent-replay");
            (answer.status().as_u16(), replay)
        }
    };
    let wanted = json!({"wait": false, "name": "one"});
    assert_eq!(ask(wanted.clone()).await, (201, false));
    assert_eq!(ask(wanted).await, (200, true));
    assert_eq!(
        ask(json!({"wait": false, "name": "two"})).await,
        (409, false)
    );
}

#[tokio::test]
async fn the_documentation_page_is_complete_in_itself() {
    let world = World::new().await;
    let page = world.ask("GET", "/docs", None, &Value::Null).await;
    let text = String::from_utf8(page.body).expect("text");
    assert!(!text.contains("://"), "the page asks somewhere else");
    assert!(page.headers.contains_key("content-security-policy"));
}

#[tokio::test]
async fn metrics_are_for_admins_and_health_for_everybody() {
    let world = World::new().await;
    let metrics = world
        .ask("GET", "/metrics", Some(&world.admin), &Value::Null)
        .await;
    assert_eq!(metrics.body, b"pinfold_up 1\n");
    let health = world
        .ask("GET", "/healthz", None, &Value::Null)
        .await
        .json();
    assert_eq!(
        (&health["status"], &health["isolation"]),
        (&json!("ok"), &json!("namespace"))
    );
}
