//! Credentials of a sandbox: whom it has to trust, and what its egress adds.

use std::sync::Weak;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use pinfold_egress::{Credentials, NoCredential};
use pinfold_model::credential::{CERTIFICATES, chosen};
use pinfold_model::network::HostName;
use pinfold_model::{Credential, ProjectId};
use pinfold_runtime::guest::{FilePath, Guest, GuestError, WriteOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Owner;
use crate::engine::Shared;

/// Where distributions keep whom they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Of a hostile image's; the usual ones have a quarter of a mebibyte.
const BUNDLE_MAX_BYTES: u64 = 4 << 20;

/// What the egress of one sandbox adds.
pub(super) struct Bound {
    /// Its registry has the sandbox that has this.
    pub(super) shared: Weak<Shared>,
    pub(super) project: ProjectId,
    pub(super) credentials: Vec<Credential>,
}

impl Owner {
    /// Makes the file of certificates that its environment points at: those of its image, and that
    /// of the egress.
    pub(super) async fn install_trust(&self, guest: &Guest) -> Result<(), GuestError> {
        let Ok(authority) = self.shared.authority() else {
            // The egress cannot be opened either, and says why.
            return Ok(());
        };
        let mut bundle = Vec::new();
        for path in BUNDLES {
            let read = guest
                .read(&FilePath::new(path), 0, Some(BUNDLE_MAX_BYTES))
                .await;
            if let Ok((_, mut transfer)) = read
                && transfer.read_to_end(&mut bundle).await.is_ok()
                && !bundle.is_empty()
            {
                break;
            }
            bundle.clear();
        }
        if !bundle.ends_with(b"\n") && !bundle.is_empty() {
            bundle.push(b'\n');
        }
        bundle.extend_from_slice(authority.certificate().as_bytes());
        let options = WriteOptions {
            mode: 0o644,
            parents: true,
            ..WriteOptions::default()
        };
        let mut file = guest.write(&FilePath::new(CERTIFICATES), options).await?;
        // The end of the transfer knows why, where this fails.
        let _ = file.write_all(&bundle).await;
        file.finish().await.map(drop)
    }
}

#[async_trait]
impl Credentials for Bound {
    fn are_for(&self, host: &HostName, port: u16) -> bool {
        !chosen(&self.credentials, host.as_str(), port).is_empty()
    }

    async fn headers(
        &self,
        host: &HostName,
        port: u16,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, NoCredential> {
        let mut headers = Vec::new();
        for credential in chosen(&self.credentials, host.as_str(), port) {
            headers.push(self.header(credential).await?);
        }
        Ok(headers)
    }
}

impl Bound {
    async fn header(
        &self,
        credential: &Credential,
    ) -> Result<(HeaderName, HeaderValue), NoCredential> {
        let secret = credential.secret();
        let no = |why: &str| NoCredential(format!("the secret {secret:?} of this host {why}"));
        let shared = self.shared.upgrade();
        let shared = shared.ok_or_else(|| no("cannot be read: the server is shutting down"))?;
        let value = shared.vault.value(&self.project, secret).await;
        let value = value.map_err(|error| {
            tracing::error!(%error, secret, "no credential");
            no("cannot be read at the moment")
        })?;
        let value = value.ok_or_else(|| no("does not exist"))?;
        if !value.is_plain_line() {
            return Err(no("does not fit into its header"));
        }
        let name = HeaderName::try_from(credential.header());
        let text = HeaderValue::try_from(credential.header_value(&value).as_str());
        let (Ok(name), Ok(mut text)) = (name, text) else {
            return Err(no("does not fit into its header"));
        };
        text.set_sensitive(true);
        Ok((name, text))
    }
}
