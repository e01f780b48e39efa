//! Starts that wait for their record: let through once, or never there.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use pinfold_model::ExitStatus;
use pinfold_proto::{self as proto, Reply, Request, reply, request, transport};
use pinfold_runtime::guest::{
    Configure, FailureKind, GatedStart, Guest, GuestError, KillScope, StartSpec, StartedCommand,
};

use super::sandbox::{Sandbox, on_terminal, read_all, shell, within};

/// Leaves a line each time it runs.
const RUN: &str = "echo ran >> /tmp/runs; cat /tmp/runs";

/// The guest has answered, and the process is at its gate: its pid. It may be there for any time.
async fn at_the_gate(sandbox: &mut Sandbox, spec: &StartSpec) -> (GatedStart, u32) {
    let order = StartSpec {
        timeout: None,
        ..spec.clone()
    };
    let mut start = sandbox.guest.start_gated(order).expect("gates");
    within(start.answered()).await;
    let listed = within(sandbox.guest.commands()).await.expect("list");
    let found = listed.iter().find(|command| command.id == spec.id);
    let pid = found.expect("listed").pid;
    sandbox
        .until(&format!("grep -q '^State:.S' /proc/{pid}/status"))
        .await;
    (start, pid)
}

async fn opened(start: GatedStart) -> StartedCommand {
    within(start.open()).await.expect("open").expect("in time")
}

fn kind<T: std::fmt::Debug>(result: Result<T, GuestError>) -> Option<FailureKind> {
    result.expect_err("refused").refusal()
}

async fn runs(sandbox: &mut Sandbox) -> String {
    sandbox.shell("cat /tmp/runs 2> /dev/null").await.text()
}

async fn is_listed(sandbox: &Sandbox, spec: &StartSpec) -> bool {
    let listed = within(sandbox.guest.commands()).await.expect("list");
    listed.iter().any(|command| command.id == spec.id)
}

#[tokio::test]
async fn a_command_begins_when_its_gate_is_opened_and_not_before() {
    let mut sandbox = Sandbox::boot().await;
    let spec = StartSpec {
        cwd: "/workspace/made".into(),
        make_cwd: true,
        ..shell(RUN)
    };
    let (start, _) = at_the_gate(&mut sandbox, &spec).await;
    assert_eq!(runs(&mut sandbox).await, "");
    let made = sandbox.shell("test -e /workspace/made").await;
    assert_eq!(made.report.status, ExitStatus::Code(1), "nor its directory");
    let started = opened(start).await;
    assert_eq!(within(read_all(started.pipes.stdout)).await, b"ran\n");
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(0));
}

#[tokio::test]
async fn a_command_that_is_let_through_begins_whoever_hears_the_answer() {
    let mut sandbox = Sandbox::boot().await;
    let (heard, unheard) = (shell(RUN), shell(RUN));
    let mut start = sandbox.guest.start_gated(heard.clone()).expect("gates");
    assert!(start.let_through().expect("there is a reader"));
    let started = opened(start).await;
    assert_eq!(within(read_all(started.pipes.stdout)).await, b"ran\n");
    assert_eq!(sandbox.ended(&heard.id).await.status, ExitStatus::Code(0));
    let (mut start, pid) = at_the_gate(&mut sandbox, &unheard).await;
    assert!(start.let_through().expect("there is a reader"));
    drop(start);
    assert_eq!(sandbox.ended(&unheard.id).await.status, ExitStatus::Code(0));
    assert_eq!(sandbox.start(&unheard).await.pid, pid, "it is no new one");
    assert_eq!(runs(&mut sandbox).await, "ran\nran\n");
}

#[tokio::test]
async fn a_gate_that_falls_away_leaves_nothing_and_its_id_as_good_as_new() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell(RUN);
    let (start, pid) = at_the_gate(&mut sandbox, &spec).await;
    drop(start);
    assert!(!is_listed(&sandbox, &spec).await);
    let adopted = within(sandbox.guest.adopt(&spec.id)).await;
    assert_eq!(kind(adopted), Some(FailureKind::NoSuchCommand));
    let killed = within(sandbox.guest.kill(&spec.id, 9, KillScope::Tree)).await;
    assert_eq!(kind(killed), Some(FailureKind::NoSuchCommand));
    sandbox.until(&format!("! test -e /proc/{pid}")).await;
    assert_eq!(runs(&mut sandbox).await, "");
    sandbox.reconnect().await;
    assert_eq!(runs(&mut sandbox).await, "");
    assert!(!sandbox.has_ended(&spec.id), "nothing is told about it");
    // Another payload, too: the first one never was.
    let other = StartSpec {
        fingerprint: b"g".to_vec(),
        ..spec
    };
    assert_eq!(sandbox.run(&other).await.text(), "ran\n");
}

