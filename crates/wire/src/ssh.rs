//! Keys that open one sandbox over SSH.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A key that is wanted. Without a public key of the caller's a pair is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateSshKey {
    /// The caller's own public key, as in a `.pub` file: ed25519 or ECDSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 4096))]
    pub public_key: Option<String>,
    /// Nobody logs in with it after this long, a year at most; as long as its sandbox lives when
    /// absent. Who is in stays in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

/// A key that opens one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SshKey {
    pub id: String,
    pub sandbox_id: String,
    /// `SHA256:` and base64, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// Algorithm and base64.
    pub public_key: String,
    pub created_at: String,
    pub expires_at: Option<String>,
    /// The id of the API key that made it, and with which it ends.
    pub created_by: Option<String>,
}

/// How to come in: `ssh -p PORT USER@HOST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SshGateway {
    pub host: String,
    pub port: u16,
    /// The sandbox's id. Commands run as the sandbox's own user.
    pub user: String,
    /// The gateway's public key: algorithm and base64.
    pub host_key: String,
    /// As `ssh` shows it to who connects first.
    pub host_key_fingerprint: String,
    /// A line for a file `known_hosts`.
    pub known_hosts: String,
}

/// A key, with its private half if that was made here: for the first and last time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedSshKey {
    pub key: SshKey,
    /// What a file of mode 0600 holds for `ssh -i`.
    pub private_key: Option<String>,
    pub gateway: SshGateway,
}

impl fmt::Debug for CreatedSshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedSshKey")
            .field("key", &self.key)
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_in_no_text_form() {
        let created: CreatedSshKey = serde_json::from_value(serde_json::json!({
            "key": {
                "id": "ssh_1", "sandbox_id": "sbx_1", "fingerprint": "SHA256:x",
                "public_key": "ssh-ed25519 AAAA", "created_at": "t", "expires_at": null,
                "created_by": null,
            },
            "private_key": "hunter2",
            "gateway": {
                "host": "h", "port": 7022, "user": "sbx_1", "host_key": "k",
                "host_key_fingerprint": "SHA256:y", "known_hosts": "[h]:7022 k",
            },
        }))
        .expect("valid");
        let shown = format!("{created:?} {created:#?}");
        assert!(
            !shown.contains("hunter2") && shown.contains("SHA256:x"),
            "{shown}"
        );
    }
}
