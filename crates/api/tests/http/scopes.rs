//! Every route with a key of every scope, and nothing else.

use serde_json::json;

use crate::access::{Stranger, case};
use crate::document::{Operation, operations};
use crate::world::World;

/// What a key has to be allowed for an operation, by what its path and method say.
fn scope(operation: &Operation) -> Option<(&'static str, &'static str)> {
    let path = operation
        .path
        .strip_prefix("/v1/")
        .unwrap_or(&operation.path);
    let kind = path.split('/').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let resource = match (kind, last) {
        ("whoami" | "isolation" | "signed" | "openapi.json" | "/docs" | "/healthz", _) => {
            return None;
        }
        ("sandboxes", "snapshot") => "snapshots",
        ("sandboxes" | "commands" | "contexts" | "code" | "previews" | "pipeline-runs", _) => {
            "sandboxes"
        }
        ("images" | "image-pulls" | "builds" | "templates", _) => "images",
        ("objects", _) => "objects",
        ("secrets", _) => "secrets",
        ("network-policies", _) => "network_policies",
        ("keys" | "projects" | "usage" | "audit", _) => "account",
        _ if path == "/metrics" => "account",
        _ => panic!("{operation:?} has no scope: say which it needs"),
    };
    // A URL for downloading changes nothing. A terminal is asked for by upgrading the connection, which
    // this test does not: up to there it only looks.
    let reads = operation.method == "get" || last == "url";
    Some((resource, if reads { "read" } else { "write" }))
}

#[tokio::test]
async fn every_route_asks_for_one_scope_and_no_other_will_do() {
    const RESOURCES: [&str; 8] = [
        "sandboxes",
        "images",
        "snapshots",
        "objects",
        "secrets",
        "network_policies",
        "axons",
        "account",
    ];
    let world = World::new().await;
    let private = json!({"image": "host"});
    world
        .ask("PUT", "/v1/templates/private", Some(&world.owner), &private)
        .await;
    let mut keys = Vec::new();
    for resource in RESOURCES {
        for level in ["read", "write"] {
            let scope = format!("{resource}:{level}");
            let body = json!({"name": scope, "role": "admin", "scopes": [scope]});
            let made = world
                .ask("POST", "/v1/keys", Some(&world.admin), &body)
                .await;
            assert_eq!(made.status, 201, "{made:?}");
            let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
            keys.push((resource, level, secret));
        }
    }
    // What is allowed to write comes behind all else, and what removes things at the very end.
    let mut writes = Vec::new();
    for operation in operations() {
        let case = case(&world, &operation.method, &operation.path);
        if matches!(case.stranger, Stranger::Public | Stranger::Signed) {
            continue;
        }
        let need = scope(&operation);
        for (resource, level, secret) in &keys {
            let fits = |(kind, least)| *resource == kind && (*level == least || *level == "write");
            let allowed = need.is_none_or(fits);
            if allowed && operation.method != "get" {
                writes.push((operation.clone(), secret.clone()));
                continue;
            }
            let answer = world
                .ask(&operation.upper(), &case.target, Some(secret), &case.body)
                .await;
            let denied = answer.status == 403 && answer.code() == "permission_denied";
            assert_eq!(
                denied, !allowed,
                "{operation:?} {resource}:{level} {answer:?}"
            );
        }
    }
    // What a route touches beside its own kind of things.
    let copy = json!({"sandbox_id": world.sandbox.as_str(), "path": "/a"});
    let objects = keys
        .iter()
        .find(|key| (key.0, key.1) == ("objects", "write"));
    let (_, _, secret) = objects.expect("made above");
    let copied = world.ask("POST", "/v1/objects", Some(secret), &copy).await;
    assert!(
        copied.status == 403 && copied.code() == "permission_denied",
        "{copied:?}"
    );
    writes.sort_by_key(|(operation, _)| operation.method == "delete");
    for (operation, secret) in writes {
        let mut case = case(&world, &operation.method, &operation.path);
        if operation.path == "/v1/keys" {
            // Without scopes it would be wider than its maker.
            case.body["scopes"] = json!(["account:read"]);
        }
        let answer = world
            .ask(&operation.upper(), &case.target, Some(&secret), &case.body)
            .await;
        assert_ne!(answer.status, 403, "{operation:?} {answer:?}");
    }
}
