//! Between the vendor's words of what a policy allows and rules. Pure.

use std::collections::BTreeMap;

use pinfold_engine::CreateNetworkPolicy;
use pinfold_model::network::Rule;
use pinfold_model::{Error, GatewayKind, NamedPolicy, NetworkPolicy};

use crate::runloop::wire::{self, AllowedCidr, Egress, PortRule};

/// Where the vendor's words are kept with a policy: rules do not say all that they do.
const ANNOTATION: &str = "runloop";
/// Every name, and every address.
const EVERYTHING: [&str; 3] = ["*", "0.0.0.0/0", "::/0"];

pub(in crate::runloop) fn create(
    request: wire::PutNetworkPolicy,
) -> Result<CreateNetworkPolicy, Error> {
    let egress = merged(&request, Egress::default());
    Ok(CreateNetworkPolicy {
        name: request.name.unwrap_or_default(),
        description: request.description.filter(|text| !text.is_empty()),
        rules: NetworkPolicy {
            allow: rules(&egress)?,
            deny: Vec::new(),
        },
        annotations: kept(&egress),
    })
}

/// Puts what is given into a policy. What it denies by other means stays denied.
pub(in crate::runloop) fn put(
    request: &wire::PutNetworkPolicy,
    policy: &mut NamedPolicy,
) -> Result<(), Error> {
    let before = egress_of(policy);
    let egress = merged(request, before.clone());
    // Rules that came by another way need not be ones that can be said here.
    if egress != before {
        policy.rules.allow = rules(&egress)?;
        policy.annotations = kept(&egress);
    }
    if let Some(name) = &request.name {
        policy.name.clone_from(name);
    }
    if let Some(text) = &request.description {
        policy.description = Some(text.clone()).filter(|text| !text.is_empty());
    }
    Ok(())
}

fn merged(request: &wire::PutNetworkPolicy, before: Egress) -> Egress {
    let given = |given: Option<bool>, before: bool| given.unwrap_or(before);
    let names = request.allowed_hostnames.clone();
    let cidrs = request.allowed_cidrs.clone();
    Egress {
        allow_all: given(request.allow_all, before.allow_all),
        allow_devbox_to_devbox: given(
            request.allow_devbox_to_devbox,
            before.allow_devbox_to_devbox,
        ),
        allow_agent_gateway: given(request.allow_agent_gateway, before.allow_agent_gateway),
        allow_mcp_gateway: given(request.allow_mcp_gateway, before.allow_mcp_gateway),
        allow_runloop_mirrors: given(request.allow_runloop_mirrors, before.allow_runloop_mirrors),
        allowed_hostnames: names.unwrap_or(before.allowed_hostnames),
        allowed_cidrs: cidrs.unwrap_or(before.allowed_cidrs),
    }
}

fn kept(egress: &Egress) -> BTreeMap<String, String> {
    let text = serde_json::to_string(egress).expect("texts and numbers are plain data");
    BTreeMap::from([(ANNOTATION.to_owned(), text)])
}

/// What a policy allows in the vendor's words: those that it was made with, or where its rules have
/// been changed by other means, what comes nearest to them.
pub(in crate::runloop) fn egress_of(policy: &NamedPolicy) -> Egress {
    let kept = policy.annotations.get(ANNOTATION);
    let kept: Option<Egress> = kept.and_then(|text| serde_json::from_str(text).ok());
    let kept = kept.unwrap_or_default();
    let allow = &policy.rules.allow;
    if rules(&kept).is_ok_and(|rules| rules == *allow) {
        return kept;
    }
    let gateway = |kind| gateway(kind).is_ok_and(|rule| allow.contains(&rule));
    let [agent, mcp] = GatewayKind::ALL.map(gateway);
    let others = allow.iter().filter(|rule| !is_gateway(rule));
    let (cidrs, names): (Vec<&Rule>, Vec<&Rule>) = others.partition(|rule| rule.net().is_some());
    Egress {
        allow_all: everything().is_ok_and(|rules| rules == *allow),
        allow_agent_gateway: agent,
        allow_mcp_gateway: mcp,
        allowed_hostnames: names.into_iter().map(ToString::to_string).collect(),
        allowed_cidrs: cidrs.into_iter().filter_map(cidr).collect(),
        ..kept
    }
}

