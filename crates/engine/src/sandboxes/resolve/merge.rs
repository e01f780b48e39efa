//! What a sandbox is made of: request over template over image over defaults.

use std::time::Duration;

use pinfold_model::credential::{CERTIFICATES, CERTIFICATES_IN_ENV};
use pinfold_model::sandbox::{SandboxSpec, TemplateOrigin};
use pinfold_model::template::TemplateSpec;
use pinfold_model::{
    Error, Image, KeyId, NetworkMode, NetworkPolicy, ProjectId, Resources, Result, Sandbox,
    SandboxId, SandboxState, Template, Time,
};

use crate::CreateSandbox;
use crate::clock::later;

/// Where commands of an image begin that does not say: the image `host` has this directory.
const HOST_WORKDIR: &str = "/workspace";
/// The longest hostname Linux takes.
const HOSTNAME_MAX_CHARS: usize = 64;
const HOSTNAME_LABEL_MAX_CHARS: usize = 63;

pub(super) fn merge(
    id: &SandboxId,
    request: CreateSandbox,
    template: Option<&Template>,
    image: &Image,
    image_name: String,
) -> SandboxSpec {
    let recipe = template.map(|template| &template.spec);
    let resources = resources(&request, recipe);
    let (network, network_policy) = network(&request, recipe);
    let mut env = recipe.map(|t| t.env.clone()).unwrap_or_default();
    env.extend(request.env);
    if request
        .credentials
        .as_ref()
        .is_some_and(|some| !some.is_empty())
    {
        for name in CERTIFICATES_IN_ENV {
            env.entry(name.to_owned())
                .or_insert_with(|| CERTIFICATES.to_owned());
        }
    }
    SandboxSpec {
        name: request.name,
        image: image.id.clone(),
        image_name,
        template_version: template.map(|template| template.version_id.clone()),
        template: template.map(|template| TemplateOrigin {
            id: template.id.clone(),
            name: template.name.clone(),
            version: template.version,
        }),
        forked_from: None,
        resources,
        network,
        network_policy,
        network_policy_id: None,
        env,
        workdir: request
            .workdir
            .or_else(|| recipe.and_then(|t| t.workdir.clone()))
            .or_else(|| image.config.workdir.clone())
            .unwrap_or_else(|| default_workdir(image).to_owned()),
        user: request
            .user
            .or_else(|| recipe.and_then(|t| t.user.clone()))
            .or_else(|| image.config.user.clone())
            .unwrap_or_else(|| "root".to_owned()),
        hostname: request.hostname.unwrap_or_else(|| default_hostname(id)),
        metadata: request.metadata,
        ttl: request.ttl.or(recipe.and_then(|t| t.ttl)),
        idle_timeout: request.idle_timeout.or(recipe.and_then(|t| t.idle_timeout)),
        idle_action: request.idle_action.unwrap_or_default(),
        mounts: request.mounts,
        credentials: request.credentials.unwrap_or_default(),
        more: request.more,
    }
}

/// Rules are for the mode they were written for: a request that names another mode has none of the
/// template's.
fn network(request: &CreateSandbox, recipe: Option<&TemplateSpec>) -> (NetworkMode, NetworkPolicy) {
    let by_rules = || request.network_policy.as_ref().map(|_| NetworkMode::Policy);
    let mode = request
        .network
        .or_else(by_rules)
        .or(recipe.map(|t| t.network))
        .unwrap_or(NetworkMode::None);
    let of_recipe = || {
        recipe
            .filter(|t| t.network == mode)
            .map(|t| &t.network_policy)
    };
    let policy = request.network_policy.as_ref().or_else(of_recipe);
    (mode, policy.cloned().unwrap_or_default())
}

fn resources(request: &CreateSandbox, recipe: Option<&TemplateSpec>) -> Resources {
    let base = recipe.map(|t| t.resources).unwrap_or_default();
    Resources {
        vcpu_millis: request.vcpu_millis.unwrap_or(base.vcpu_millis),
        memory_mib: request.memory_mib.unwrap_or(base.memory_mib),
        disk_mib: request.disk_mib.unwrap_or(base.disk_mib),
        pids: request.pids.unwrap_or(base.pids),
    }
}

