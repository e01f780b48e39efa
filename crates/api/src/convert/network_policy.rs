//! Network policies with a name.

use pinfold_engine::CreateNetworkPolicy;
use pinfold_model::network::Rule;
use pinfold_model::{NamedPolicy, NetworkPolicy, Result};
use pinfold_wire as wire;

use super::quantity::time;
use super::sandbox::{policy_to_wire, rules};

pub(crate) fn to_wire(policy: NamedPolicy) -> wire::NamedNetworkPolicy {
    let wire::NetworkPolicy { allow, deny } = policy_to_wire(&policy.rules);
    wire::NamedNetworkPolicy {
        id: policy.id.into(),
        project_id: policy.project.into(),
        name: policy.name,
        description: policy.description,
        allow,
        deny,
        created_at: time(policy.created_at),
        updated_at: time(policy.updated_at),
        created_by: policy.created_by.map(Into::into),
    }
}

pub(crate) fn from_wire(request: wire::CreateNetworkPolicy) -> Result<CreateNetworkPolicy> {
    Ok(CreateNetworkPolicy {
        name: request.name,
        description: request.description.filter(|text| !text.is_empty()),
        rules: NetworkPolicy {
            allow: rules(request.allow)?,
            deny: rules(request.deny)?,
        },
        ..CreateNetworkPolicy::default()
    })
}

/// What a request changes of a policy.
pub(crate) struct Change {
    name: Option<String>,
    description: Option<String>,
    allow: Option<Vec<Rule>>,
    deny: Option<Vec<Rule>>,
}

impl Change {
    pub(crate) fn from_wire(request: wire::UpdateNetworkPolicy) -> Result<Self> {
        Ok(Self {
            name: request.name,
            description: request.description,
            allow: request.allow.map(rules).transpose()?,
            deny: request.deny.map(rules).transpose()?,
        })
    }

    pub(crate) fn apply(&self, policy: &mut NamedPolicy) {
        if let Some(name) = &self.name {
            policy.name.clone_from(name);
        }
        if let Some(text) = &self.description {
            policy.description = Some(text.clone()).filter(|text| !text.is_empty());
        }
        if let Some(allow) = &self.allow {
            policy.rules.allow.clone_from(allow);
        }
        if let Some(deny) = &self.deny {
            policy.rules.deny.clone_from(deny);
        }
    }
}
