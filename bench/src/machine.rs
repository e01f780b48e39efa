//! What this machine is, and what its kernel counts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

/// Writes down what the figures were measured on.
pub(crate) fn describe(path: &Path) -> Result<()> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let memory = mebibytes_of("MemTotal")?;
    let versions: Vec<String> = ["bwrap", "crun", "runc", "podman", "runsc", "nginx"]
        .iter()
        .filter_map(|program| version(program))
        .collect();
    let machine = json!({
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "cpu": model.and_then(|line| line.split_once(": ")).map(|(_, model)| model),
        "cpus": std::thread::available_parallelism()?.get(),
        "memory_gib": (memory / 1024.0).round(),
        "cgroups": if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1 or hybrid" },
        "peers": versions,
    });
    fs::write(path, format!("{machine:#}\n"))?;
    Ok(())
}

/// The first line of what a program says about itself.
fn version(program: &str) -> Option<String> {
    // nginx knows only the short form and says it on stderr.
    let option = if program == "nginx" {
        "-v"
    } else {
        "--version"
    };
    let output = Command::new(program).arg(option).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().next().map(str::to_owned)
}

/// Time that all CPUs together were busy since the machine started, in milliseconds.
pub(crate) fn busy_ms() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("no line of all CPUs")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq (proc_stat(5)); a tick is 10 ms everywhere.
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at));
    Ok(busy.sum::<f64>() * 10.0)
}

/// Memory that could be used without swapping.
pub(crate) fn available_mib() -> Result<f64> {
    mebibytes_of("MemAvailable")
}

fn mebibytes_of(field: &str) -> Result<f64> {
    kib(&fs::read_to_string("/proc/meminfo")?, field)
}

pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS")
}

/// The process's proportional share of memory.
pub(crate) fn proportional_mib(pid: u32) -> Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    kib(&rollup, "Pss")
}

fn kib(text: &str, field: &str) -> Result<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("the kernel does not say {field}"))? / 1024.0)
}

/// The guest of a sandbox, by its name (the kernel cuts it) and its cgroup, which has the sandbox's.
pub(crate) fn guest_of(sandbox: &str) -> Result<u32> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        let pid = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        if let Some(pid) = pid
            && read("comm").contains("pinfold")
            && read("cgroup").contains(sandbox)
        {
            return Ok(pid);
        }
    }
    anyhow::bail!("no guest of {sandbox} is there")
}

/// Asks a process that was started here to end.
pub(crate) fn terminate(pid: u32) -> Result<()> {
    let status = Command::new("kill").arg(pid.to_string()).status()?;
    ensure!(status.success(), "process {pid} cannot be ended");
    Ok(())
}
