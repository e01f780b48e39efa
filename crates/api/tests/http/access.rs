//! Every route with every kind of caller. The routes come from the OpenAPI document: a new one has
//! no case here and fails until it gets one.

use serde_json::{Value, json};

use crate::document::{Operation, operations};
use crate::world::{NOWHERE, SECRET_VALUE, World};

/// What a member of another project gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// The thing does not exist for it.
    NotFound,
    /// Only admins may.
    Forbidden,
    /// Its own project's answer, in which nothing of the other's may be.
    Own,
    /// No key needed.
    Public,
    /// No key needed: the URL itself is the proof, and this one proves nothing.
    Signed,
}

pub(crate) struct Case {
    pub(crate) target: String,
    pub(crate) body: Value,
    pub(crate) stranger: Stranger,
}

/// The case of one operation. Whatever names a thing in its path is about that thing; the others are
/// listed one by one.
pub(crate) fn case(world: &World, method: &str, path: &str) -> Case {
    use Stranger::{Forbidden, NotFound, Own, Public, Signed};
    let target = path
        .replace("{sandbox_id}", world.sandbox.as_str())
        .replace("{command_id}", world.command.as_str())
        .replace("{context_id}", world.context.as_str())
        .replace("{run_id}", world.run.as_str())
        .replace("{pipeline_run_id}", &world.pipeline_run.to_string())
        .replace("{project_id}", world.project.as_str())
        .replace("{key_id}", "key_00000000000000000000000000000000")
        .replace("{preview_id}", world.preview.as_str())
        .replace("{ssh_key_id}", world.ssh_key.as_str())
        .replace("{network_policy_id}", world.network_policy.as_str())
        .replace("{image}", world.image.as_str())
        .replace("{object_id}", world.object.as_str())
        .replace("{pull_id}", world.pull.as_str())
        .replace("{build_id}", world.build.as_str())
        .replace("{token}", "bm90.b3Vycw")
        .replace("{template}", "private")
        .replace("{secret}", if method == "put" { "own" } else { "private" });
    let recipe = json!({"image": "host"});
    let (stranger, body, query) = match (method, path.rsplit('/').next().unwrap_or_default()) {
        _ if path == "/healthz" || path == "/docs" || path == "/v1/openapi.json" => {
            (Public, Value::Null, "")
        }
        _ if path.starts_with("/v1/signed/") => (Signed, Value::Null, ""),
        ("post", "upload") => (Own, Value::Null, "?name=n"),
        ("post", "objects") => (Own, json!({"name": "n"}), ""),
        ("post", "url") if path.starts_with("/v1/objects") => (NotFound, json!({}), ""),
        ("post", "url") => (NotFound, json!({"path": "/a"}), ""),
        ("post", "complete") | ("get" | "put", "content") | ("get" | "delete", "{object_id}") => {
            (NotFound, Value::Null, "")
        }
        // The stranger has set a template of that name by then, its own.
        ("get", "objects" | "versions") => (Own, Value::Null, ""),
        _ if path == "/metrics" => (Forbidden, Value::Null, ""),
        _ if path.starts_with("/v1/keys") && method == "post" => {
            (Forbidden, json!({"name": "n", "role": "member"}), "")
        }
        _ if path.starts_with("/v1/keys") && method == "patch" => {
            (Forbidden, json!({"quota": {"vcpu": null}}), "")
        }
        _ if path.starts_with("/v1/keys") => (Forbidden, Value::Null, ""),
        ("post", "image-pulls") => (Own, json!({"reference": NOWHERE}), ""),
        ("get", "{pull_id}") => (NotFound, Value::Null, ""),
        ("post", "pipeline-runs") => (Own, json!({"markdown": "```bash\ntrue\n```"}), ""),
        ("get", "pipeline-runs" | "builds") => (Own, Value::Null, ""),
        ("post", "builds") => (Own, json!({"name": "n", "dockerfile": "FROM scratch"}), ""),
        ("post", "cancel") if path.starts_with("/v1/builds") => (NotFound, Value::Null, ""),
        ("get" | "delete", "{build_id}") => (NotFound, Value::Null, ""),
        ("post", "cancel") if path.starts_with("/v1/pipeline-runs") => (NotFound, Value::Null, ""),
        ("get", "report" | "{pipeline_run_id}") => (NotFound, Value::Null, ""),
        ("post", "projects") => (Forbidden, json!({"name": "n"}), ""),
        ("patch", "{project_id}") => (Forbidden, json!({"quota": {"vcpu": null}}), ""),
        ("put", "{image}") => (Forbidden, Value::Null, ""),
        (
            "get",
            "projects" | "sandboxes" | "images" | "templates" | "secrets" | "usage" | "audit"
            | "network-policies",
        )
        | ("get", "isolation" | "whoami")
            if !path.contains('{') =>
        {
            (Own, Value::Null, "")
        }
        // Sandboxes boot nowhere here; the answer comes before that.
        ("post", "sandboxes") => (Own, json!({"wait": false}), ""),
        ("put", "{template}") => (Own, recipe, ""),
        ("get", "network") => (NotFound, Value::Null, ""),
        ("put", "network") => (NotFound, json!({"mode": "none"}), ""),
        ("put", "{secret}") => (Own, json!({"value": "its own"}), ""),
        ("post", "commands" | "run") => (NotFound, json!({"argv": ["true"]}), ""),
        ("post", "contexts") => (NotFound, json!({"language": "python"}), ""),
        ("post", "code" | "runs") => (NotFound, json!({"code": "1"}), ""),
        ("post", "snapshot") => (NotFound, json!({}), ""),
        ("post", "extend") => (NotFound, json!({"ttl_ms": 1000}), ""),
        ("post", "cancel") => (NotFound, json!({"mode": "force"}), ""),
        ("post", "resize") => (NotFound, json!({"rows": 1, "cols": 1}), ""),
        ("post", "signal") => (NotFound, json!({"signal": "INT"}), ""),
        ("post", "previews") => (NotFound, json!({"port": 80}), ""),
        ("post", "ssh-keys") => (NotFound, json!({}), ""),
        ("post", "network-policies") => (Own, json!({"name": "n"}), ""),
        ("patch", "{network_policy_id}") => (NotFound, json!({"allow": ["a.example"]}), ""),
        ("get" | "delete", "{network_policy_id}") => (NotFound, Value::Null, ""),
        ("get", "ssh-keys") | ("delete", "{ssh_key_id}") => (NotFound, Value::Null, ""),
        ("post", "mkdir") => (NotFound, json!({"path": "/a"}), ""),
        ("post", "move") => (NotFound, json!({"from": "/a", "to": "/b"}), ""),
        ("post", "chmod") => (NotFound, json!({"path": "/a", "mode": "0644"}), ""),
        ("get" | "put" | "delete", "files" | "stat" | "list" | "archive" | "watch") => {
            (NotFound, Value::Null, "?path=%2Fa")
        }
        ("get", "wait") => (NotFound, Value::Null, "?timeout_ms=1"),
        (
            "post",
            "restart" | "interrupt" | "suspend" | "resume" | "stop" | "start" | "stdin" | "close",
        )
        | ("get", "contexts" | "{run_id}")
        | ("get" | "delete", "{context_id}")
        | ("get", "previews")
        | ("post", "links")
        | ("get" | "delete", "{preview_id}")
        | ("get", "commands" | "export" | "usage" | "logs" | "stream" | "output" | "pty")
        | ("get" | "delete", "{sandbox_id}" | "{command_id}" | "{project_id}")
        | ("get" | "delete", "{image}" | "{template}" | "{secret}") => (NotFound, Value::Null, ""),
        _ => panic!("{method} {path} has no case: say who may call it"),
    };
    Case {
        target: format!("{target}{query}"),
        body,
        stranger,
    }
}

