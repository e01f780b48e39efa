//! Keys for SSH.

use std::time::Duration;

use pinfold_engine::{CreateSshKey, CreatedSshKey};
use pinfold_model::{SandboxId, SshGateway, SshKey};
use pinfold_wire as wire;

use super::quantity::time;

pub(crate) fn from_wire(request: wire::CreateSshKey) -> CreateSshKey {
    CreateSshKey {
        public_key: request.public_key,
        expires_in: request.expires_in_ms.map(Duration::from_millis),
    }
}

pub(crate) fn to_wire(key: SshKey) -> wire::SshKey {
    wire::SshKey {
        id: key.id.into(),
        sandbox_id: key.sandbox.into(),
        fingerprint: key.fingerprint,
        public_key: key.public_key,
        created_at: time(key.created_at),
        expires_at: key.expires_at.map(time),
        created_by: key.created_by.map(Into::into),
    }
}

pub(crate) fn created(created: CreatedSshKey) -> wire::CreatedSshKey {
    wire::CreatedSshKey {
        gateway: gateway(created.gateway, &created.key.sandbox),
        private_key: created.private_key.map(|private| private.to_string()),
        key: to_wire(created.key),
    }
}

fn gateway(gateway: SshGateway, sandbox: &SandboxId) -> wire::SshGateway {
    wire::SshGateway {
        known_hosts: gateway.known_hosts_line(),
        user: SshGateway::user(sandbox).to_owned(),
        host: gateway.host,
        port: gateway.port,
        host_key: gateway.host_key,
        host_key_fingerprint: gateway.host_key_fingerprint,
    }
}
