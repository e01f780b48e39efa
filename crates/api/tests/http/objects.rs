//! Objects over HTTP: bodies in and out, parts of them, and URLs that need no key.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::world::{Answer, World};

async fn upload(world: &World, target: &str, bytes: &[u8]) -> Answer {
    let request = Request::post(format!("/v1/objects/upload?{target}"))
        .header("authorization", format!("Bearer {}", world.owner))
        .header("content-length", bytes.len())
        .body(Body::from(bytes.to_vec()));
    world.send(request.expect("a request")).await
}

/// With the headers given, and a key only where there is one among them.
async fn ask(world: &World, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    world.send(request).await
}

/// The path of a signed URL, which has to be below the host that the request named.
async fn signed(world: &World, target: &str, body: &Value) -> String {
    let request = Request::post(target)
        .header("authorization", format!("Bearer {}", world.owner))
        .header("content-type", "application/json")
        .header("host", "box.example:7070")
        .body(Body::from(body.to_string()));
    let answer = world.send(request.expect("a request")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let url = answer.json()["url"].as_str().expect("a URL").to_owned();
    url.strip_prefix("http://box.example:7070")
        .expect("the host of the request")
        .to_owned()
}

#[tokio::test]
async fn a_body_comes_back_whole_in_part_and_by_its_facts() {
    let world = World::new().await;
    let made = upload(
        &world,
        "name=out%2Fr%C3%A9sum%C3%A9.csv&metadata.team=a+b",
        b"0123456789",
    )
    .await;
    assert_eq!(made.status, 201, "{made:?}");
    let object = made.json();
    assert_eq!(object["state"], "sealed");
    assert_eq!(object["content_type"], "text/csv");
    assert_eq!(object["metadata"]["team"], "a b");
    assert_eq!(object["size_bytes"], 10);
    let digest = object["digest"].as_str().expect("a digest");
    let id = object["id"].as_str().expect("an id");
    let content = format!("/v1/objects/{id}/content");
    let bearer = format!("Bearer {}", world.owner);
    let key = ("authorization", bearer.as_str());

    let whole = ask(&world, "GET", &content, &[key]).await;
    assert_eq!(
        (whole.status.as_u16(), &*whole.body),
        (200, &b"0123456789"[..])
    );
    assert_eq!(whole.headers["content-type"], "text/csv");
    assert_eq!(whole.headers["etag"], format!("\"{digest}\""));
    assert_eq!(whole.headers["x-content-type-options"], "nosniff");
    let disposition = whole.headers["content-disposition"].to_str().expect("text");
    assert!(disposition.starts_with("attachment; "), "{disposition}");
    assert!(
        disposition.ends_with("filename*=UTF-8''r%C3%A9sum%C3%A9.csv"),
        "{disposition}"
    );

    let part = ask(&world, "GET", &content, &[key, ("range", "bytes=-3")]).await;
    assert_eq!((part.status.as_u16(), &*part.body), (206, &b"789"[..]));
    assert_eq!(part.headers["content-range"], "bytes 7-9/10");
    let behind = ask(&world, "GET", &content, &[key, ("range", "bytes=10-")]).await;
    assert_eq!(behind.status, 416);
    assert_eq!(behind.headers["content-range"], "bytes */10");
    let other = [key, ("range", "bytes=1-"), ("if-range", "\"sha256:0\"")];
    assert_eq!(ask(&world, "GET", &content, &other).await.status, 200);
    let head = ask(&world, "HEAD", &content, &[key]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "10");
}

#[tokio::test]
async fn faults_of_an_upload_name_what_is_wrong() {
    let world = World::new().await;
    for (query, field) in [
        ("", "name"),
        ("name=", "name"),
        ("name=a&content_type=x", "content_type"),
        ("name=a&retention_ms=0", "retention"),
        ("name=a&nme=b", "nme"),
        ("name=a&metadata.=b", "metadata"),
        ("name=a&metadata.k=1&metadata.k=2", "metadata.k"),
    ] {
        let answer = upload(&world, query, b"x").await;
        assert_eq!(answer.status, 400, "{query} {answer:?}");
        let details = &answer.json()["error"]["details"];
        if query.is_empty() {
            continue;
        }
        assert_eq!(details["field"], field, "{query}");
    }
    let owner = Some(&*world.owner);
    for body in [
        json!({"path": "/a"}),
        json!({"sandbox_id": "sbx_1"}),
        json!({"sandbox_id": "x", "path": "/a"}),
        json!({}),
        json!({"name": "a", "extra": 1}),
    ] {
        let answer = world.ask("POST", "/v1/objects", owner, &body).await;
        assert_eq!(answer.status, 400, "{body} {answer:?}");
    }
    let gone = json!({"sandbox_id": world.sandbox.as_str(), "path": "/a"});
    let answer = world.ask("POST", "/v1/objects", owner, &gone).await;
    assert_eq!(answer.code(), "sandbox_failed");
}

#[tokio::test]
async fn a_signed_url_is_for_one_object_and_one_method() {
    let world = World::new().await;
    let one = upload(&world, "name=one", b"first").await.json();
    let two = upload(&world, "name=two", b"second").await.json();
    let target = |object: &Value| format!("/v1/objects/{}/url", object["id"].as_str().expect("id"));
    let url = signed(&world, &target(&one), &json!({})).await;
    let other = signed(&world, &target(&two), &json!({"expires_in_ms": 1000})).await;
    for _ in 0..2 {
        let read = ask(&world, "GET", &url, &[]).await;
        assert_eq!((read.status.as_u16(), &*read.body), (200, &b"first"[..]));
    }
    let part = ask(&world, "GET", &url, &[("range", "bytes=1-2")]).await;
    assert_eq!((part.status.as_u16(), &*part.body), (206, &b"ir"[..]));
    let head = ask(&world, "HEAD", &url, &[]).await;
    assert_eq!(head.headers["content-length"], "5");
    assert_eq!(ask(&world, "PUT", &url, &[]).await.code(), "link_invalid");

    // A claim of one under the proof of the other, and texts that are neither.
    let claim = url.rsplit_once('.').expect("a dot").0;
    let proof = other.rsplit_once('.').expect("a dot").1;
    for forged in [
        format!("{claim}.{proof}"),
        claim.to_owned(),
        format!("{url}A"),
        "/v1/signed/a.b".to_owned(),
    ] {
        let answer = ask(&world, "GET", &forged, &[]).await;
        assert_eq!(answer.code(), "link_invalid", "{forged}");
    }
    let id = one["id"].as_str().expect("id");
    let owner = Some(&*world.owner);
    let deleted = world
        .ask("DELETE", &format!("/v1/objects/{id}"), owner, &Value::Null)
        .await;
    assert_eq!(deleted.json()["state"], "deleted");
    let gone = ask(&world, "GET", &url, &[]).await;
    assert_eq!(
        (gone.status.as_u16(), gone.code().as_str()),
        (410, "object_gone")
    );
    for expires_in_ms in [0, 1, 8 * 24 * 3_600_000_u64] {
        let body = json!({"expires_in_ms": expires_in_ms});
        let answer = world.ask("POST", &target(&two), owner, &body).await;
        assert_eq!(answer.code(), "invalid_argument", "{expires_in_ms}");
    }
    let word = json!({"use": "borrow"});
    let answer = world.ask("POST", &target(&two), owner, &word).await;
    assert_eq!(answer.json()["error"]["details"]["field"], "use");
}

#[tokio::test]
async fn an_upload_url_takes_the_content_without_a_key() {
    let world = World::new().await;
    let owner = Some(&*world.owner);
    let id = world.object.as_str();
    let url = signed(
        &world,
        &format!("/v1/objects/{id}/url"),
        &json!({"use": "upload"}),
    )
    .await;
    let put = Request::put(&url)
        .body(Body::from("content"))
        .expect("a request");
    let put = world.send(put).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(put.json()["state"], "uploading");
    assert_eq!(ask(&world, "GET", &url, &[]).await.code(), "link_invalid");
    let complete = format!("/v1/objects/{id}/complete");
    for _ in 0..2 {
        let sealed = world.ask("POST", &complete, owner, &Value::Null).await;
        assert_eq!(sealed.json()["state"], "sealed");
    }
    let late = Request::put(&url)
        .body(Body::from("late"))
        .expect("a request");
    assert_eq!(world.send(late).await.code(), "object_sealed");
}

#[tokio::test]
async fn lists_filter_and_versions_of_templates_are_listed() {
    let world = World::new().await;
    let owner = Some(&*world.owner);
    upload(&world, "name=a", b"1").await;
    upload(&world, "name=b", b"2").await;
    for (query, count) in [
        ("", 3),
        ("?name=a", 1),
        ("?state=sealed", 2),
        ("?state=uploading", 1),
        ("?state=deleted", 0),
        ("?include_deleted=true", 3),
        ("?sandbox_id=sbx_1", 0),
    ] {
        let list = world
            .ask("GET", &format!("/v1/objects{query}"), owner, &Value::Null)
            .await;
        let items = list.json()["items"].as_array().expect("items").len();
        assert_eq!(items, count, "{query}");
    }
    for query in [
        "?state=odd",
        "?sandbox_id=x",
        "?state=sealed&include_deleted=true",
    ] {
        let list = world
            .ask("GET", &format!("/v1/objects{query}"), owner, &Value::Null)
            .await;
        assert_eq!(list.status, 400, "{query}");
    }

    let template = "/v1/templates/python:3.12";
    let recipe = json!({"image": "host"});
    let first = world.ask("PUT", template, owner, &recipe).await.json();
    world.ask("PUT", template, owner, &recipe).await;
    let versions = world
        .ask("GET", &format!("{template}/versions"), owner, &Value::Null)
        .await;
    let numbers: Vec<u64> = versions.json()["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|version| version["version"].as_u64())
        .collect();
    assert_eq!(numbers, [2, 1]);
    let pinned = first["version_id"].as_str().expect("an id");
    let by_id = format!("/v1/templates/{pinned}");
    let found = world.ask("GET", &by_id, owner, &Value::Null).await;
    assert_eq!(found.json(), first);
    let foreign = world
        .ask("GET", &by_id, Some(&world.stranger), &Value::Null)
        .await;
    assert_eq!(foreign.code(), "template_not_found");
    for bad in ["a%20", "%3Aa", "a%3Fb", pinned] {
        let refused = world
            .ask("PUT", &format!("/v1/templates/{bad}"), owner, &recipe)
            .await;
        assert_eq!(refused.code(), "invalid_argument", "{bad}");
    }
}
