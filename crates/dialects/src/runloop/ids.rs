//! The vendor's ids, and ours underneath, told apart by their prefixes.

use pinfold_model::{
    AxonId, BuildId, CommandId, GatewayId, GatewayKind, ImageId, NetworkPolicyId, ObjectId,
    SandboxId,
};

use super::errors::Refused;
use crate::prefix::{with_prefix, without_prefix};

const DEVBOX: &str = "dbx";
const BLUEPRINT: &str = "bpt";
const SNAPSHOT: &str = "snp";

pub(super) fn devbox(text: &str) -> Result<SandboxId, Refused> {
    let ours = without_prefix(text, DEVBOX, SandboxId::PREFIX);
    ours.ok_or_else(|| Refused::no("devbox", text))
}

pub(super) fn of_devbox(id: &SandboxId) -> String {
    with_prefix(id.as_str(), DEVBOX)
}

pub(super) fn blueprint(text: &str) -> Result<BuildId, Refused> {
    let ours = without_prefix(text, BLUEPRINT, BuildId::PREFIX);
    ours.ok_or_else(|| Refused::no("blueprint", text))
}

pub(super) fn of_blueprint(id: &BuildId) -> String {
    with_prefix(id.as_str(), BLUEPRINT)
}

pub(super) fn snapshot(text: &str) -> Result<ImageId, Refused> {
    let ours = without_prefix(text, SNAPSHOT, ImageId::PREFIX);
    ours.ok_or_else(|| Refused::no("snapshot", text))
}

pub(super) fn of_snapshot(id: &ImageId) -> String {
    with_prefix(id.as_str(), SNAPSHOT)
}

pub(super) fn execution(text: &str) -> Result<CommandId, Refused> {
    text.parse().map_err(|_| Refused::no("execution", text))
}

pub(super) fn axon(text: &str) -> Result<AxonId, Refused> {
    text.parse().map_err(|_| Refused::no("axon", text))
}

pub(super) fn network_policy(text: &str) -> Result<NetworkPolicyId, Refused> {
    text.parse()
        .map_err(|_| Refused::no("network policy", text))
}

const fn gateway_prefix(kind: GatewayKind) -> &'static str {
    match kind {
        GatewayKind::Http => "gwc",
        GatewayKind::Mcp => "mcp",
    }
}

pub(super) fn gateway(kind: GatewayKind, text: &str) -> Result<GatewayId, Refused> {
    let ours = without_prefix(text, gateway_prefix(kind), GatewayId::PREFIX);
    ours.ok_or_else(|| Refused::no("configuration", text))
}

pub(super) fn of_gateway(kind: GatewayKind, id: &GatewayId) -> String {
    with_prefix(id.as_str(), gateway_prefix(kind))
}

pub(super) fn object(text: &str) -> Result<ObjectId, Refused> {
    text.parse().map_err(|_| Refused::no("object", text))
}
