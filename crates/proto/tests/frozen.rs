//! The bytes of every message of every version ever released. A guest outlives many servers: what
//! changes a line here breaks sandboxes that run. New fields and messages get new lines.

use pinfold_proto::{self as proto, Reply, Request, reply, request};
use prost::Message;

const V1: &str = include_str!("frozen/v1.txt");

fn request(body: request::Body) -> Vec<u8> {
    Request {
        id: 300,
        body: Some(body),
    }
    .encode_to_vec()
}

fn reply(body: reply::Body) -> Vec<u8> {
    Reply {
        id: 300,
        body: Some(body),
    }
    .encode_to_vec()
}

fn path(text: &[u8]) -> proto::Path {
    proto::Path {
        path: text.to_vec(),
        user: "bob".into(),
        within: b"/workspace".to_vec(),
        no_follow: true,
    }
}

fn hello() -> proto::Hello {
    proto::Hello {
        major: 1,
        minor: 2,
        release: "0.1.0".into(),
        boot: u64::MAX,
    }
}

fn command() -> proto::CommandRef {
    proto::CommandRef {
        command: "cmd_1".into(),
    }
}

fn window() -> proto::Window {
    proto::Window { rows: 24, cols: 80 }
}

fn failure() -> proto::Failure {
    proto::Failure {
        kind: proto::FailureKind::Cancelled.into(),
        message: "m".into(),
        errno: 2,
    }
}

fn exited() -> proto::Exited {
    proto::Exited {
        command: "cmd_1".into(),
        code: Some(0),
        signal: Some(9),
        timed_out: true,
        killed: true,
        start_errno: 2,
        cpu_us: 1500,
    }
}

fn stat() -> proto::FileStat {
    proto::FileStat {
        name: b"n\xff".to_vec(),
        kind: proto::FileKind::Symlink.into(),
        size: 7,
        mode: 0o4755,
        uid: 1000,
        gid: 1001,
        modified_us: -5,
        target: b"t".to_vec(),
    }
}

fn start() -> proto::Start {
    proto::Start {
        command: "cmd_1".into(),
        fingerprint: vec![1, 2],
        argv: vec![b"a".to_vec(), vec![]],
        shell: Some("echo".into()),
        cwd: "/w".into(),
        env: vec!["A=1".into()],
        user: "bob".into(),
        stdin: true,
        terminal: Some(window()),
        timeout_ms: 1000,
        make_cwd: true,
        gate: false,
    }
}

fn transfer() -> proto::Transfer {
    proto::Transfer {
        at: Some(path(b"/f")),
        kind: proto::TransferKind::Watch.into(),
        offset: 1,
        length: Some(0),
        mode: 0o644,
        parents: true,
        exclusive: true,
        recursive: true,
        expect: Some(3),
    }
}

