//! Hosts that come and go, and peers that are not what they should be.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use pinfold_model::ExitStatus;
use pinfold_proto::{self as proto, Reply, Request, reply, request, transport};
use pinfold_runtime::guest::{Configure, FailureKind, Guest, GuestError, KillScope, StartSpec};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::sandbox::{Options, Sandbox, argv, read_all, shell, within};

#[tokio::test]
async fn no_byte_is_lost_or_told_twice_when_hosts_die_while_a_command_writes() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell("seq 1 200000; echo bad >&2; exit 9");
    let mut pipes = sandbox.start(&spec).await.pipes;
    let mut bytes = Vec::new();
    for _ in 0..5 {
        let mut stdout = pipe::Receiver::from_owned_fd(pipes.stdout).expect("stdout");
        let mut buffer = vec![0; 100_000];
        let len = within(stdout.read(&mut buffer)).await.expect("read");
        bytes.extend_from_slice(&buffer[..len]);
        sandbox.lose_host().await;
        pipes = within(sandbox.guest.adopt(&spec.id)).await.expect("adopt");
    }
    bytes.extend(within(read_all(pipes.stdout)).await);
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(
        bytes == expected.as_bytes(),
        "{} of {} bytes",
        bytes.len(),
        expected.len()
    );
    assert_eq!(
        within(read_all(pipes.stderr.expect("stderr"))).await,
        b"bad\n"
    );
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(9));
}

#[tokio::test]
async fn ends_are_told_to_every_new_host_until_they_are_forgotten() {
    let mut sandbox = Sandbox::boot().await;
    let spec = argv(&["sh", "-c", "exit 3"]);
    let boot_id = sandbox.guest.boot_id();
    sandbox.run(&spec).await;
    sandbox.reconnect().await;
    assert_eq!(sandbox.guest.boot_id(), boot_id);
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(3));
    let commands = within(sandbox.guest.commands()).await.expect("list");
    assert_eq!(
        commands[0].exited.map(|end| end.status),
        Some(ExitStatus::Code(3))
    );
    within(sandbox.guest.forget(&spec.id))
        .await
        .expect("forget");
    sandbox.reconnect().await;
    let other = shell("true");
    sandbox.run(&other).await;
    assert_eq!(
        within(sandbox.guest.commands()).await.expect("list").len(),
        1
    );
}

#[tokio::test]
async fn the_newest_host_wins() {
    let mut sandbox = Sandbox::boot().await;
    let old = sandbox.guest.clone();
    sandbox.reconnect().await;
    within(old.closed()).await;
    assert!(matches!(within(old.usage()).await, Err(GuestError::Lost)));
    within(sandbox.guest.usage()).await.expect("the new one");
}

#[tokio::test]
async fn more_ends_than_a_socket_holds_all_arrive() {
    let mut sandbox = Sandbox::boot().await;
    let specs: Vec<_> = (0..600).map(|_| argv(&["true"])).collect();
    for spec in &specs {
        let _ = sandbox.start(spec).await;
    }
    sandbox.reconnect().await;
    for spec in &specs {
        assert!(sandbox.ended(&spec.id).await.status.success());
    }
}

#[tokio::test]
async fn who_says_nothing_sensible_first_is_turned_away_and_the_host_stays() {
    let sandbox = Sandbox::boot().await;
    let silent = sandbox.connect_socket();
    let rude = sandbox.connect_socket();
    let usage = Request {
        id: 1,
        body: Some(request::Body::Usage(proto::UsageQuery {})),
    };
    transport::send(&rude, &usage, &[]).expect("send");
    let garbage = sandbox.connect_socket();
    pinfold_sys::datagram::send(&garbage, &[0, 0xff, 0xff], &[]).expect("send");
    for socket in [rude, garbage] {
        let gone = tokio::task::spawn_blocking(move || receive(&socket));
        assert!(within(gone).await.expect("thread").is_none());
    }
    within(sandbox.guest.usage())
        .await
        .expect("the host is still served");
    drop(silent);
}

