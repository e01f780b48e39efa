//! Reaching ports inside.

use std::time::Duration;

use pinfold_runtime::guest::FailureKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::sandbox::{Sandbox, argv, read_until, within};

/// Answers each connection with what it got, reversed.
const SERVER: &str = r#"
import socket, sys
family = socket.AF_INET6 if sys.argv[1] == "::1" else socket.AF_INET
server = socket.socket(family)
server.bind((sys.argv[1], 0))
server.listen()
print("port", server.getsockname()[1], "end", flush=True)
while True:
    peer, _ = server.accept()
    peer.sendall(peer.recv(100)[::-1])
    peer.close()
"#;

#[tokio::test]
async fn a_port_is_reached_over_both_loopback_addresses() {
    let sandbox = Sandbox::boot().await;
    for address in ["127.0.0.1", "::1"] {
        let spec = argv(&["python3", "-c", SERVER, address]);
        let started = sandbox.start(&spec).await;
        let mut stdout = pipe::Receiver::from_owned_fd(started.pipes.stdout).expect("stdout");
        let text = read_until(&mut stdout, "end").await;
        let port = text
            .split(' ')
            .nth(1)
            .expect("port")
            .parse()
            .expect("number");
        let dialed = within(sandbox.guest.dial(port, Duration::from_secs(5))).await;
        let mut stream = dialed.expect("dial");
        within(stream.write_all(b"olleh")).await.expect("write");
        let mut text = String::new();
        within(stream.read_to_string(&mut text))
            .await
            .expect("read");
        assert_eq!(text, "hello");
    }
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let sandbox = Sandbox::boot().await;
    let refused = within(sandbox.guest.dial(1, Duration::from_secs(5)))
        .await
        .expect_err("closed");
    assert_eq!(refused.refusal(), Some(FailureKind::ConnectionRefused));
    let refused = within(sandbox.guest.dial(0, Duration::from_secs(5)))
        .await
        .expect_err("zero");
    assert_eq!(refused.refusal(), Some(FailureKind::Invalid));
}
