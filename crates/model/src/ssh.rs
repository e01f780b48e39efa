//! Keys that open one sandbox over SSH, and where the gateway for them is.

use crate::Time;
use crate::id::{KeyId, ProjectId, SandboxId, SshKeyId};

/// The port that clients try when none is named (RFC 4253, section 4.1).
const PORT: u16 = 22;

/// A public key that opens one sandbox. Its private half is kept nowhere here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    pub id: SshKeyId,
    pub sandbox: SandboxId,
    pub project: ProjectId,
    /// Algorithm and base64, as in `authorized_keys`, without a comment.
    pub public_key: String,
    /// `SHA256:` and base64, as `ssh-keygen -l` shows it. Of one sandbox no two are equal.
    pub fingerprint: String,
    pub created_at: Time,
    /// Nobody logs in with it from then on.
    pub expires_at: Option<Time>,
    /// The key of the API that made it, and with which it ends; `None`: the process itself.
    pub created_by: Option<KeyId>,
}

/// Where SSH clients find this installation, and how they know that it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshGateway {
    /// A host name or an address, as clients reach it.
    pub host: String,
    pub port: u16,
    /// The public key of the gateway itself: algorithm and base64.
    pub host_key: String,
    /// Its fingerprint, as `ssh` shows it to who connects first.
    pub host_key_fingerprint: String,
}

impl SshGateway {
    /// Who to log in as: the sandbox's id.
    #[must_use]
    pub fn user(sandbox: &SandboxId) -> &str {
        sandbox.as_str()
    }

    /// The gateway's line for a file `known_hosts`: see sshd(8).
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        let (host, port, key) = (&self.host, self.port, &self.host_key);
        match port {
            PORT => format!("{host} {key}"),
            _ => format!("[{host}]:{port} {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_known_hosts_names_the_port_unless_it_is_the_usual_one() {
        let mut gateway = SshGateway {
            host: "pinfold.test".to_owned(),
            port: 7022,
            host_key: "ssh-ed25519 AAAA".to_owned(),
            host_key_fingerprint: "SHA256:x".to_owned(),
        };
        let line = gateway.known_hosts_line();
        assert_eq!(line, "[pinfold.test]:7022 ssh-ed25519 AAAA");
        gateway.port = 22;
        assert_eq!(gateway.known_hosts_line(), "pinfold.test ssh-ed25519 AAAA");
    }
}
