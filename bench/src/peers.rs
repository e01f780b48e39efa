//! The peers that are installed here, each on the same root filesystem as our sandboxes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use pinfold_images::HostRoot;
use serde_json::{Value, json};

use crate::contenders::{PROGRAM, Program};

/// OCI runtimes with the options that they need on some machine: crun cannot do the hybrid layout of
/// cgroups, and gVisor's own choice needs KVM.
const RUNTIMES: [(&str, &str, &[&str]); 4] = [
    ("crun", "crun", &[]),
    (
        "crun without cgroups",
        "crun",
        &["--cgroup-manager=disabled"],
    ),
    ("runc", "runc", &[]),
    (
        "runsc",
        "runsc",
        &["--platform=ptrace", "--network=none", "--ignore-cgroups"],
    ),
];
/// Stands for a number in the names of containers that run at the same time.
const NUMBER: &str = "NUMBER";

/// Those that make, run and take apart in one go. What is not installed, or does not work here, is
/// left out and named on stderr.
pub(crate) fn creating(place: &Path, root: &HostRoot) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    if there("bwrap") {
        found.push(bwrap(root));
    }
    for (name, runtime, options) in RUNTIMES {
        if there(runtime) {
            let bundle = make_bundle(place, &format!("{name} create"), root, &[PROGRAM])?;
            let id = format!("pinfold-bench-{}-{NUMBER}", std::process::id());
            let run = ["run", "--bundle", &text(&bundle), &id];
            let program = Program::new(name, &[&[runtime], options, &run[..]].concat());
            found.push(Program {
                is_slow: runtime == "runsc",
                ..program
            });
        }
    }
    if there("podman") {
        found.push(podman(root, "podman", &["--rm"], &[PROGRAM]));
    }
    found.retain(works);
    Ok(found)
}

/// Those that run a command in what is there already.
pub(crate) fn executing(place: &Path, root: &HostRoot) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    let sleep = ["/bin/sleep", "infinity"];
    let id = format!("pinfold-bench-{}", std::process::id());
    for (at, (name, runtime, options)) in RUNTIMES.into_iter().enumerate() {
        if there(runtime) {
            let bundle = make_bundle(place, &format!("{name} exec"), root, &sleep)?;
            let id = format!("{id}-{at}");
            let words = |args: &[&str]| -> Vec<String> {
                let all = [&[runtime], options, args].concat();
                all.into_iter().map(str::to_owned).collect()
            };
            let run = words(&["run", "--detach", "--bundle", &text(&bundle), &id]);
            if !started(&run) {
                continue;
            }
            found.push(Program {
                argv: words(&["exec", &id, PROGRAM]),
                after: words(&["delete", "--force", &id]),
                is_slow: runtime == "runsc",
                ..Program::new(&exec_of(name), &[])
            });
        }
    }
    if there("podman") {
        let run = podman(root, "", &["--detach", "--name", &id], &sleep);
        if started(&run.argv) {
            found.push(Program {
                after: ["podman", "rm", "--force", "--time=0", &id]
                    .map(str::to_owned)
                    .into(),
                is_slow: true,
                ..Program::new("podman exec", &["podman", "exec", &id, PROGRAM])
            });
        }
    }
    found.retain(works);
    Ok(found)
}

/// `crun without cgroups` becomes `crun exec without cgroups`.
fn exec_of(name: &str) -> String {
    match name.split_once(' ') {
        Some((runtime, how)) => format!("{runtime} exec {how}"),
        None => format!("{name} exec"),
    }
}

/// Into all namespaces of a process; no cgroup, no filter, no user.
pub(crate) fn nsenter(pid: u32) -> Program {
    let target = pid.to_string();
    Program::new(
        "nsenter",
        &["nsenter", "--target", &target, "--all", PROGRAM],
    )
}

impl Program {
    /// The same under a name of its own, for running beside others.
    pub(crate) fn numbered(&self, number: usize) -> Self {
        let number = number.to_string();
        Self {
            argv: self
                .argv
                .iter()
                .map(|word| word.replace(NUMBER, &number))
                .collect(),
            ..Self::default()
        }
    }
}

pub(crate) fn there(program: &str) -> bool {
    // Every one of them knows this option, and says by failing that it does not; being there counts.
    let there = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !there {
        eprintln!("{program} is not installed: left out");
    }
    there
}

fn works(program: &Program) -> bool {
    let output = Command::new(&program.argv[0])
        .args(&program.argv[1..])
        .stdin(Stdio::null())
        .output();
    let works = output.as_ref().is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("{} does not work here: left out ({output:?})", program.name);
    }
    works
}

fn started(argv: &[String]) -> bool {
    let status = Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let started = status.is_ok_and(|status| status.success());
    if !started {
        eprintln!("{} could not start a container: left out", argv[0]);
    }
    started
}

/// bubblewrap with all namespaces; it has no id range, overlay, cgroup or seccomp filter.
fn bwrap(root: &HostRoot) -> Program {
    let layer = text(&root.layer_dir);
    let mut argv = vec!["bwrap", "--unshare-all", "--bind", &layer, "/"];
    let binds: Vec<_> = root
        .binds
        .iter()
        .map(|b| (text(&b.source), text(&b.target)))
        .collect();
    for (source, target) in &binds {
        argv.extend(["--ro-bind", source, target]);
    }
    argv.extend(["--proc", "/proc", "--dev", "/dev", PROGRAM]);
    Program::new("bwrap", &argv)
}

/// Its overlay stands for a writable root.
fn podman(root: &HostRoot, name: &str, options: &[&str], command: &[&str]) -> Program {
    let layer = format!("{}:O", text(&root.layer_dir));
    let binds = root.binds.iter();
    let binds: Vec<_> = binds
        .map(|bind| format!("--volume={}:{}:ro", text(&bind.source), text(&bind.target)))
        .collect();
    let mut argv = vec![
        "podman",
        "run",
        "--network=none",
        "--log-driver=none",
        "--ulimit=host",
    ];
    argv.extend(options);
    argv.extend(binds.iter().map(String::as_str));
    argv.extend(["--rootfs", &layer]);
    argv.extend(command);
    Program {
        is_slow: true,
        ..Program::new(name, &argv)
    }
}

fn make_bundle(place: &Path, name: &str, root: &HostRoot, args: &[&str]) -> Result<PathBuf> {
    let bundle = place.join(name);
    std::fs::create_dir(&bundle)?;
    // The specification is the standard's, whoever writes it.
    let status = Command::new("runc")
        .arg("spec")
        .current_dir(&bundle)
        .status()?;
    ensure!(status.success(), "runc spec failed");
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    config["root"] = json!({ "path": root.layer_dir, "readonly": true });
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(args);
    let mounts = config["mounts"]
        .as_array_mut()
        .context("the runtime's own mounts")?;
    // Not every layout of cgroups can be shown inside; the limits hold all the same.
    mounts.retain(|mount| mount["type"] != "cgroup");
    for bind in &root.binds {
        mounts.push(json!({
            "destination": bind.target, "source": bind.source,
            "type": "bind", "options": ["bind", "ro"],
        }));
    }
    config["linux"]["resources"] = json!({
        "memory": { "limit": 1u64 << 30 },
        "cpu": { "quota": 100_000, "period": 100_000 },
        "pids": { "limit": 1024 },
    });
    std::fs::write(&path, serde_json::to_vec(&config)?)?;
    Ok(bundle)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
