//! Firewall rules, applied by the program `nft` in the calling thread's network namespace.

use std::io;
use std::process::{Command, Stdio};

/// Applies a script as one transaction. The error is of kind `Unsupported` where this host has no
/// such program or refuses the rules, in words for the operator.
pub(super) fn apply(script: &str) -> io::Result<()> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            unsupported(format!(
                "networks need the program nft (package nftables) on this host: {error}"
            ))
        })?;
    let mut input = nft.stdin.take().expect("stdin is piped");
    let written = io::Write::write_all(&mut input, script.as_bytes());
    drop(input);
    let output = nft.wait_with_output()?;
    if output.status.success() && written.is_ok() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let first = words.lines().next().unwrap_or("no message");
    Err(unsupported(format!(
        "this host refuses the firewall rules: {first}"
    )))
}

fn unsupported(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, words)
}
