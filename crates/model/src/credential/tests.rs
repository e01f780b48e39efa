//! Hostile hosts, headers and formats; which credential goes where.

use super::*;
use proptest::prelude::*;

fn credential(secret: &str, host: &str, header: &str) -> Credential {
    Credential::new(secret, host, Some(header), None).expect("valid")
}

fn destination(text: &str) -> Destination {
    text.parse().expect("valid")
}

#[test]
fn a_destination_is_exactly_what_it_says() {
    let one = destination("API.Example.com");
    assert_eq!(one.to_string(), "api.example.com");
    for (host, port, there) in [
        ("api.example.com", 443, true),
        ("API.EXAMPLE.COM.", 443, true),
        ("api.example.com", 80, false),
        ("api.example.com", 8443, false),
        ("example.com", 443, false),
        ("x.api.example.com", 443, false),
        ("api.example.com.evil.net", 443, false),
        ("evilapi.example.com", 443, false),
        ("api.example.com..", 443, false),
        ("api.example.com\0", 443, false),
        ("", 443, false),
    ] {
        assert_eq!(one.includes(host, port), there, "{host}:{port}");
    }
    let below = destination("*.example.com:8443");
    assert_eq!(below.to_string(), "*.example.com:8443");
    for (host, port, there) in [
        ("a.example.com", 8443, true),
        ("a.b.EXAMPLE.com", 8443, true),
        ("a.example.com", 443, false),
        ("example.com", 8443, false),
        (".example.com", 8443, false),
        ("aexample.com", 8443, false),
        ("a.example.com.evil.net", 8443, false),
        ("éexample.com", 8443, false),
    ] {
        assert_eq!(below.includes(host, port), there, "{host}:{port}");
    }
}

#[test]
fn what_is_no_name_is_no_destination() {
    let long = format!("{}.com", "a.".repeat(125));
    let label = format!("{}.com", "a".repeat(64));
    for bad in [
        "",
        "*",
        "*.",
        "*.com",
        "*.*.com",
        "a.*.com",
        "*example.com",
        "**.example.com",
        "127.0.0.1",
        "10.1",
        "0x7f.1",
        "1",
        "a.0x7f",
        "[::1]",
        "::1",
        "a..b",
        ".a",
        "a.",
        "-a.com",
        "a-.com",
        "a_b.com",
        "a b.com",
        "a.com/",
        "a.com/x",
        "http://a.com",
        "u@a.com",
        "a.com:",
        "a.com:0",
        "a.com:65536",
        "a.com:+1",
        "a.com:1:2",
        "a.com: 1",
        "a.com:١",
        "bücher.de",
        "a.com\n",
        "a\0.com",
        "a.com?",
        "a.com#",
        "a.com%00",
        &long,
        &label,
    ] {
        assert!(bad.parse::<Destination>().is_err(), "{bad:?}");
    }
}

#[test]
fn headers_that_cut_or_route_a_message_are_refused() {
    for good in [
        "Authorization",
        "x-api-key",
        "X-Goog-Api-Key",
        "cookie",
        "private-token",
    ] {
        let made = credential("s", "a.com", good);
        assert_eq!(made.header(), good.to_ascii_lowercase());
    }
    let long = "x".repeat(65);
    for bad in [
        "",
        "Host",
        "host",
        "Content-Length",
        "transfer-encoding",
        "TE",
        "Connection",
        "keep-alive",
        "Upgrade",
        "Trailer",
        "Proxy-Authorization",
        "proxy-connection",
        "X-Forwarded-For",
        "forwarded",
        "via",
        "expect",
        "http2-settings",
        "sec-websocket-key",
        ":authority",
        "a b",
        "a:b",
        "a\r\nb",
        "a\0",
        "é",
        " a",
        "a ",
        &long,
    ] {
        assert!(
            Credential::new("s", "a.com", Some(bad), None).is_err(),
            "{bad:?}"
        );
    }
}