#[tokio::test]
async fn who_asks_before_the_decision_asks_again_and_starts_no_second_process() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell(RUN);
    let (start, pid) = at_the_gate(&mut sandbox, &spec).await;
    let again = within(sandbox.guest.start(spec.clone())).await;
    assert_eq!(kind(again), Some(FailureKind::Undecided));
    let adopted = within(sandbox.guest.adopt(&spec.id)).await;
    assert_eq!(kind(adopted), Some(FailureKind::Undecided));
    let started = opened(start).await;
    let again = sandbox.start(&spec).await;
    assert_eq!((started.pid, again.pid), (pid, pid));
    drop(started);
    assert_eq!(within(read_all(again.pipes.stdout)).await, b"ran\n");
    sandbox.ended(&spec.id).await;
    assert_eq!(sandbox.start(&spec).await.pid, pid);
    assert_eq!(runs(&mut sandbox).await, "ran\n");
}

/// Its gate belongs to no link: a host that is gone, and one whose link is, can still decide.
#[tokio::test]
async fn a_gate_outlives_its_link_and_ends_with_who_holds_it() {
    let mut sandbox = Sandbox::boot().await;
    let (first, second) = (shell(RUN), shell(RUN));
    let (start, _) = at_the_gate(&mut sandbox, &first).await;
    let (other, _) = at_the_gate(&mut sandbox, &second).await;
    sandbox.lose_host().await;
    let again = within(sandbox.guest.start(first.clone())).await;
    assert_eq!(kind(again), Some(FailureKind::Undecided));
    drop(start);
    assert_eq!(sandbox.run(&first).await.text(), "ran\n");
    let started = opened(other).await;
    assert_eq!(within(read_all(started.pipes.stdout)).await, b"ran\nran\n");
    assert_eq!(sandbox.ended(&second.id).await.status, ExitStatus::Code(0));
}

/// Killed between the byte and the program: the byte stands, and the process, which has not seen it
/// yet, is the one that runs.
#[tokio::test]
async fn what_was_let_through_is_found_although_it_has_not_noticed() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell(RUN);
    let (start, pid) = at_the_gate(&mut sandbox, &spec).await;
    sandbox.shell(&format!("kill -STOP {pid}")).await;
    drop(opened(start).await);
    sandbox.lose_host().await;
    let again = sandbox.start(&spec).await;
    assert_eq!(again.pid, pid);
    sandbox.shell(&format!("kill -CONT {pid}")).await;
    assert_eq!(within(read_all(again.pipes.stdout)).await, b"ran\n");
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(0));
}

#[tokio::test]
async fn a_process_that_a_tenant_stops_at_its_gate_does_not_run_late() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell(RUN);
    let (start, pid) = at_the_gate(&mut sandbox, &spec).await;
    sandbox.shell(&format!("kill -STOP {pid}")).await;
    drop(start);
    assert_eq!(sandbox.run(&spec).await.text(), "ran\n");
    sandbox.shell(&format!("kill -CONT {pid}")).await;
    sandbox.until(&format!("! test -e /proc/{pid}")).await;
    assert_eq!(runs(&mut sandbox).await, "ran\n");
    // Its end is not taken for that of the other process.
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(0));
    assert!(is_listed(&sandbox, &spec).await);
}

#[tokio::test]
async fn a_process_that_is_killed_at_its_gate_has_ended_so_or_never_was() {
    let mut sandbox = Sandbox::boot().await;
    for lets_go in [false, true] {
        let spec = shell(RUN);
        let (start, pid) = at_the_gate(&mut sandbox, &spec).await;
        let line = format!("kill -9 {pid}; while test -e /proc/{pid}; do sleep 0.01; done");
        sandbox.shell(&line).await;
        sandbox.reconnect().await;
        assert_eq!(runs(&mut sandbox).await, "");
        assert!(!sandbox.has_ended(&spec.id), "nothing is decided");
        let again = within(sandbox.guest.start(spec.clone())).await;
        assert_eq!(kind(again), Some(FailureKind::Undecided));
        if lets_go {
            drop(start);
            assert_eq!(sandbox.run(&spec).await.text(), "ran\n");
        } else {
            drop(opened(start).await);
            let report = sandbox.ended(&spec.id).await;
            assert_eq!(report.status, ExitStatus::Signal(9));
            assert_eq!((report.start_errno, report.killed), (0, false));
            assert_eq!(sandbox.start(&spec).await.pid, pid, "it is not run anew");
        }
    }
    assert_eq!(runs(&mut sandbox).await, "ran\n");
}

