//! Ending everything a command has started, and nothing else.

use pinfold_model::ExitStatus;
use pinfold_runtime::guest::{FailureKind, KillScope};
use tokio::net::unix::pipe;

use super::sandbox::{Sandbox, argv, read_until, shell, within};

#[tokio::test]
async fn a_tree_kill_reaches_sessions_and_daemons_and_no_other_command() {
    let mut sandbox = Sandbox::boot().await;
    let bystander = argv(&["sleep", "777"]);
    let _bystander = sandbox.start(&bystander).await;
    let line = "sleep 101 & (setsid sleep 102 &) ; setsid sh -c '(sleep 103 &)' ; \
                sh -c 'sh -c \"sleep 104 & wait\" & wait' & \
                until [ $(pgrep -c -f '^sleep 10[1-4]') = 4 ]; do sleep 0.01; done; echo ready; wait";
    let spec = shell(line);
    let started = sandbox.start(&spec).await;
    let mut stdout = pipe::Receiver::from_owned_fd(started.pipes.stdout).expect("stdout");
    read_until(&mut stdout, "ready").await;
    within(sandbox.guest.kill(&spec.id, 9, KillScope::Tree))
        .await
        .expect("kill");
    let report = sandbox.ended(&spec.id).await;
    assert_eq!(
        (report.status, report.killed),
        (ExitStatus::Signal(9), true)
    );
    sandbox.until("! pgrep -f '^sleep 10[1-4]'").await;
    sandbox.until("pgrep -f '^sleep 777'").await;
}

#[tokio::test]
async fn daemons_live_on_after_their_command_and_can_be_ended_later() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell("setsid sh -c '(sleep 201 >/dev/null 2>&1 &)'; (sleep 202 >/dev/null 2>&1 &)");
    assert!(sandbox.run(&spec).await.report.status.success());
    sandbox
        .until("[ $(pgrep -c -f '^sleep 20[12]') = 2 ]")
        .await;
    within(sandbox.guest.kill(&spec.id, 15, KillScope::Tree))
        .await
        .expect("kill");
    sandbox.until("! pgrep -f '^sleep 20[12]'").await;
}

#[tokio::test]
async fn a_graceful_signal_reaches_every_process_once() {
    let mut sandbox = Sandbox::boot().await;
    let line = "trap 'echo parent' USR1; \
                bash -c 'trap \"echo child\" USR1; echo up; while :; do sleep 0.02; done' & \
                while :; do sleep 0.02; done";
    let spec = shell(line);
    let started = sandbox.start(&spec).await;
    let mut stdout = pipe::Receiver::from_owned_fd(started.pipes.stdout).expect("stdout");
    read_until(&mut stdout, "up").await;
    // Not the sleeps: they would die of it, and do, and are started again.
    within(sandbox.guest.kill(&spec.id, 10, KillScope::Tree))
        .await
        .expect("kill");
    let first = read_until(&mut stdout, "child").await;
    if !first.contains("parent") {
        read_until(&mut stdout, "parent").await;
    }
    within(sandbox.guest.kill(&spec.id, 9, KillScope::Tree))
        .await
        .expect("kill");
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn impossible_signals_and_unknown_commands_are_refused() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell("true");
    let id = &spec.id;
    let refused = within(sandbox.guest.kill(id, 9, KillScope::Tree))
        .await
        .expect_err("unknown");
    assert_eq!(refused.refusal(), Some(FailureKind::NoSuchCommand));
    sandbox.run(&spec).await;
    for signal in [0, -1, 65] {
        let refused = within(sandbox.guest.kill(id, signal, KillScope::Tree)).await;
        assert_eq!(
            refused.expect_err("signal").refusal(),
            Some(FailureKind::Invalid)
        );
    }
    for scope in [KillScope::Tree, KillScope::Process, KillScope::Foreground] {
        within(sandbox.guest.kill(id, 64, scope))
            .await
            .expect("ended is fine");
    }
}

#[tokio::test]
async fn a_fork_bomb_leaves_the_guest_answering_and_can_be_ended() {
    let mut sandbox = Sandbox::boot().await;
    // A bound on processes of its own, as a sandbox has by cgroup.
    let mut spec = shell("ulimit -u 300; b() { b | b & }; b; sleep 5; b; wait");
    spec.user = "bob".into();
    let _started = sandbox.start(&spec).await;
    let mut most = 0;
    while most < 50 {
        most = most.max(
            within(sandbox.guest.usage())
                .await
                .expect("usage")
                .processes,
        );
    }
    within(sandbox.guest.kill(&spec.id, 9, KillScope::Tree))
        .await
        .expect("kill");
    sandbox.ended(&spec.id).await;
    sandbox.until("! pgrep -u 1000").await;
}