fn default_workdir(image: &Image) -> &'static str {
    match image.source.is_on_host() {
        true => HOST_WORKDIR,
        false => "/",
    }
}

/// The end of an id is its random part, so neighbours in time have different names.
pub(crate) fn default_hostname(id: &SandboxId) -> String {
    let text = id.as_str();
    format!("sbx-{}", &text[text.len().saturating_sub(12)..])
}

/// A sandbox that is about to be recorded.
pub(crate) fn fresh(
    id: SandboxId,
    project: &ProjectId,
    key: Option<KeyId>,
    spec: SandboxSpec,
    now: Time,
) -> Sandbox {
    let spec_ttl = spec.ttl;
    let expires_at = spec_ttl.map(|ttl: Duration| later(now, ttl));
    Sandbox {
        id,
        project: project.clone(),
        key,
        spec,
        state: SandboxState::Creating,
        reason: None,
        failure: None,
        created_at: now,
        running_since: None,
        ttl: spec_ttl,
        expires_at,
        last_active_at: now,
        running_commands: 0,
        ended_at: None,
    }
}

/// Labels of letters, digits and '-' as RFC 1123 has them, joined by dots.
pub(super) fn check_hostname(hostname: &str) -> Result<()> {
    let label = |label: &str| {
        (1..=HOSTNAME_LABEL_MAX_CHARS).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if hostname.len() <= HOSTNAME_MAX_CHARS && hostname.split('.').all(label) {
        return Ok(());
    }
    Err(Error::invalid(
        "hostname",
        "a hostname is at most 64 letters, digits and '-', in parts joined by '.'",
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use pinfold_model::{ImageConfig, ImageId, ImageSource, TemplateId, TemplateVersionId};

    fn image() -> Image {
        Image {
            id: ImageId::generate(),
            project: None,
            source: ImageSource::Tar,
            layers: vec![],
            config: ImageConfig {
                workdir: Some("/srv".into()),
                ..ImageConfig::default()
            },
            size_bytes: 0,
            names: vec![],
            created_at: Time::UNIX_EPOCH,
        }
    }

    fn template() -> Template {
        Template {
            id: TemplateId::generate(),
            project: None,
            name: "t".into(),
            version: 1,
            version_id: TemplateVersionId::generate(),
            spec: TemplateSpec {
                image: "host".parse().expect("a plain name"),
                resources: Resources {
                    memory_mib: 256,
                    ..Resources::default()
                },
                network: NetworkMode::Open,
                network_policy: NetworkPolicy::default(),
                env: BTreeMap::from([("A".into(), "t".into()), ("B".into(), "t".into())]),
                workdir: None,
                user: Some("nobody".into()),
                ttl: None,
                idle_timeout: None,
            },
            created_at: Time::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_request_wins_over_the_template_and_that_over_the_image() {
        let request = CreateSandbox {
            vcpu_millis: Some(500),
            env: BTreeMap::from([("A".into(), "r".into())]),
            ..CreateSandbox::default()
        };
        let id = SandboxId::generate();
        let spec = merge(
            &id,
            request,
            Some(&template()),
            &image(),
            "host:latest".into(),
        );
        assert_eq!(spec.resources.vcpu_millis, 500);
        assert_eq!(spec.resources.memory_mib, 256);
        assert_eq!(spec.network, NetworkMode::Open);
        assert_eq!(spec.env["A"], "r");
        assert_eq!(spec.env["B"], "t");
        assert_eq!(spec.workdir, "/srv");
        assert_eq!(spec.user, "nobody");
        assert!(check_hostname(&spec.hostname).is_ok());
    }

    #[test]
    fn hostnames_that_no_resolver_takes_are_refused() {
        for bad in ["", "-a", "a-", "a..b", "a b", "é", &"a".repeat(65), "a_b"] {
            assert!(check_hostname(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a-b.c9", "7"] {
            assert!(check_hostname(good).is_ok(), "{good:?}");
        }
    }
}