fn cidr(rule: &Rule) -> Option<AllowedCidr> {
    let ports = rule.ports().map(|(first, last)| {
        vec![PortRule {
            port: first,
            end_port: (last > first).then_some(last),
            protocol: Some("TCP".to_owned()),
        }]
    });
    Some(AllowedCidr {
        cidr: rule.net()?.to_string(),
        ports,
    })
}

/// The names behind which gateways are inside devboxes.
fn gateway(kind: GatewayKind) -> Result<Rule, Error> {
    kind.host().parse()
}

fn is_gateway(rule: &Rule) -> bool {
    let mut kinds = GatewayKind::ALL.into_iter();
    kinds.any(|kind| gateway(kind).is_ok_and(|own| own == *rule))
}

fn everything() -> Result<Vec<Rule>, Error> {
    EVERYTHING.into_iter().map(str::parse).collect()
}

fn rules(egress: &Egress) -> Result<Vec<Rule>, Error> {
    let names = egress.allowed_hostnames.iter().map(|name| host(name));
    let mut rules = names.collect::<Result<Vec<_>, _>>()?;
    for allowed in &egress.allowed_cidrs {
        rules.extend(nets(allowed)?);
    }
    if egress.allow_agent_gateway {
        rules.push(gateway(GatewayKind::Http)?);
    }
    if egress.allow_mcp_gateway {
        rules.push(gateway(GatewayKind::Mcp)?);
    }
    match egress.allow_all {
        true => everything(),
        false => Ok(rules),
    }
}

fn host(name: &str) -> Result<Rule, Error> {
    let wrong = || {
        let text = format!(
            "{name:?} is no host name: write example.com or *.example.com; addresses go into \
             allowed_cidrs"
        );
        Error::invalid("allowed_hostnames", text)
    };
    let rule: Rule = name.parse().map_err(|_| wrong())?;
    let is_name = rule.net().is_none() && rule.ports().is_none();
    is_name.then_some(rule).ok_or_else(wrong)
}

