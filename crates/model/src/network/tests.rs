//! What policies decide, and what rules may look like.

use proptest::prelude::*;

use super::*;

fn policy(allow: &[&str], deny: &[&str]) -> NetworkPolicy {
    let rules = |texts: &[&str]| {
        let parsed = texts.iter().map(|text| text.parse().expect(text));
        parsed.collect()
    };
    NetworkPolicy {
        allow: rules(allow),
        deny: rules(deny),
    }
}

fn name(text: &str) -> HostName {
    text.parse().expect(text)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn nothing_is_allowed_that_no_rule_allows() {
    let empty = NetworkPolicy::default();
    assert_eq!(
        empty.check_name(&name("example.com"), 443),
        Err(Refusal::NotAllowed)
    );
    assert_eq!(
        empty.check_address(address("203.0.113.1"), 443),
        Err(Refusal::NotAllowed)
    );
    assert!(!empty.knows(&name("example.com")));
}

#[test]
fn wildcards_hold_for_what_is_below_and_names_for_themselves() {
    let policy = policy(&["example.com", "*.example.org:443"], &["bad.example.org"]);
    assert_eq!(policy.check_name(&name("EXAMPLE.com."), 22), Ok(()));
    for other in [
        "www.example.com",
        "example.org",
        "notexample.org",
        "example.org.evil.net",
    ] {
        assert_eq!(
            policy.check_name(&name(other), 443),
            Err(Refusal::NotAllowed),
            "{other}"
        );
        assert!(!policy.knows(&name(other)), "{other}");
    }
    assert_eq!(policy.check_name(&name("a.b.example.org"), 443), Ok(()));
    assert_eq!(
        policy.check_name(&name("a.example.org"), 80),
        Err(Refusal::NotAllowed)
    );
    assert_eq!(
        policy.check_name(&name("bad.example.org"), 443),
        Err(Refusal::Denied)
    );
    assert!(!policy.knows(&name("bad.example.org")));
    assert!(policy.knows(&name("a.example.org")));
}

#[test]
fn any_name_is_no_address_and_any_address_no_name() {
    let names = policy(&["*"], &[]);
    assert_eq!(names.check_name(&name("example.com"), 443), Ok(()));
    assert_eq!(
        names.check_address(address("203.0.113.1"), 443),
        Err(Refusal::NotAllowed)
    );
    let addresses = policy(&["0.0.0.0/0"], &["203.0.113.0/24:25"]);
    assert_eq!(
        addresses.check_name(&name("example.com"), 443),
        Err(Refusal::NotAllowed)
    );
    assert_eq!(addresses.check_address(address("203.0.113.1"), 443), Ok(()));
    assert_eq!(
        addresses.check_address(address("203.0.113.1"), 25),
        Err(Refusal::Denied)
    );
    assert_eq!(
        addresses.check_address(address("::ffff:203.0.113.1"), 25),
        Err(Refusal::Denied)
    );
}

#[test]
fn a_name_leads_into_a_private_network_only_where_the_address_is_allowed_too() {
    let policy = policy(&["*", "10.1.0.0/16:5432"], &["203.0.113.7"]);
    assert_eq!(policy.check_answer(address("203.0.113.1"), 443), Ok(()));
    assert_eq!(
        policy.check_answer(address("203.0.113.7"), 443),
        Err(Refusal::Denied)
    );
    assert_eq!(policy.check_answer(address("10.1.2.3"), 5432), Ok(()));
    for (inside, port) in [
        ("10.1.2.3", 443),
        ("10.2.0.1", 5432),
        ("192.168.1.1", 80),
        ("172.31.0.1", 80),
        ("100.64.0.1", 80),
        ("fd12::1", 80),
        ("::ffff:10.2.0.1", 80),
        ("64:ff9b::a00:1", 80),
        ("2002:a00:1::", 80),
    ] {
        let answer = policy.check_answer(address(inside), port);
        assert_eq!(answer, Err(Refusal::Private), "{inside}");
    }
}

#[test]
fn no_rule_opens_this_machine_its_links_or_metadata() {
    let policy = policy(&["*", "0.0.0.0/0", "::/0"], &[]);
    for never in [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "198.18.0.20",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
    ] {
        assert_eq!(
            policy.check_address(address(never), 80),
            Err(Refusal::Never),
            "{never}"
        );
        assert_eq!(
            policy.check_answer(address(never), 80),
            Err(Refusal::Never),
            "{never}"
        );
    }
}

#[test]
fn rules_are_shown_as_they_are_written() {
    for text in [
        "example.com",
        "*.example.com:443",
        "*",
        "*:8000-8999",
        "203.0.113.0/24",
        "203.0.113.7/32:22",
        "2001:db8::/32",
        "[2001:db8::/32]:443",
        "_dns.example.com",
    ] {
        assert_eq!(text.parse::<Rule>().expect(text).to_string(), text);
    }
    let one: Rule = "203.0.113.9:80".parse().expect("an address");
    assert_eq!(one.to_string(), "203.0.113.9/32:80");
}

#[test]
fn what_is_no_rule_is_told_how_to_write_one() {
    for text in [
        "",
        ":443",
        "example.com:",
        "example.com:0",
        "example.com:70000",
        "example.com:9-8",
        "https://example.com",
        "example.com/path",
        "a..b",
        "*.*.com",
        "*com",
        "exa mple.com",
        "-a.com",
        "10.0.0.0/33",
        "10.0.0",
        "127.1",
        "0x7f000001",
        "münchen.de",
        "[example.com]:80",
        "[10.0.0.0/8]:80",
    ] {
        let error = text.parse::<Rule>().expect_err(text);
        assert!(error.message().contains("example.com"), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_is_read_again_from_what_it_shows(text in "[*a-z0-9.:/\\[\\]-]{0,24}") {
        if let Ok(rule) = text.parse::<Rule>() {
            let again: Rule = rule.to_string().parse().expect("what it shows");
            prop_assert_eq!(again, rule);
        }
    }

    #[test]
    fn a_rule_more_that_denies_never_allows_more(port in 1_u16.., four: [u8; 4]) {
        let wide = policy(&["*", "0.0.0.0/0"], &[]);
        let narrow = policy(&["*", "0.0.0.0/0"], &["10.0.0.0/8", "*.com"]);
        let address = IpAddr::from(four);
        if wide.check_address(address, port).is_err() {
            prop_assert!(narrow.check_address(address, port).is_err());
        }
    }
}
