//! TLS that is opened on the way out, where a credential has to be added: inside it is ours, whom the
//! sandbox trusts, and outside it is a client like any other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use pinfold_model::network::HostName;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream as Outer;
use tokio_rustls::server::TlsStream as Inner;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Hosts whose certificate is kept; more are made again.
const LEAVES_MAX: usize = 1024;
/// All that is spoken with a credential.
const PROTOCOL: &[u8] = b"http/1.1";

/// How a private key on the curve P-256 begins as PKCS #8 (RFC 5208, RFC 5915), before its 32 bytes.
const P256_PKCS8: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];

/// Whom sandboxes with credentials trust, of one installation.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Of every host that it vouches for.
    leaf: KeyPair,
    certificate: String,
    leaves: Mutex<HashMap<HostName, Arc<ServerConfig>>>,
    outside: Arc<ClientConfig>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("the key of the installation's certificates cannot be used")]
    Key(#[from] rcgen::Error),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

impl Authority {
    /// The same key gives an authority that the sandboxes of an earlier one trust.
    pub fn new(key: &[u8; 32]) -> Result<Self, AuthorityError> {
        let private = PrivatePkcs8KeyDer::from([&P256_PKCS8[..], key].concat());
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&private, algorithm)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Pinfold sandboxes of this installation");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        date(&mut params);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            leaf: KeyPair::generate()?,
            certificate,
            leaves: Mutex::default(),
            outside: Arc::new(client_config()?),
        })
    }

    /// What a sandbox has to trust, as PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Speaks to the sandbox as that host would.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        name: &HostName,
        stream: S,
    ) -> io::Result<Inner<S>> {
        let config = self.config(name).map_err(io::Error::other)?;
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Speaks to that host, which has to prove that it is it.
    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        name: &HostName,
        stream: S,
    ) -> io::Result<Outer<S>> {
        let name = ServerName::try_from(name.as_str().to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.outside))
            .connect(name, stream)
            .await
    }

    fn config(&self, name: &HostName) -> Result<Arc<ServerConfig>, AuthorityError> {
        if let Some(config) = self.leaves().get(name) {
            return Ok(Arc::clone(config));
        }
        let mut params = CertificateParams::new([name.as_str().to_owned()])?;
        date(&mut params);
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(self.serial(name));
        let certificate = params.signed_by(&self.leaf, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(self.leaf.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let config = Arc::new(config);
        let mut leaves = self.leaves();
        if leaves.len() >= LEAVES_MAX {
            leaves.clear();
        }
        leaves.insert(name.clone(), Arc::clone(&config));
        Ok(config)
    }

    /// Some programs refuse two certificates with one.
    fn serial(&self, name: &HostName) -> SerialNumber {
        let mut hasher = DefaultHasher::new();
        (name, self.leaf.public_key_raw()).hash(&mut hasher);
        SerialNumber::from_slice(&hasher.finish().to_be_bytes())
    }

    fn leaves(&self) -> std::sync::MutexGuard<'_, HashMap<HostName, Arc<ServerConfig>>> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody outside sees these, and a clock inside may be wrong.
fn date(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Trusts whom this machine trusts.
fn client_config() -> Result<ClientConfig, AuthorityError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate that this machine trusts cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}