fn receive(socket: &OwnedFd) -> Option<Reply> {
    let mut buffer = vec![0; transport::BUFFER_BYTES];
    transport::receive::<Reply>(socket, &mut buffer)
        .ok()
        .flatten()
        .map(|(reply, _)| reply)
}

#[tokio::test]
async fn another_version_is_told_ours_and_an_unknown_request_is_unsupported() {
    let sandbox = Sandbox::boot().await;
    let socket = sandbox.connect_socket();
    let hello = proto::Hello {
        major: 99,
        ..proto::Hello::default()
    };
    let request = Request {
        id: 1,
        body: Some(request::Body::Hello(hello)),
    };
    transport::send(&socket, &request, &[]).expect("send");
    let (reply, socket) = within(tokio::task::spawn_blocking(move || {
        (receive(&socket), socket)
    }))
    .await
    .expect("thread");
    let Some(reply::Body::Hello(theirs)) = reply.and_then(|reply| reply.body) else {
        panic!("no Hello")
    };
    assert_eq!(theirs.major, proto::PROTOCOL_MAJOR);
    let ours = proto::Hello {
        major: proto::PROTOCOL_MAJOR,
        ..proto::Hello::default()
    };
    for body in [Some(request::Body::Hello(ours)), None] {
        transport::send(&socket, &Request { id: 7, body }, &[]).expect("send");
    }
    let replies = tokio::task::spawn_blocking(move || [receive(&socket), receive(&socket)]);
    let [_, unknown] = within(replies).await.expect("thread");
    let Some(reply::Body::Failure(failure)) = unknown.and_then(|reply| reply.body) else {
        panic!("no failure")
    };
    assert_eq!(failure.kind(), FailureKind::Unsupported);
}

#[tokio::test]
async fn a_sandbox_that_belongs_to_its_host_dies_with_it() {
    let config = Configure {
        die_with_host: true,
        ..Configure::default()
    };
    let sandbox = Sandbox::boot_with(Options {
        config,
        ..Options::default()
    })
    .await;
    let spec = argv(&["sleep", "401"]);
    let mut stdout =
        pipe::Receiver::from_owned_fd(sandbox.start(&spec).await.pipes.stdout).expect("stdout");
    sandbox.guest.close();
    assert_eq!(within(stdout.read(&mut [0; 1])).await.expect("end"), 0);
}

#[tokio::test]
async fn wrong_descriptors_from_a_guest_close_the_link() {
    let (ours, theirs) = pinfold_sys::datagram::pair().expect("pair");
    let guest = tokio::task::spawn_blocking(move || impostor(&theirs));
    let host = within(Guest::connect(ours, Configure::default(), None))
        .await
        .expect("connect");
    let adopted = within(host.adopt(&shell("").id)).await;
    assert!(
        matches!(adopted, Err(GuestError::Protocol(_))),
        "{adopted:?}"
    );
    assert!(host.is_closed());
    within(host.closed()).await;
    within(guest).await.expect("impostor");
}

/// Speaks the protocol and hands out a socket where a pipe has to be.
fn impostor(link: &OwnedFd) {
    let mut buffer = vec![0; transport::BUFFER_BYTES];
    while let Ok(Some((request, _))) = transport::receive::<Request>(link, &mut buffer) {
        let (socket, _other) = pinfold_sys::datagram::pair().expect("pair");
        let (body, fds) = match request.body {
            Some(request::Body::Hello(hello)) => (reply::Body::Hello(hello), vec![]),
            Some(request::Body::Adopt(_)) => (
                reply::Body::Adopted(proto::Adopted::default()),
                vec![socket.as_fd()],
            ),
            _ => (reply::Body::Done(proto::Done {}), vec![]),
        };
        let reply = Reply {
            id: request.id,
            body: Some(body),
        };
        transport::send(link, &reply, &fds).expect("send");
    }
}