#[test]
fn formats_have_one_place_for_the_value() {
    for (format, text) in [
        ("Bearer {}", "Bearer v"),
        ("{}", "v"),
        ("token={}; x", "token=v; x"),
        ("{{}}", "{v}"),
        ("}{{}{", "}{v{"),
    ] {
        let made = Credential::new("s", "a.com", None, Some(format.into())).expect("valid");
        let value = SecretValue::new("v".to_owned()).expect("valid");
        assert_eq!(*made.header_value(&value), text, "{format:?}");
    }
    let long = format!("{}{{}}", "x".repeat(255));
    for bad in [
        "",
        "Bearer",
        "{}{}",
        "{} {}",
        "{ }",
        "{0}",
        "Bearer {}\r\nx: y",
        "a\0{}",
        "a\t{}",
        "é{}",
        " {}",
        "{} ",
        &long,
    ] {
        assert!(
            Credential::new("s", "a.com", None, Some(bad.into())).is_err(),
            "{bad:?}"
        );
    }
}

#[test]
fn a_value_is_not_looked_through_for_the_place() {
    let made = Credential::new("s", "a.com", None, None).expect("valid");
    let value = SecretValue::new("{}{}".to_owned()).expect("valid");
    assert_eq!(*made.header_value(&value), "Bearer {}{}");
}

#[test]
fn the_narrowest_destination_wins_for_each_header() {
    let all = [
        credential("wide", "*.example.com", "authorization"),
        credential("exact", "a.b.example.com", "authorization"),
        credential("near", "*.b.example.com", "authorization"),
        credential("other", "*.example.com", "x-api-key"),
        credential("port", "a.b.example.com:8443", "authorization"),
    ];
    let names = |host: &str, port: u16| -> Vec<&str> {
        chosen(&all, host, port)
            .iter()
            .map(|c| c.secret())
            .collect()
    };
    assert_eq!(names("a.b.example.com", 443), ["exact", "other"]);
    assert_eq!(names("x.b.example.com", 443), ["near", "other"]);
    assert_eq!(names("x.example.com", 443), ["wide", "other"]);
    assert_eq!(names("a.b.example.com", 8443), ["port"]);
    assert!(names("example.com", 443).is_empty());
    assert!(names("evil.net", 443).is_empty());
}

#[test]
fn too_many_and_contradicting_credentials_are_refused() {
    let text = |credentials: &[Credential]| {
        let error = validate(credentials, NetworkMode::Open).expect_err("refused");
        error.message().to_owned()
    };
    let many: Vec<_> = (0..=limits::CREDENTIALS_MAX)
        .map(|n| credential("s", &format!("h{n}.com"), "authorization"))
        .collect();
    assert!(text(&many).contains("at most 32"));
    let twice = [
        credential("a", "a.com", "Authorization"),
        credential("b", "A.com:443", "authorization"),
    ];
    assert!(
        text(&twice).contains("two credentials"),
        "443 is what no port means"
    );
}

#[test]
fn credentials_need_the_egress_proxy() {
    let one = [credential("s", "a.com", "authorization")];
    for mode in [NetworkMode::None, NetworkMode::Open] {
        let error = validate(&one, mode).expect_err("no proxy there");
        assert!(error.message().contains("policy"));
        assert!(validate(&[], mode).is_ok());
    }
}

#[test]
fn a_stored_form_is_checked_like_a_new_one() {
    let made =
        Credential::new("s", "*.A.com:8443", Some("X-Key"), Some("k {}".into())).expect("valid");
    let json = serde_json::to_string(&made).expect("plain data");
    assert_eq!(
        json,
        r#"{"secret":"s","host":"*.a.com:8443","header":"x-key","format":"k {}"}"#
    );
    assert_eq!(
        serde_json::from_str::<Credential>(&json).expect("its own form"),
        made
    );
    let forged = json.replace("x-key", "host");
    assert!(serde_json::from_str::<Credential>(&forged).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic_and_what_parses_survives_its_text(text in "\\PC{0,40}") {
        if let Ok(parsed) = text.parse::<Destination>() {
            prop_assert_eq!(parsed.to_string().parse::<Destination>().expect("own text"), parsed);
        }
    }

    #[test]
    fn no_host_makes_matching_panic(host in "\\PC{0,40}", port in any::<u16>()) {
        for pattern in ["example.com", "*.example.com"] {
            let included = destination(pattern).includes(&host, port);
            prop_assert!(!included || host.to_ascii_lowercase().contains("example.com"));
        }
    }
}
