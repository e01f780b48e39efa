//! The vendor's limits and defaults at their edges.

use super::*;
use serde_json::json;

fn create(body: Value) -> Result<CreateSandbox, Refused> {
    create_sandbox(serde_json::from_value(body).expect("the wire's types"))
}

fn word<T: std::fmt::Debug>(result: Result<T, Refused>) -> Word {
    result.expect_err("refused").word()
}

#[test]
fn an_empty_create_has_the_vendors_defaults() {
    let made = create(json!({})).expect("fine");
    assert_eq!(made.ttl, Some(Duration::from_secs(3600)));
    assert_eq!(made.workdir.as_deref(), Some("/workspace"));
    assert!(matches!(made.from, ImageOrTemplate::Template { template, .. } if template == "base"));
}

#[test]
fn lifetimes_are_positive_and_bounded() {
    assert!(create(json!({"ttlMs": 1})).is_ok());
    assert!(create(json!({"ttlMs": 3_600_000})).is_ok());
    assert_eq!(word(create(json!({"ttlMs": 0}))), Word::InvalidRequest);
    assert_eq!(word(create(json!({"ttlMs": -1}))), Word::InvalidRequest);
    assert_eq!(
        word(create(json!({"ttlMs": 3_600_001}))),
        Word::SandboxTtlExceeded
    );
    let hours = |hours: i64| {
        extend(&wire::ExtendSandbox {
            ttl_ms: hours * 3_600_000,
        })
    };
    assert!(hours(168).is_ok());
    assert_eq!(word(hours(169)), Word::SandboxTtlExceeded);
}

#[test]
fn metadata_is_bounded_in_each_of_its_ways() {
    let of = |metadata: Value| create(json!({"metadata": metadata}));
    let many = |n: usize| Value::Object((0..n).map(|i| (format!("k{i}"), json!("v"))).collect());
    assert!(of(many(16)).is_ok());
    assert_eq!(word(of(many(17))), Word::MetadataTooManyKeys);
    assert!(of(json!({"k".repeat(64): "v"})).is_ok());
    assert_eq!(
        word(of(json!({"k".repeat(65): "v"}))),
        Word::InvalidMetadataKey
    );
    assert_eq!(word(of(json!({"": "v"}))), Word::InvalidMetadataKey);
    assert!(of(json!({"k": "ü".repeat(512)})).is_ok());
    assert_eq!(
        word(of(json!({"k": "v".repeat(513)}))),
        Word::InvalidMetadataValue
    );
    assert_eq!(word(of(json!({"k": 1}))), Word::InvalidMetadataValue);
    let large: Map<_, _> = (0..9)
        .map(|i| (format!("k{i}"), json!("v".repeat(500))))
        .collect();
    assert_eq!(word(of(Value::Object(large))), Word::MetadataTooLarge);
}

fn run(body: Value) -> Result<CommandSpec, Refused> {
    run_command(serde_json::from_value(body).expect("the wire's types"))
}

#[test]
fn commands_have_a_timeout_within_the_vendors_bounds() {
    let timeout = |millis: i64| run(json!({"command": "true", "timeoutMs": millis}));
    assert_eq!(
        run(json!({"command": "true"})).expect("fine").timeout,
        Some(Duration::from_secs(60))
    );
    assert!(timeout(1).is_ok() && timeout(600_000).is_ok());
    assert_eq!(word(timeout(0)), Word::InvalidRequest);
    assert_eq!(word(timeout(600_001)), Word::InvalidRequest);
    assert_eq!(word(timeout(-5)), Word::InvalidRequest);
}

#[test]
fn reserved_names_are_refused_and_values_are_secret() {
    let env = |key: &str| run(json!({"command": "true", "env": {key: "hunter2"}}));
    for key in ["CROWNEST", "CROWNEST_API_KEY", "CROWNESTX"] {
        assert_eq!(word(env(key)), Word::ReservedEnvKey);
    }
    let spec = env("crownest").expect("another name");
    assert!(spec.env.is_empty() && !format!("{spec:?}").contains("hunter2"));
}

#[test]
fn start_takes_nothing_to_collect() {
    let start = |body: Value| start_command(serde_json::from_value(body).expect("types"));
    for body in [
        json!({"command": "true", "collect": []}),
        json!({"command": "true", "collectOn": "always"}),
    ] {
        assert_eq!(word(start(body)), Word::InvalidRequest);
    }
    assert!(start(json!({"command": "true", "_crownestRequireCommandRead": true})).is_ok());
    let never = run(json!({"command": "true", "collectOn": "never"}));
    assert_eq!(word(never), Word::InvalidRequest);
}

#[test]
fn files_are_bounded_by_their_decoded_bytes() {
    let write = |content: &str, encoding: &str| {
        let body = json!({"path": "a", "content": content, "encoding": encoding});
        write_file(serde_json::from_value(body).expect("types"))
    };
    let fits = "é".repeat(FILE_MAX_BYTES / 2);
    assert!(write(&fits, "utf8").is_ok());
    assert_eq!(word(write(&format!("{fits}x"), "utf8")), Word::FileTooLarge);
    let bytes = |n: usize| BASE64.encode(vec![0; n]);
    assert!(write(&bytes(FILE_MAX_BYTES), "base64").is_ok());
    assert_eq!(
        word(write(&bytes(FILE_MAX_BYTES + 1), "base64")),
        Word::FileTooLarge
    );
    assert_eq!(word(write("%%%", "base64")), Word::InvalidFileEncoding);
    assert_eq!(word(write("a", "latin1")), Word::InvalidFileEncoding);
}

#[test]
fn lists_take_labels_with_dots_and_limits_up_to_a_hundred() {
    let pairs = |pairs: &[(&str, &str)]| {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        list_sandboxes(owned.collect())
    };
    let (filter, page) = pairs(&[("metadata.a.b", "c d"), ("limit", "100")]).expect("fine");
    assert_eq!(filter.metadata["a.b"], "c d");
    assert_eq!(page.limit(), 100);
    assert!(
        matches!(filter.states, States::Only(states) if !states.contains(&SandboxState::Failed))
    );
    for bad in [
        ("limit", "101"),
        ("limit", "0"),
        ("limit", "x"),
        ("cursor", "?"),
        ("include", "all"),
    ] {
        assert_eq!(word(pairs(&[bad])), Word::InvalidRequest, "{bad:?}");
    }
}

#[test]
fn there_are_no_backups_to_restore() {
    let restored = create(json!({"restoreFrom": "bkp_1"}));
    assert_eq!(word(restored), Word::FeatureNotEnabled);
}