/// Every request of this version with every field set.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    use request::Body;
    let at = || Some(path(b"/f"));
    vec![
        ("request.hello", request(Body::Hello(hello()))),
        (
            "request.configure",
            request(Body::Configure(proto::Configure {
                die_with_host: true,
                default_path: "/bin".into(),
                ..proto::Configure::default()
            })),
        ),
        (
            "request.configure_workdir",
            request(Body::Configure(proto::Configure {
                workdir: "/w".into(),
                user: "bob".into(),
                ..proto::Configure::default()
            })),
        ),
        ("request.start", request(Body::Start(start()))),
        (
            "request.start_gated",
            request(Body::Start(proto::Start {
                gate: true,
                ..start()
            })),
        ),
        (
            "request.kill",
            request(Body::Kill(proto::Kill {
                command: "cmd_1".into(),
                signal: 15,
                scope: proto::KillScope::Process.into(),
            })),
        ),
        ("request.close_stdin", request(Body::CloseStdin(command()))),
        (
            "request.resize",
            request(Body::Resize(proto::Resize {
                command: "cmd_1".into(),
                window: Some(window()),
            })),
        ),
        (
            "request.list_commands",
            request(Body::ListCommands(proto::ListCommands {})),
        ),
        ("request.adopt", request(Body::Adopt(command()))),
        ("request.forget", request(Body::Forget(command()))),
        ("request.stat", request(Body::Stat(path(b"/f\xff")))),
        (
            "request.list",
            request(Body::List(proto::List {
                at: at(),
                after: b"a".to_vec(),
                limit: 10,
            })),
        ),
        (
            "request.make_dir",
            request(Body::MakeDir(proto::MakeDir {
                at: at(),
                parents: true,
                mode: 0o700,
            })),
        ),
        (
            "request.move",
            request(Body::Move(proto::Move {
                from: at(),
                to: at(),
                overwrite: true,
            })),
        ),
        (
            "request.remove",
            request(Body::Remove(proto::Remove {
                at: at(),
                recursive: true,
            })),
        ),
        (
            "request.set_mode",
            request(Body::SetMode(proto::SetMode {
                at: at(),
                mode: 0o600,
            })),
        ),
        ("request.transfer", request(Body::Transfer(transfer()))),
        (
            "request.cancel_transfer",
            request(Body::CancelTransfer(proto::CancelTransfer { transfer: 9 })),
        ),
        (
            "request.dial",
            request(Body::Dial(proto::Dial {
                port: 80,
                timeout_ms: 5000,
            })),
        ),
        ("request.usage", request(Body::Usage(proto::UsageQuery {}))),
        (
            "request.shutdown",
            request(Body::Shutdown(proto::Shutdown { grace_ms: 100 })),
        ),
        (
            "request.commit_transfer",
            request(Body::CommitTransfer(proto::CommitTransfer {
                transfer: 9,
                bytes: 3,
            })),
        ),
    ]
}

/// Every reply of this version with every field set, and the frames of a watch.
fn replies() -> Vec<(&'static str, Vec<u8>)> {
    use reply::Body;
    let entry = proto::CommandEntry {
        command: "cmd_1".into(),
        pid: 7,
        exited: Some(exited()),
    };
    let usage = proto::Usage {
        processes: 1,
        disk_used_bytes: 2,
        disk_total_bytes: 3,
        uptime_ms: 4,
    };
    let ended = proto::TransferEnded {
        transfer: 9,
        bytes: 3,
        failure: Some(failure()),
    };
    let event = proto::FileEvent {
        kind: proto::FileEventKind::Mode.into(),
        path: b"a/\xff".to_vec(),
    };
    vec![
        ("reply.hello", reply(Body::Hello(hello()))),
        ("reply.failure", reply(Body::Failure(failure()))),
        ("reply.done", reply(Body::Done(proto::Done {}))),
        (
            "reply.started",
            reply(Body::Started(proto::Started {
                pid: 7,
                existing: true,
            })),
        ),
        ("reply.exited", reply(Body::Exited(exited()))),
        (
            "reply.commands",
            reply(Body::Commands(proto::Commands {
                commands: vec![entry],
            })),
        ),
        (
            "reply.adopted",
            reply(Body::Adopted(proto::Adopted {
                stdin: true,
                stderr: true,
            })),
        ),
        ("reply.stat", reply(Body::Stat(stat()))),
        (
            "reply.entries",
            reply(Body::Entries(proto::Entries {
                entries: vec![stat()],
                more: true,
            })),
        ),
        ("reply.dialed", reply(Body::Dialed(proto::Dialed {}))),
        ("reply.usage", reply(Body::Usage(usage))),
        ("reply.transfer_ended", reply(Body::TransferEnded(ended))),
        ("watch.file_event", event.encode_length_delimited_to_vec()),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn version_1_is_spoken_as_it_was_released() {
    let spoken: Vec<_> = requests()
        .into_iter()
        .chain(replies())
        .map(|(name, bytes)| format!("{name} {}", hex(&bytes)))
        .collect();
    let frozen: Vec<_> = V1.lines().collect();
    assert_eq!(spoken, frozen);
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    // A field 1000 of type varint in a known message, and a request with an unknown body only.
    let mut bytes = requests()[1].1.clone();
    bytes.extend([0xc0, 0x3e, 1]);
    let known = Request::decode(bytes.as_slice()).expect("decodes");
    assert!(matches!(known.body, Some(request::Body::Configure(_))));
    let unknown = Request::decode(&[0x08, 5, 0xc0, 0x3e, 1][..]).expect("decodes");
    assert_eq!(unknown, Request { id: 5, body: None });
}