#[tokio::test]
async fn another_version_of_guest_is_refused_by_name() {
    let (ours, theirs) = pinfold_sys::datagram::pair().expect("pair");
    let guest = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; transport::BUFFER_BYTES];
        let (request, _) = transport::receive::<Request>(&theirs, &mut buffer)
            .expect("hello")
            .expect("hello");
        let hello = proto::Hello {
            major: 2,
            ..proto::Hello::default()
        };
        let reply = Reply {
            id: request.id,
            body: Some(reply::Body::Hello(hello)),
        };
        transport::send(&theirs, &reply, &[]).expect("send");
    });
    let refused = within(Guest::connect(ours, Configure::default(), None)).await;
    assert!(
        matches!(refused, Err(GuestError::Version(_))),
        "{refused:?}"
    );
    within(guest).await.expect("guest");
}

#[tokio::test]
async fn what_a_new_guest_is_told_waits_until_it_is_there() {
    let (ours, theirs) = pinfold_sys::datagram::pair().expect("pair");
    let made = async {
        let heard = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; transport::BUFFER_BYTES];
            let mut heard = Vec::new();
            for _ in 0..2 {
                let received = transport::receive::<Request>(&theirs, &mut buffer);
                let (request, _) = received.expect("a request").expect("a request");
                let body = match request.body.expect("a body") {
                    request::Body::Hello(hello) => {
                        heard.push("hello");
                        reply::Body::Hello(proto::Hello { boot: 7, ..hello })
                    }
                    request::Body::Configure(config) => {
                        assert_eq!(config.workdir, "/there");
                        heard.push("configure");
                        reply::Body::Done(proto::Done {})
                    }
                    other => panic!("{other:?}"),
                };
                let reply = Reply {
                    id: request.id,
                    body: Some(body),
                };
                transport::send(&theirs, &reply, &[]).expect("send");
            }
            (theirs, heard)
        });
        // It answers before its host is told that it was made.
        let (link, heard) = heard.await.expect("guest");
        assert_eq!(heard, ["hello", "configure"]);
        tokio::spawn(async move {
            let _link = link;
            std::future::pending::<()>().await;
        });
        Ok::<_, GuestError>(rustix::process::Pid::from_raw(42))
    };
    let config = Configure {
        workdir: "/there".to_owned(),
        ..Configure::default()
    };
    let guest = within(Guest::connect_to_new(ours, config, made)).await;
    let guest = guest.expect("greeted");
    assert_eq!(guest.boot_id(), 7);
    assert_eq!(guest.pid(), rustix::process::Pid::from_raw(42));
}

#[tokio::test]
async fn a_new_guest_that_hangs_up_or_talks_nonsense_is_none_and_why_it_was_not_made_comes_first() {
    for nonsense in [None, Some(b"\xff\xff".as_slice())] {
        for refused in [false, true] {
            let (ours, theirs) = pinfold_sys::datagram::pair().expect("pair");
            if let Some(nonsense) = nonsense {
                pinfold_sys::datagram::send(&theirs, nonsense, &[]).expect("send");
            }
            drop(theirs);
            let made = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                match refused {
                    true => Err(GuestError::Timeout),
                    false => Ok(None),
                }
            };
            let guest = within(Guest::connect_to_new(ours, Configure::default(), made)).await;
            let error = guest.expect_err("no guest");
            assert_eq!(matches!(error, GuestError::Timeout), refused, "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_guest_that_says_nothing_is_waited_for_until_a_deadline() {
    let (ours, _theirs) = pinfold_sys::datagram::pair().expect("pair");
    let made = async { Ok::<_, GuestError>(None) };
    let guest = Guest::connect_to_new(ours, Configure::default(), made).await;
    assert!(matches!(guest, Err(GuestError::Timeout)), "{guest:?}");
}

#[tokio::test]
async fn a_tenant_cannot_look_into_pid_1() {
    let mut sandbox = Sandbox::boot().await;
    let output = sandbox.shell("for fd in /proc/1/fd/*; do readlink $fd; timeout 1 head -c1 $fd; done; head -c1 /proc/1/mem; cat /proc/1/environ; kill -9 1; echo alive").await;
    assert_eq!(output.text(), "alive\n");
    let spec = StartSpec {
        stdin: true,
        ..argv(&["cat"])
    };
    let _pipes = sandbox.start(&spec).await;
    within(sandbox.guest.kill(&spec.id, 9, KillScope::Tree))
        .await
        .expect("kill");
    sandbox.ended(&spec.id).await;
}