#[tokio::test]
async fn every_route_refuses_callers_without_a_valid_key() {
    let world = World::new().await;
    for operation in operations() {
        let case = case(&world, &operation.method, &operation.path);
        for key in [None, Some("pfk_wrong")] {
            let answer = world
                .ask(&operation.upper(), &case.target, key, &case.body)
                .await;
            if case.stranger == Stranger::Public {
                assert_eq!(answer.status, 200, "{operation:?}");
                continue;
            }
            if case.stranger == Stranger::Signed {
                assert_eq!(answer.status, 403, "{operation:?}");
                assert_eq!(answer.code(), "link_invalid");
                continue;
            }
            assert_eq!(answer.status, 401, "{operation:?} {key:?}");
            assert_eq!(answer.code(), "unauthenticated");
            assert!(answer.headers.contains_key("x-request-id"));
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn every_route_hides_other_projects_and_keeps_admins_work_to_admins() {
    let world = World::new().await;
    let private = json!({"image": "host"});
    let made = world
        .ask("PUT", "/v1/templates/private", Some(&world.owner), &private)
        .await;
    assert_eq!(made.status, 200, "{made:?}");
    let secrets = [
        world.sandbox.as_str(),
        world.command.as_str(),
        world.context.as_str(),
        world.run.as_str(),
        world.project.as_str(),
        world.image.as_str(),
        world.preview.as_str(),
        world.ssh_key.as_str(),
        world.network_policy.as_str(),
        world.object.as_str(),
        world.pull.as_str(),
        world.build.as_str(),
        SECRET_VALUE,
    ];
    for operation in operations() {
        let case = case(&world, &operation.method, &operation.path);
        let key = Some(&*world.stranger);
        let answer = world
            .ask(&operation.upper(), &case.target, key, &case.body)
            .await;
        match case.stranger {
            Stranger::Signed => assert_eq!(answer.code(), "link_invalid", "{operation:?}"),
            Stranger::Public => assert_eq!(answer.status, 200, "{operation:?}"),
            Stranger::Forbidden => {
                assert!(operation.admin, "{operation:?} is not described as admins'");
                assert_eq!(answer.status, 403, "{operation:?}");
                assert_eq!(answer.code(), "permission_denied");
            }
            Stranger::NotFound => {
                assert!(!operation.admin, "{operation:?}");
                assert_eq!(answer.status, 404, "{operation:?} {answer:?}");
                assert!(answer.code().ends_with("_not_found"), "{operation:?}");
            }
            Stranger::Own => {
                assert!(!operation.admin, "{operation:?}");
                assert!(answer.status.is_success(), "{operation:?} {answer:?}");
                let text = String::from_utf8_lossy(&answer.body);
                for secret in secrets {
                    assert!(
                        !text.contains(secret),
                        "{operation:?} shows {secret}: {text}"
                    );
                }
            }
        }
    }
}

/// Otherwise the 404s above could come from anything.
#[tokio::test]
async fn what_strangers_do_not_find_is_there_for_its_owner() {
    let world = World::new().await;
    let private = json!({"image": "host"});
    world
        .ask("PUT", "/v1/templates/private", Some(&world.owner), &private)
        .await;
    let mut hidden: Vec<(Operation, Case)> = operations()
        .into_iter()
        .map(|operation| {
            let case = case(&world, &operation.method, &operation.path);
            (operation, case)
        })
        .filter(|(_, case)| case.stranger == Stranger::NotFound)
        .collect();
    // What removes things others look at comes last; an image goes after the sandboxes made of it.
    hidden.sort_by_key(|(operation, _)| {
        (
            operation.method == "delete",
            operation.path.matches('/').count(),
            operation.path.clone(),
        )
    });
    for (operation, case) in hidden {
        let key = Some(&*world.owner);
        let answer = world
            .ask(&operation.upper(), &case.target, key, &case.body)
            .await;
        assert_ne!(answer.status, 404, "{operation:?} {answer:?}");
        assert_ne!(answer.status, 500, "{operation:?} {answer:?}");
    }
}
