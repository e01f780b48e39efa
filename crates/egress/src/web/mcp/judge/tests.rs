//! Messages that go on, and every way to smuggle one that should not.

use super::*;
use pinfold_model::gateway::ToolPattern;

fn tools(patterns: &[&str]) -> Tools {
    let patterns = patterns
        .iter()
        .map(|text| ToolPattern::try_from((*text).to_owned()));
    let patterns: Result<Vec<_>, _> = patterns.collect();
    Tools::new("github-readonly", patterns.expect("patterns"))
}

fn judged(body: &str) -> Judged {
    judge(body.as_bytes(), &tools(&["search_*"]))
}

fn refused(body: &str) -> Value {
    match judged(body) {
        Judged::Answer(_, answer) => answer,
        Judged::Pass { .. } => panic!("{body} goes on"),
    }
}

fn call(tool: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}

const PASSES: Judged = Judged::Pass { lists: false };

#[test]
fn allowed_tools_are_called_and_others_are_refused_with_their_id() {
    assert_eq!(judged(&call("search_code")), PASSES);
    let Judged::Answer(status, answer) = judged(&call("delete_repo")) else {
        panic!("it goes on");
    };
    assert_eq!((status, &answer["id"]), (StatusCode::OK, &json!(1)));
    assert_eq!(answer["error"]["code"], INVALID_PARAMS);
    let words = answer["error"]["message"].as_str().expect("words");
    assert!(words.contains("delete_repo"), "{words}");
    for other in [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"name":"delete_repo"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":"a","result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"search_x","arguments":{"name":"delete_repo","Name":1}}}"#,
    ] {
        assert_eq!(judged(other), PASSES, "{other}");
    }
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(judged(list), Judged::Pass { lists: true });
}

#[test]
fn spellings_that_hide_a_call_are_seen_through_or_refused() {
    for hidden in [
        r#"{"id":1,"method":"tools/c\u0061ll","params":{"name":"delete_repo"}}"#,
        r#"{"id":1,"m\u0065thod":"tools/call","params":{"n\u0061me":"delete_repo"}}"#,
        r#"{"id":1,"method":"Tools/Call","params":{"name":"delete_repo"}}"#,
        r#"{"id":1,"method":"tools/call ","params":{"name":"delete_repo"}}"#,
        r#"{"id":1,"method":"tools/call\u0000","params":{"name":"delete_repo"}}"#,
        r#"{"id":1,"method":["tools/call"],"params":{"name":"delete_repo"}}"#,
        // Twice: of the first and of the last.
        r#"{"id":1,"method":"tools/call","params":{"name":"search_x","name":"delete_repo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"delete_repo","name":"search_x"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"search_x","n\u0061me":"delete_repo"}}"#,
        r#"{"id":1,"method":"ping","method":"tools/call","params":{"name":"delete_repo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"search_x"},"params":{"name":"delete_repo"}}"#,
        // For readers that do not tell case apart.
        r#"{"id":1,"method":"ping","Method":"tools/call","params":{"name":"delete_repo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"search_x","Name":"delete_repo"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"Name":"search_x"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"search_x"},"PARAMS":{"name":"delete_repo"}}"#,
        // Not named as a text, or not at all.
        r#"{"id":1,"method":"tools/call","params":{"name":["search_x"]}}"#,
        r#"{"id":1,"method":"tools/call","params":["search_x"]}"#,
        r#"{"id":1,"method":"tools/call"}"#,
        // Not JSON to every reader.
        r#"{"id":1,"method":"ping"}{"id":1,"method":"tools/call","params":{"name":"delete_repo"}}"#,
        "\u{feff}{\"id\":1,\"method\":\"ping\"}",
        r#"{"id":1,"method":"ping",}"#,
        r#"{"id":NaN,"method":"ping"}"#,
        r#"{"id":1,"method":"ping\ud800"}"#,
        "\"tools/call\"",
        "",
    ] {
        assert!(refused(hidden)["error"]["code"].is_number(), "{hidden}");
    }
    assert!(matches!(
        judge(b"{\"id\":1,\"method\":\"ping\xff\"}", &tools(&["*"])),
        Judged::Answer(StatusCode::BAD_REQUEST, _)
    ));
}

#[test]
fn a_batch_goes_on_whole_or_not_at_all_and_every_request_of_it_is_answered() {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    let good = format!("[{ping},{note},{}]", call("search_x"));
    assert_eq!(judged(&good), PASSES);
    let list = r#"{"id":1,"method":"tools/list"}"#;
    assert_eq!(
        judged(&format!("[{ping},{list}]")),
        Judged::Pass { lists: true }
    );
    // The same id twice changes nothing: each message is judged by itself.
    let bad = format!(
        "[{ping},{note},{},{}]",
        call("delete_repo"),
        call("search_x")
    );
    let answers = refused(&bad);
    let codes: Vec<_> = answers
        .as_array()
        .expect("a batch")
        .iter()
        .map(|a| a["error"]["code"].clone())
        .collect();
    assert_eq!(
        codes,
        [INVALID_REQUEST, INVALID_PARAMS, INVALID_REQUEST].map(Value::from)
    );
    assert!(refused("[]")["error"].is_object());
    let nested = format!("[[{}]]", call("search_x"));
    assert!(refused(&nested)[0]["error"].is_object());
    let many = format!("[{}]", vec![ping; BATCH_MAX + 1].join(","));
    assert!(refused(&many)["error"].is_object());
}

#[test]
fn depth_is_bounded() {
    let deep = format!(
        r#"{{"id":1,"method":"ping","params":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(refused(&deep)["error"].is_object());
}
