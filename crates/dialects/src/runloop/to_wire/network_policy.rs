//! Network policies.

use pinfold_model::NamedPolicy;

use super::time;
use crate::runloop::from_wire::network_policy::egress_of;
use crate::runloop::wire;

pub(in crate::runloop) fn network_policy(policy: NamedPolicy) -> wire::NetworkPolicy {
    let mut egress = egress_of(&policy);
    // As the vendor has it: who may reach everything may reach these.
    egress.allow_devbox_to_devbox |= egress.allow_all;
    wire::NetworkPolicy {
        id: policy.id.into(),
        name: policy.name,
        description: policy.description,
        create_time_ms: time(policy.created_at),
        update_time_ms: time(policy.updated_at),
        egress,
    }
}
