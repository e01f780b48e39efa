//! What of `/etc` the host image may hold. Everything not named here stays out.

/// Paths below `/etc`, files or directories; a final `*` stands for the rest of a name.
pub(super) const ALLOWED: &[&str] = &[
    // Resolving names, and the dynamic loader.
    "nsswitch.conf",
    "host.conf",
    "gai.conf",
    "protocols",
    "services",
    "networks",
    "rpc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    // Certificates: never a private key.
    "ssl/certs",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
    "ca-certificates",
    "ca-certificates.conf",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "pki/tls/openssl.cnf",
    "pki/ca-trust",
    "pki/java",
    "crypto-policies",
    // What the system is and where.
    "os-release",
    "debian_version",
    "redhat-release",
    "fedora-release",
    "system-release",
    "lsb-release",
    "localtime",
    "timezone",
    "locale.conf",
    "locale.alias",
    "alternatives",
    // Shells and terminals. Not `environment`: operators put credentials there.
    "shells",
    "bash.bashrc",
    "bashrc",
    "profile",
    "profile.d",
    "inputrc",
    "terminfo",
    // Languages and file types.
    "python3*",
    "perl",
    "java-*",
    "mime.types",
    "magic",
    "magic.mime",
    "fonts",
];

/// Whether a name is kept out even inside an allowed directory.
pub(super) fn is_secret_by_name(name: &[u8]) -> bool {
    let exact: &[&[u8]] = &[b"private", b"environment", b".netrc", b".git-credentials"];
    exact.contains(&name)
        || name.starts_with(b"shadow")
        || name.starts_with(b"gshadow")
        || name.starts_with(b"ssh_host_")
        || name.starts_with(b"id_")
        || name.ends_with(b".key")
}
