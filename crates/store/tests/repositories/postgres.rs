//! The PostgreSQL that the suite runs against: a given one, or a private one in a temporary
//! directory that listens on a unix socket only and ends with the suite.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const VARIABLE: &str = "PINFOLD_TEST_POSTGRES";
/// Debian's layout: one directory per major version.
const BINARIES: &str = "/usr/lib/postgresql";
const START_DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    url: String,
    /// Stopped when dropped; `None` for a given server.
    _private: Option<Private>,
}

struct Private {
    scratch: TempDir,
    binaries: PathBuf,
    process: Child,
    /// Where it is not the usual one.
    port: Option<String>,
}

impl Server {
    pub(crate) fn from_env_or_start() -> Self {
        match std::env::var(VARIABLE) {
            Ok(url) => Self {
                url,
                _private: None,
            },
            Err(_) => Self::start(|_| Vec::new()),
        }
    }

    /// A private one that also listens on that port of 127.0.0.1, with TLS and nothing else there.
    /// Its certificate speaks for `localhost`.
    pub(crate) fn with_tls(port: u16) -> Self {
        Self::start(|scratch| {
            certify(scratch);
            let rules = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
            fs::write(scratch.join("data/pg_hba.conf"), rules).expect("write");
            let path = |name: &str| scratch.join(name).display().to_string();
            vec![
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={port}"),
                "ssl=on".to_owned(),
                format!("ssl_cert_file={}", path("server.crt")),
                format!("ssl_key_file={}", path("server.key")),
            ]
        })
    }

    /// The certificate of the authority that a server with TLS has.
    pub(crate) fn authority(&self) -> PathBuf {
        let private = self._private.as_ref().expect("a private server");
        private.scratch.path().join("authority.crt")
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// With the settings that `adjust` answers when the data directory is there.
    fn start(adjust: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let binaries = find_binaries();
        let scratch = tempfile::Builder::new()
            .prefix("pinfold-pg-")
            .tempdir()
            .expect("a directory");
        hand_over(scratch.path());
        let data = scratch.path().join("data");
        let init = as_owner(scratch.path(), &binaries.join("initdb"))
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .expect("initdb starts");
        assert!(
            init.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&init.stderr)
        );
        let settings = adjust(scratch.path());
        let log = File::create(scratch.path().join("log")).expect("a log file");
        let process = as_owner(scratch.path(), &binaries.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(scratch.path())
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=200",
            ])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        let url = format!(
            "postgres://postgres@localhost/postgres?host={}",
            scratch.path().display()
        );
        let mut private = Private {
            scratch,
            binaries,
            process,
            port: settings
                .iter()
                .find_map(|s| s.strip_prefix("port=").map(str::to_owned)),
        };
        private.wait_until_ready();
        Self {
            url,
            _private: Some(private),
        }
    }
}

impl Private {
    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_DEADLINE;
        while !self.is_ready() {
            let ended = self.process.try_wait().expect("the child can be asked");
            let log = || fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "postgres ended at once: {}", log());
            assert!(
                Instant::now() < deadline,
                "postgres is not ready: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_ready(&self) -> bool {
        let asked = Command::new(self.binaries.join("pg_isready"))
            .arg("--quiet")
            .arg("--host")
            .arg(self.scratch.path())
            .args(self.port.iter().flat_map(|port| ["--port", port]))
            .status();
        asked.expect("pg_isready starts").success()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let stopped = as_owner(self.scratch.path(), &self.binaries.join("pg_ctl"))
            .args(["stop", "--mode=fast", "--silent", "-D"])
            .arg(self.scratch.path().join("data"))
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            // Better a hard end than one that outlives the suite.
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// An authority, and a certificate of its for the server.
fn certify(scratch: &Path) {
    let make = |name: &str, subject: &str, more: &[&str]| {
        let made = as_owner(scratch, Path::new("openssl"))
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", subject])
            .args([
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.crt"),
            ])
            .args(more)
            .output()
            .expect("openssl starts");
        let words = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl: {words}");
    };
    make("authority", "/CN=authority", &[]);
    let by_authority = ["-CA", "authority.crt", "-CAkey", "authority.key"];
    let for_localhost = [
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        "subjectAltName=DNS:localhost",
    ];
    make(
        "server",
        "/CN=localhost",
        &[by_authority, for_localhost].concat(),
    );
}

/// The newest version installed.
fn find_binaries() -> PathBuf {
    let found = fs::read_dir(BINARIES).ok().into_iter().flatten().flatten();
    let newest = found
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("postgres").exists())
        .max_by_key(|bin| {
            let version = bin.parent().and_then(Path::file_name);
            version.and_then(|v| v.to_str()?.parse::<u32>().ok())
        });
    newest.unwrap_or_else(|| {
        panic!(
            "these tests need PostgreSQL: install Debian's package `postgresql`, or name a server \
             by {VARIABLE}=postgres://user:password@host/database"
        )
    })
}

/// PostgreSQL refuses to run as root, so then its own user does, and owns the directory.
fn hand_over(scratch: &Path) {
    if !is_root(scratch) {
        return;
    }
    let id = |flag| {
        let id = Command::new("id")
            .args([flag, "postgres"])
            .output()
            .expect("id starts");
        let text = String::from_utf8(id.stdout).expect("id prints a number");
        text.trim()
            .parse()
            .expect("the package `postgresql` made the user postgres")
    };
    chown(scratch, Some(id("-u")), Some(id("-g"))).expect("root may hand a directory over");
    fs::set_permissions(scratch, fs::Permissions::from_mode(0o755)).expect("the mode is set");
}

/// As the owner of the directory, and told to end when this process ends, however it does.
fn as_owner(scratch: &Path, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root(Path::new("/proc/self")) {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(program).current_dir(scratch);
    command
}

/// Whether what this process made or is belongs to root.
fn is_root(own: &Path) -> bool {
    fs::metadata(own).expect("it exists").uid() == 0
}