fn nets(allowed: &AllowedCidr) -> Result<Vec<Rule>, Error> {
    let wrong = |why: String| Error::invalid("allowed_cidrs", why);
    let cidr = allowed.cidr.as_str();
    let whole: Option<Rule> = cidr.parse().ok();
    let whole = whole.filter(|rule| {
        let is_four = rule.net().is_some_and(|net| net.addr().is_ipv4());
        is_four && rule.ports().is_none()
    });
    let whole =
        whole.ok_or_else(|| wrong(format!("{cidr:?} is no block like \"10.12.0.0/16\"")))?;
    let ports = allowed.ports.as_deref().unwrap_or_default();
    if ports.is_empty() {
        return Ok(vec![whole]);
    }
    let of = |ports: &PortRule| {
        if ports.protocol.as_deref().is_some_and(|name| name != "TCP") {
            let why =
                "only TCP leaves a devbox that has a network policy: leave other protocols out";
            return Err(wrong(why.to_owned()));
        }
        let (first, last) = (ports.port, ports.end_port.unwrap_or(ports.port));
        let rule = format!("{cidr}:{first}-{last}").parse();
        rule.map_err(|_| wrong(format!("{first} to {last} are no ports")))
    };
    ports.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_model::{NetworkPolicyId, ProjectId, Time};
    use serde_json::{Value, json};

    fn empty() -> NamedPolicy {
        NamedPolicy {
            id: NetworkPolicyId::generate(),
            project: ProjectId::generate(),
            name: String::new(),
            description: None,
            rules: NetworkPolicy::default(),
            annotations: Default::default(),
            version: 1,
            created_at: Time::UNIX_EPOCH,
            updated_at: Time::UNIX_EPOCH,
            created_by: None,
        }
    }

    fn given(policy: &mut NamedPolicy, body: Value) -> Result<(), Error> {
        let request = serde_json::from_value(body).expect("a request");
        put(&request, policy)
    }

    fn allowed(policy: &NamedPolicy) -> Vec<String> {
        policy.rules.allow.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_given_allows_nothing() {
        let mut policy = empty();
        given(&mut policy, json!({ "name": "n", "allow_all": null })).expect("legal");
        assert!(policy.rules.is_empty());
        assert_eq!(egress_of(&policy), Egress::default());
    }

    #[test]
    fn what_is_given_replaces_and_the_rest_stays() {
        let mut policy = empty();
        let ports = json!([{ "port": 443 }, { "port": 8000, "end_port": 8010, "protocol": "TCP" }]);
        let cidrs = json!([{ "cidr": "10.12.0.0/16", "ports": ports }, { "cidr": "192.0.2.0/24" }]);
        let body =
            json!({ "allowed_hostnames": ["GitHub.com", "*.npmjs.org"], "allowed_cidrs": cidrs });
        given(&mut policy, body).expect("legal");
        let rules = [
            "github.com",
            "*.npmjs.org",
            "10.12.0.0/16:443",
            "10.12.0.0/16:8000-8010",
            "192.0.2.0/24",
        ];
        assert_eq!(allowed(&policy), rules);
        assert_eq!(egress_of(&policy).allowed_hostnames[0], "GitHub.com");
        given(&mut policy, json!({ "allow_all": true })).expect("legal");
        assert_eq!(allowed(&policy), EVERYTHING);
        assert_eq!(egress_of(&policy).allowed_cidrs.len(), 2);
        given(
            &mut policy,
            json!({ "allow_all": false, "allowed_hostnames": [] }),
        )
        .expect("legal");
        assert_eq!(allowed(&policy), rules[2..]);
        given(
            &mut policy,
            json!({ "allow_mcp_gateway": true, "allowed_cidrs": [] }),
        )
        .expect("legal");
        assert_eq!(allowed(&policy), ["mcp.pinfold.internal"]);
        let seen = egress_of(&policy);
        assert!(seen.allow_mcp_gateway && seen.allowed_hostnames.is_empty());
    }

    #[test]
    fn rules_that_came_otherwise_are_shown_as_near_as_can_be() {
        let mut policy = empty();
        given(
            &mut policy,
            json!({ "allow_all": true, "allow_mcp_gateway": true }),
        )
        .expect("legal");
        let texts = [
            "a.example:443",
            "10.0.0.0/8:22",
            "10.1.0.0/16",
            "gateway.pinfold.internal",
        ];
        policy.rules.allow = texts.map(|text| text.parse().expect("a rule")).into();
        let seen = egress_of(&policy);
        assert!(!seen.allow_all);
        // What the rules say, not what was said once.
        assert!(seen.allow_agent_gateway && !seen.allow_mcp_gateway);
        assert_eq!(seen.allowed_hostnames, ["a.example:443"]);
        assert_eq!(seen.allowed_cidrs.len(), 2);
        let rules = policy.rules.clone();
        given(&mut policy, json!({ "name": "other" })).expect("the rules are not asked for");
        assert_eq!((policy.name.as_str(), &policy.rules), ("other", &rules));
        policy.rules.allow = everything().expect("rules");
        assert!(egress_of(&policy).allow_all);
    }

    #[test]
    fn what_cannot_be_a_rule_is_refused() {
        for body in [
            json!({ "allowed_hostnames": ["https://a.example"] }),
            json!({ "allowed_hostnames": ["10.0.0.1"] }),
            json!({ "allowed_hostnames": ["a.example:443"] }),
            json!({ "allowed_cidrs": [{ "cidr": "a.example" }] }),
            json!({ "allowed_cidrs": [{ "cidr": "10.0.0.0/8:80" }] }),
            json!({ "allowed_cidrs": [{ "cidr": "2001:db8::/32" }] }),
            json!({ "allowed_cidrs": [{ "cidr": "10.0.0.0/8", "ports": [{ "port": 0 }] }] }),
            json!({ "allowed_cidrs": [{ "cidr": "10.0.0.0/8", "ports": [{ "port": 9, "end_port": 8 }] }] }),
            json!({ "allowed_cidrs": [{ "cidr": "10.0.0.0/8", "ports": [{ "port": 53, "protocol": "UDP" }] }] }),
        ] {
            let mut policy = empty();
            assert!(given(&mut policy, body.clone()).is_err(), "{body}");
        }
    }
}
