//! `pinfold sandbox ssh`: the machine's own `ssh`, with a key that is made for this once.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus as ProcessStatus;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use pinfold_model::{ExitStatus, SandboxId};
use pinfold_sdk::{Client, CreateSshKey, CreatedSshKey, Error, SshGateway};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::ssh_key::write_private;
use crate::client::sandbox;
use crate::exit::Ending;
use crate::values;

const PROGRAM: &str = "ssh";
/// Who logs in by then stays in; what a crash leaves of the key opens nothing for long.
const KEY_LIFE: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
#[command(
    after_help = "What stands behind -- is for ssh itself: a command, or options such as \
                        -L 8000:localhost:8000. The exit code is that of ssh."
)]
pub(crate) struct SshArgs {
    /// Name or id
    #[arg(value_name = "SANDBOX")]
    sandbox: String,

    /// Options and the command, for ssh
    #[arg(value_name = "SSH_ARGS", last = true)]
    args: Vec<OsString>,
}

pub(super) async fn run(client: &Client, args: SshArgs) -> Result<Ending> {
    let sandbox = sandbox(client, &args.sandbox).await?;
    let keys = client.ssh_keys();
    let request = CreateSshKey {
        public_key: None,
        expires_in_ms: Some(values::milliseconds(KEY_LIFE)),
    };
    let created = keys.create(&sandbox.id, &request).await?;
    let ended = ssh(&created, &args.args).await;
    match keys.delete(&sandbox.id, &created.key.id).await {
        // It has gone with its sandbox.
        Err(error) if is_gone(&error) => {}
        deleted => deleted.context("the key of this connection is left")?,
    }
    let status = ended?;
    let status = status
        .code()
        .map(ExitStatus::Code)
        .or_else(|| status.signal().map(ExitStatus::Signal));
    Ok(status.map_or(Ending::Failed, Ending::Command))
}

fn is_gone(error: &Error) -> bool {
    error.api().is_some_and(|error| error.status == 404)
}

/// Runs it to its end. What ends us from the terminal is for ssh to judge; it has the same one.
async fn ssh(created: &CreatedSshKey, args: &[OsString]) -> Result<ProcessStatus> {
    check(&created.gateway)?;
    let private = created.private_key.as_deref();
    let private = private.ok_or_else(|| anyhow!("the server made no private key"))?;
    let scratch = tempfile::tempdir().context("cannot make a directory for the key")?;
    let (key, hosts) = (
        scratch.path().join("key"),
        scratch.path().join("known_hosts"),
    );
    write_private(&key, private)?;
    std::fs::write(&hosts, format!("{}\n", created.gateway.known_hosts))
        .context("cannot write the key of the host")?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut ended = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let mut child = match command(created, &key, &hosts, args).spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(anyhow!(
                "there is no ssh on this machine; `pinfold sandbox shell` needs none"
            ));
        }
        child => child.context("cannot run ssh")?,
    };
    let [terminate, hangup] = &mut ended;
    loop {
        tokio::select! {
            status = child.wait() => return status.context("cannot wait for ssh"),
            _ = interrupted.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => child.start_kill()?,
            _ = hangup.recv() => child.start_kill()?,
        }
    }
}

/// A server says where its gateway is, and says nothing else: what ssh took for an option (such as
/// `-oProxyCommand=`) would be run on this machine.
fn check(gateway: &SshGateway) -> Result<()> {
    let letters = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    let (host, user) = (&gateway.host, &gateway.user);
    let plain = !host.is_empty() && !host.starts_with('-') && host.chars().all(letters);
    ensure!(
        plain,
        "the server names no host to connect to, but {host:?}"
    );
    let known = user.parse::<SandboxId>().is_ok();
    ensure!(
        known,
        "the server names no sandbox as the user, but {user:?}"
    );
    let line = &gateway.known_hosts;
    ensure!(
        !line.contains(['\n', '\r']),
        "the server's key is no line for known_hosts"
    );
    Ok(())
}

/// Neither keys of the user's nor remembered hosts have a part in it.
fn command(created: &CreatedSshKey, key: &Path, hosts: &Path, args: &[OsString]) -> Command {
    let gateway = &created.gateway;
    let mut known_hosts = OsString::from("UserKnownHostsFile=");
    known_hosts.push(hosts);
    let mut command = Command::new(PROGRAM);
    command
        .kill_on_drop(true)
        .arg("-i")
        .arg(key)
        .arg("-o")
        .arg(known_hosts);
    for option in [
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "ControlPath=none",
        "ControlMaster=no",
        "ForwardAgent=no",
    ] {
        command.arg("-o").arg(option);
    }
    command
        .arg("-p")
        .arg(gateway.port.to_string())
        .arg("-l")
        .arg(&gateway.user)
        .arg(&gateway.host)
        .args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(host: &str, user: &str) -> SshGateway {
        SshGateway {
            host: host.to_owned(),
            port: 7022,
            user: user.to_owned(),
            host_key: String::new(),
            host_key_fingerprint: String::new(),
            known_hosts: String::new(),
        }
    }

    #[test]
    fn a_server_cannot_give_ssh_options() {
        let user = SandboxId::generate().to_string();
        for host in ["127.0.0.1", "::1", "pinfold.example.org"] {
            assert!(check(&gateway(host, &user)).is_ok(), "{host}");
        }
        for host in [
            "",
            "-oProxyCommand=id",
            "a b",
            "a@b",
            "a/b",
            "a\nb",
            "[::1]",
        ] {
            assert!(check(&gateway(host, &user)).is_err(), "{host:?}");
        }
        for user in ["", "root", "-oProxyCommand=id", "sbx_x -o"] {
            assert!(check(&gateway("127.0.0.1", user)).is_err(), "{user:?}");
        }
        let two_lines = SshGateway {
            known_hosts: "a\n* b".to_owned(),
            ..gateway("127.0.0.1", &user)
        };
        assert!(check(&two_lines).is_err());
    }
}
