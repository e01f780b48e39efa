//! `pinfold doctor`: what this machine and this user can enforce, proved by booting a sandbox.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::client;
use crate::exit::Ending;
use crate::output::{Format, json, line};
use crate::paths::{DataDir, is_root};
use crate::run;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    level: &'static str,
    enforced: Vec<&'static str>,
    weaker: Vec<String>,
    /// `null` when a sandbox was made and removed again.
    fault: Option<String>,
    data_dir: String,
    server: Option<String>,
}

pub(crate) async fn run(global: &Global, args: DoctorArgs) -> Result<Ending> {
    let data = DataDir::locate(global.data_dir.as_deref())?;
    let data_dir = data.path().display().to_string();
    let checked = run::check(data).await?;
    let report = Report {
        level: checked.isolation.level.as_str(),
        enforced: checked.isolation.enforced,
        weaker: checked.isolation.weaker,
        fault: checked.fault.map(|error| format!("{error:#}")),
        data_dir,
        server: client::server_version(global).await?,
    };
    if args.format.json {
        json(&report)?;
    } else {
        tell(&report)?;
    }
    Ok(if report.fault.is_none() {
        Ending::Done
    } else {
        Ending::Failed
    })
}

fn tell(report: &Report) -> Result<()> {
    let user = if is_root() {
        "root"
    } else {
        "an ordinary user"
    };
    line(&format!(
        "As {user} on this machine, sandboxes are isolated by: {}.",
        report.level
    ))?;
    line("\nEnforced:")?;
    for mechanism in &report.enforced {
        line(&format!("  {}", words(mechanism)))?;
    }
    if !report.weaker.is_empty() {
        line("\nWeaker than it could be:")?;
        for weakness in &report.weaker {
            line(&format!("  {weakness}"))?;
        }
    }
    let proof = match &report.fault {
        None => "A sandbox was made, ran a command and was removed: all is well.".to_owned(),
        Some(fault) => format!("A sandbox could NOT be made: {fault}"),
    };
    line(&format!("\n{proof}"))?;
    line(&format!("Data directory: {}", report.data_dir))?;
    match &report.server {
        Some(version) => line(&format!("Server: version {version} answers")),
        None => line("Server: none answers; start one with `pinfold serve`"),
    }
}

/// The drivers' names for mechanisms, for people. One that is new here is shown as it is.
fn words(mechanism: &str) -> String {
    let words = match mechanism {
        "user_namespace" => "root inside is nobody outside (user namespace)",
        "id_range_per_sandbox" => "no two sandboxes share a user id",
        "idmapped_layers" => "images belong to the sandbox's own ids (idmapped layers)",
        "mount_namespace" => "a filesystem of its own (mount namespace, pivot_root)",
        "pid_namespace" => "sees no processes but its own (PID namespace)",
        "ipc_namespace" => "shares no memory or queues with others (IPC namespace)",
        "uts_namespace" => "a hostname of its own (UTS namespace)",
        "network_namespace" => "a network of its own (network namespace)",
        "cgroup_namespace" => "sees no cgroups but its own (cgroup namespace)",
        "seccomp" => "only system calls of an allow-list (seccomp)",
        "no_new_privs" => "no program gains privileges (no_new_privs)",
        "bounded_capabilities" => "few capabilities, and no way to more",
        "masked_proc" => "the kernel's own files are hidden or read-only (masked /proc)",
        "disk_bound" => "a bound on what it writes",
        "cgroup_memory" => "a bound on memory (cgroup)",
        "cgroup_cpu" => "a bound on CPU (cgroup)",
        "cgroup_pids" => "a bound on processes (cgroup)",
        other => return other.replace('_', " "),
    };
    words.to_owned()
}