#[tokio::test]
async fn a_command_that_is_cancelled_at_its_gate_never_runs_and_says_so() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell(RUN);
    let (start, _) = at_the_gate(&mut sandbox, &spec).await;
    within(sandbox.guest.kill(&spec.id, 15, KillScope::Tree))
        .await
        .expect("kill");
    drop(opened(start).await);
    let report = sandbox.ended(&spec.id).await;
    assert_eq!(
        (report.status, report.killed),
        (ExitStatus::Signal(15), true)
    );
    assert_eq!(runs(&mut sandbox).await, "");
}

#[tokio::test]
async fn what_cannot_be_started_is_told_when_the_gate_is_opened() {
    let mut sandbox = Sandbox::boot().await;
    let spec = StartSpec {
        cwd: "/root/closed".into(),
        user: "bob".into(),
        ..shell(RUN)
    };
    sandbox
        .shell("mkdir /root/closed; chmod 700 /root /root/closed")
        .await;
    let (start, _) = at_the_gate(&mut sandbox, &spec).await;
    let started = opened(start).await;
    let report = sandbox.ended(&spec.id).await;
    assert_eq!(
        (report.status, report.start_errno),
        (ExitStatus::Code(126), 13)
    );
    let words = within(read_all(started.pipes.stderr.expect("stderr"))).await;
    assert!(words.starts_with(b"pinfold: /root/closed:"), "{words:?}");
    // One that the guest refuses has no process: opening says why.
    let spec = StartSpec {
        cwd: "/no/such".into(),
        ..shell(RUN)
    };
    let start = sandbox.guest.start_gated(spec).expect("gates");
    assert_eq!(
        kind(within(start.open()).await),
        Some(FailureKind::NotFound)
    );
}

#[tokio::test]
async fn input_and_terminals_pass_gates_too_and_no_program_has_one_open() {
    let mut sandbox = Sandbox::boot().await;
    let spec = StartSpec {
        stdin: true,
        input: Arc::from(&b"given\n"[..]),
        ..shell("read line; echo got $line")
    };
    let (start, _) = at_the_gate(&mut sandbox, &spec).await;
    let started = opened(start).await;
    assert_eq!(within(read_all(started.pipes.stdout)).await, b"got given\n");
    let spec = on_terminal(shell("stty size"));
    let (start, _) = at_the_gate(&mut sandbox, &spec).await;
    let started = opened(start).await;
    assert_eq!(within(read_all(started.pipes.stdout)).await, b"24 80\r\n");
    let mut spec = on_terminal(shell("true"));
    let (start, _) = at_the_gate(&mut sandbox, &spec).await;
    drop(start);
    assert_eq!(sandbox.run(&spec).await.report.status, ExitStatus::Code(0));

    spec = shell("echo /proc/self/fd/*");
    let without = sandbox.run(&shell("echo /proc/self/fd/*")).await.text();
    let (start, _) = at_the_gate(&mut sandbox, &spec).await;
    let with = within(read_all(opened(start).await.pipes.stdout)).await;
    assert_eq!(String::from_utf8_lossy(&with), without);
}

