//! Builds the two static programs that Pinfold carries inside itself: the guest and the spawner.
//!
//! A nested cargo with a target directory of its own, so that it neither waits for the outer one's
//! lock nor rebuilds between debug and release. The musl target is taken where it is installed
//! (smaller programs); else the host's own target with a static C runtime, which needs nothing but
//! stock Rust.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: [&str; 2] = ["pinfold-guest", "pinfold-spawner"];
const SOURCES: [&str; 4] = ["guest", "spawner", "proto", "sys"];

fn main() {
    let crates = manifest_dir().parent().expect("crates/").to_path_buf();
    for source in SOURCES {
        println!(
            "cargo::rerun-if-changed={}",
            crates.join(source).join("src").display()
        );
        println!(
            "cargo::rerun-if-changed={}",
            crates.join(source).join("Cargo.toml").display()
        );
    }
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target_dir = out
        .ancestors()
        .nth(4)
        .expect("target/PROFILE/build/CRATE/out")
        .join("embedded");
    let target = target();
    build(&crates, &target_dir, &target);
    for program in PROGRAMS {
        let built = target_dir.join(&target).join("embedded").join(program);
        std::fs::copy(&built, out.join(program))
            .unwrap_or_else(|error| panic!("copy {}: {error}", built.display()));
    }
}

fn manifest_dir() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
}

fn target() -> String {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target");
    let musl = format!("{arch}-unknown-linux-musl");
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let libdir = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", &musl])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    match libdir {
        Some(libdir) if libdir.is_dir() => musl,
        _ => env::var("TARGET").expect("cargo sets TARGET"),
    }
}

fn build(crates: &Path, target_dir: &Path, target: &str) {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .current_dir(crates.parent().expect("the workspace"))
        .args([
            "build",
            "--profile",
            "embedded",
            "--locked",
            "--target",
            target,
            "--target-dir",
        ])
        .arg(target_dir);
    for program in PROGRAMS {
        cargo.args(["-p", program, "--bin", program]);
    }
    // What the outer build was told about its own code is not meant for these programs.
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    let status = cargo.status().expect("start the nested cargo");
    assert!(status.success(), "building {PROGRAMS:?} failed: {status}");
}
