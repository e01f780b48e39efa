//! Templates.

use std::time::Duration;

use pinfold_model::template::TemplateSpec;
use pinfold_model::{NetworkMode, Resources, Result, Template};
use pinfold_wire as wire;

use super::quantity::{millis, time, vcpu, vcpu_millis};
use super::sandbox::{from_network, from_policy, network, policy};

pub(crate) fn to_wire(template: Template) -> wire::Template {
    let spec = template.spec;
    wire::Template {
        id: template.id.into(),
        version_id: template.version_id.into(),
        project_id: template.project.map(Into::into),
        name: template.name,
        version: template.version,
        image: spec.image.into(),
        vcpu: vcpu(spec.resources.vcpu_millis),
        memory_mib: spec.resources.memory_mib,
        disk_mib: spec.resources.disk_mib,
        pids: spec.resources.pids,
        network_policy: policy(spec.network, &spec.network_policy),
        network: network(spec.network),
        env: spec.env,
        workdir: spec.workdir,
        user: spec.user,
        ttl_ms: spec.ttl.map(millis),
        idle_timeout_ms: spec.idle_timeout.map(millis),
        created_at: time(template.created_at),
    }
}

pub(crate) fn from_wire(recipe: wire::PutTemplate) -> Result<TemplateSpec> {
    let usual = Resources::default();
    let vcpu = recipe.vcpu.map(vcpu_millis).transpose()?;
    Ok(TemplateSpec {
        image: recipe.image.parse()?,
        resources: Resources {
            vcpu_millis: vcpu.unwrap_or(usual.vcpu_millis),
            memory_mib: recipe.memory_mib.unwrap_or(usual.memory_mib),
            disk_mib: recipe.disk_mib.unwrap_or(usual.disk_mib),
            pids: recipe.pids.unwrap_or(usual.pids),
        },
        network: recipe.network.map(from_network).transpose()?.unwrap_or(
            if recipe.network_policy.is_some() {
                NetworkMode::Policy
            } else {
                NetworkMode::None
            },
        ),
        network_policy: recipe
            .network_policy
            .map(from_policy)
            .transpose()?
            .unwrap_or_default(),
        env: recipe.env,
        workdir: recipe.workdir,
        user: recipe.user,
        ttl: recipe.ttl_ms.map(Duration::from_millis),
        idle_timeout: recipe.idle_timeout_ms.map(Duration::from_millis),
    })
}