/// Broken by a guest that keeps every gate for as long as its command runs.
#[tokio::test]
async fn a_guest_lets_go_of_a_gate_that_is_decided() {
    let mut sandbox = Sandbox::boot().await;
    let (start, _) = at_the_gate(&mut sandbox, &shell("exec sleep 600")).await;
    let started = opened(start).await;
    let with = sandbox.descriptors();
    within(async {
        while sandbox.descriptors() != with - 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    drop(started);
}

/// It has PID 1's memory and copies of its descriptors, which are nobody's inside.
#[tokio::test]
async fn a_process_at_its_gate_cannot_be_looked_into() {
    let mut sandbox = Sandbox::boot().await;
    for user in ["", "bob"] {
        let spec = StartSpec {
            user: user.into(),
            ..shell("true")
        };
        let (start, pid) = at_the_gate(&mut sandbox, &spec).await;
        let line = format!(
            "for what in environ maps mem; do head -c 1 /proc/{pid}/$what && echo $what; done; \
             : <> /proc/{pid}/mem && echo written; \
             for fd in $(seq 0 64); do readlink /proc/{pid}/fd/$fd; : > /proc/{pid}/fd/$fd && echo $fd; done; \
             true"
        );
        let looked = StartSpec {
            user: user.into(),
            ..shell(&line)
        };
        assert_eq!(sandbox.run(&looked).await.text(), "");
        drop(opened(start).await);
        assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(0));
    }
}

/// What a start took of PID 1's memory is in use until its process has a program or is gone. Broken by
/// leaving it to a process that is forgotten before: a stack of 64 KiB for each refused start.
#[tokio::test]
async fn refused_starts_leave_nothing_in_the_memory_of_pid_1() {
    let mut sandbox = Sandbox::boot().await;
    let size = async |sandbox: &mut Sandbox| -> u64 {
        let line = "while read name value _; do case $name in VmSize:) echo $value;; esac; done < /proc/1/status";
        let text = sandbox.shell(line).await.text();
        text.trim().parse().expect("a number of KiB")
    };
    for _ in 0..4 {
        at_the_gate(&mut sandbox, &shell(RUN)).await;
    }
    let before = size(&mut sandbox).await;
    for _ in 0..100 {
        let spec = shell(RUN);
        let mut start = sandbox.guest.start_gated(spec.clone()).expect("gates");
        within(start.answered()).await;
        drop(start);
        assert!(!is_listed(&sandbox, &spec).await);
    }
    assert_eq!(runs(&mut sandbox).await, "");
    let after = size(&mut sandbox).await;
    assert!(after < before + 1024, "{before} KiB became {after}");
}

#[tokio::test]
async fn a_guest_that_shuts_down_waits_for_no_gate() {
    let mut sandbox = Sandbox::boot().await;
    let (start, _) = at_the_gate(&mut sandbox, &shell(RUN)).await;
    within(sandbox.guest.shutdown(Duration::from_secs(600)))
        .await
        .expect("agreed");
    within(sandbox.guest.closed()).await;
    let refused = within(start.open()).await;
    assert!(matches!(refused, Err(GuestError::Io(_))), "{refused:?}");
}

#[tokio::test]
async fn waiting_takes_little_of_a_commands_own_time_or_it_is_started_anew() {
    let mut sandbox = Sandbox::boot().await;
    let short = StartSpec {
        timeout: Some(Duration::from_millis(999)),
        ..shell(RUN)
    };
    assert!(sandbox.guest.start_gated(short).is_none());
    let spec = StartSpec {
        timeout: Some(Duration::from_secs(1)),
        ..shell(RUN)
    };
    let mut start = sandbox.guest.start_gated(spec.clone()).expect("gates");
    within(start.answered()).await;
    // A fiftieth of its time, and more.
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(within(start.open()).await.expect("open").is_none());
    assert_eq!(sandbox.run(&spec).await.text(), "ran\n");
}

#[tokio::test]
async fn an_older_guest_is_asked_without_a_gate() {
    for (minor, gates) in [(0, false), (1, true)] {
        let (ours, theirs) = pinfold_sys::datagram::pair().expect("pair");
        let guest = tokio::task::spawn_blocking(move || greet(&theirs, minor));
        let host = within(Guest::connect(ours, Configure::default(), None))
            .await
            .expect("connect");
        assert_eq!(host.start_gated(shell("true")).is_some(), gates);
        host.close();
        within(guest).await.expect("guest");
    }
}

fn greet(link: &OwnedFd, minor: u32) {
    let mut buffer = vec![0; transport::BUFFER_BYTES];
    while let Ok(Some((request, _))) = transport::receive::<Request>(link, &mut buffer) {
        let body = match request.body {
            Some(request::Body::Hello(hello)) => {
                reply::Body::Hello(proto::Hello { minor, ..hello })
            }
            _ => reply::Body::Done(proto::Done {}),
        };
        let reply = Reply {
            id: request.id,
            body: Some(body),
        };
        transport::send(link, &reply, &[]).expect("send");
    }
}
