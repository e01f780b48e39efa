//! The OpenAPI document against the router: each has what the other has.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::World;

/// One method of one path, as the document describes it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Lower case.
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) admin: bool,
}

impl Operation {
    pub(crate) fn upper(&self) -> String {
        self.method.to_uppercase()
    }
}

fn document() -> Value {
    serde_json::from_slice(&pinfold_api::document_json()).expect("JSON")
}

pub(crate) fn operations() -> Vec<Operation> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let operations: Vec<Operation> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("operations").iter();
            methods.map(|(method, operation)| Operation {
                method: method.clone(),
                path: path.clone(),
                admin: operation["x-pinfold-role"] == "admin",
            })
        })
        .collect();
    assert!(operations.len() > 50, "the document is empty");
    operations
}

/// Paths of the router, which axum shows in its debug form only.
fn routed_paths(world: &World) -> BTreeSet<String> {
    let debug = format!("{:?}", world.router());
    debug
        .split('"')
        .filter(|text| text.starts_with('/'))
        // The fallback's own two.
        .filter(|text| *text != "/" && !text.contains("{*__private"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_document_and_the_router_have_the_same_routes() {
    let world = World::new().await;
    let described: BTreeSet<String> = operations().into_iter().map(|o| o.path).collect();
    let routed = routed_paths(&world);
    assert_eq!(routed, described);
    let root = world
        .ask("GET", "/", Some(&world.admin), &Value::Null)
        .await;
    assert_eq!(root.code(), "route_not_found");
    for path in &described {
        // No route has TRACE, so the answer lists the methods that there are.
        let target = path.replace(['{', '}'], "");
        let answer = world
            .ask("TRACE", &target, Some(&world.admin), &Value::Null)
            .await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.headers["allow"].to_str().expect("text");
        let allowed: BTreeSet<String> = allowed
            .split(',')
            .map(|method| method.trim().to_lowercase())
            .filter(|method| method != "head")
            .collect();
        let methods = operations().into_iter().filter(|o| o.path == *path);
        let methods: BTreeSet<String> = methods.map(|o| o.method).collect();
        assert_eq!(allowed, methods, "{path}");
    }
}

#[test]
fn operations_have_ids_of_their_own_and_every_error_is_described() {
    let document = document();
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
    let mut ids = BTreeSet::new();
    for operation in operations() {
        let described = &document["paths"][&operation.path][&operation.method];
        let id = described["operationId"].as_str().expect("an id").to_owned();
        assert!(ids.insert(id), "{operation:?} shares its id");
        let error = &described["responses"]["default"]["content"]["application/json"]["schema"];
        assert_eq!(
            error["$ref"], "#/components/schemas/ErrorEnvelope",
            "{operation:?}"
        );
        assert!(
            described["summary"].is_string(),
            "{operation:?} says nothing"
        );
    }
}

/// Collects every `$ref` in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(target) if name == "$ref" => drop(found.insert(target.to_owned())),
                    _ => references(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').expect("a local reference");
        assert!(
            document.pointer(pointer).is_some(),
            "{target} leads nowhere"
        );
    }
}

#[test]
fn a_body_may_be_left_out_where_all_its_fields_may() {
    let document = document();
    let required = |path: &str, method: &str| {
        document["paths"][path][method]["requestBody"]["required"].as_bool()
    };
    assert_eq!(required("/v1/sandboxes", "post"), Some(false));
    assert_eq!(required("/v1/projects/{project_id}", "patch"), Some(false));
    assert_eq!(required("/v1/projects", "post"), Some(true));
}
