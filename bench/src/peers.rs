//! The peers that are installed here, each on the same root filesystem as our sandboxes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use pinfold_images::HostRoot;
use serde_json::{Value, json};

use crate::contenders::{Contender, Kind, PROGRAM};

/// What is not installed is left out and named on stderr.
pub(crate) fn installed(place: &Path, root: &HostRoot) -> Result<Vec<Contender>> {
    let mut found = Vec::new();
    if there("bwrap") {
        found.push(bwrap(root));
    }
    for runtime in ["crun", "runc"] {
        if there(runtime) {
            match oci_runtime(runtime, place, root) {
                Ok(contenders) => found.extend(contenders),
                Err(error) => {
                    eprintln!("{runtime} does not work here, so it is left out: {error:#}")
                }
            }
        }
    }
    Ok(found)
}

fn there(program: &str) -> bool {
    let there = Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !there {
        eprintln!("{program} is not installed: left out");
    }
    there
}

/// bubblewrap with all namespaces; it has no id range, overlay, cgroup or seccomp filter.
fn bwrap(root: &HostRoot) -> Contender {
    let mut argv: Vec<String> = ["bwrap", "--unshare-all"].map(str::to_owned).to_vec();
    argv.extend(["--bind".to_owned(), text(&root.layer_dir), "/".to_owned()]);
    for bind in &root.binds {
        argv.extend([
            "--ro-bind".to_owned(),
            text(&bind.source),
            text(&bind.target),
        ]);
    }
    argv.extend(["--proc", "/proc", "--dev", "/dev", PROGRAM].map(str::to_owned));
    Contender::Program {
        name: "bwrap".to_owned(),
        kinds: &[Kind::Create],
        argv,
        after: Vec::new(),
    }
}

/// An OCI runtime: `run` for create, `exec` into a container that sleeps.
fn oci_runtime(runtime: &str, place: &Path, root: &HostRoot) -> Result<[Contender; 2]> {
    let bundle = |name: &str, args: &[&str]| make_bundle(runtime, place, name, root, args);
    let create = bundle("create", &[PROGRAM])?;
    let sleeper = bundle("exec", &["/bin/sleep", "infinity"])?;
    let id = format!("pinfold-bench-{}", std::process::id());
    let status = Command::new(runtime)
        .args(["run", "--detach", "--bundle", &text(&sleeper), &id])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()?;
    ensure!(status.success(), "{runtime} could not start a container");
    let words = |argv: &[&str]| argv.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let once = format!("{id}-once");
    Ok([
        Contender::Program {
            name: runtime.to_owned(),
            kinds: &[Kind::Create],
            argv: words(&[runtime, "run", "--bundle", &text(&create), &once]),
            after: Vec::new(),
        },
        Contender::Program {
            name: format!("{runtime} exec"),
            kinds: &[Kind::Exec],
            argv: words(&[runtime, "exec", &id, PROGRAM]),
            after: words(&[runtime, "delete", "--force", &id]),
        },
    ])
}

fn make_bundle(
    runtime: &str,
    place: &Path,
    name: &str,
    root: &HostRoot,
    args: &[&str],
) -> Result<PathBuf> {
    let bundle = place.join(format!("{runtime}-{name}"));
    std::fs::create_dir(&bundle)?;
    let status = Command::new(runtime)
        .arg("spec")
        .current_dir(&bundle)
        .status()?;
    ensure!(status.success(), "{runtime} spec failed");
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
