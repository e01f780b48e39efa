//! Commands on a terminal.

use pinfold_model::{ExitStatus, WindowSize};
use pinfold_runtime::guest::{FailureKind, KillScope, StartSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::sandbox::{Sandbox, argv, on_terminal, read_all, read_until, shell, within};

async fn start(sandbox: &Sandbox, spec: &StartSpec) -> (pipe::Sender, pipe::Receiver) {
    let started = sandbox.start(spec).await;
    let input = started.pipes.stdin.expect("a terminal has input");
    (
        pipe::Sender::from_owned_fd(input).expect("input"),
        pipe::Receiver::from_owned_fd(started.pipes.stdout).expect("output"),
    )
}

#[tokio::test]
async fn a_terminal_is_one_with_a_size_that_changes() {
    let mut sandbox = Sandbox::boot().await;
    let line = "trap 'stty size; exit 7' WINCH; tty; stty size; echo $TERM; \
                while :; do sleep 0.02; done";
    let spec = on_terminal(shell(line));
    let (_input, mut output) = start(&sandbox, &spec).await;
    let text = read_until(&mut output, "xterm-256color").await;
    assert!(text.contains("/dev/pts/0\r\n24 80\r\n"), "{text:?}");
    let size = WindowSize {
        rows: 50,
        cols: 132,
    };
    within(sandbox.guest.resize(&spec.id, size))
        .await
        .expect("resize");
    read_until(&mut output, "50 132\r\n").await;
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(7));
    let refused = within(sandbox.guest.resize(&shell("").id, size))
        .await
        .expect_err("unknown");
    assert_eq!(refused.refusal(), Some(FailureKind::NoSuchCommand));
}

#[tokio::test]
async fn an_interrupt_typed_or_asked_for_reaches_the_foreground_only() {
    let mut sandbox = Sandbox::boot().await;
    let spec = on_terminal(argv(&["bash", "--norc", "-i"]));
    let (mut input, mut output) = start(&sandbox, &spec).await;
    within(input.write_all(b"PS1=; echo go; sleep 301; echo c=$?\n"))
        .await
        .expect("type");
    read_until(&mut output, "go\r\n").await;
    sandbox.until("pgrep -f '^sleep 301'").await;
    within(input.write_all(b"\x03")).await.expect("^C");
    read_until(&mut output, "^C").await;
    within(input.write_all(b"echo d; sleep 302; echo e=$?\n"))
        .await
        .expect("type");
    sandbox.until("pgrep -f '^sleep 302'").await;
    within(sandbox.guest.kill(&spec.id, 2, KillScope::Foreground))
        .await
        .expect("interrupt");
    within(input.write_all(b"exit 5\n")).await.expect("type");
    let report = sandbox.ended(&spec.id).await;
    assert_eq!((report.status, report.killed), (ExitStatus::Code(5), false));
}

#[tokio::test]
async fn every_byte_of_a_terminal_comes_before_the_end_is_told() {
    let mut sandbox = Sandbox::boot().await;
    let spec = on_terminal(shell("stty -opost; seq 1 200000"));
    let output = sandbox.run(&spec).await;
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(
        output.text() == expected,
        "{} of {} bytes",
        output.stdout.len(),
        expected.len()
    );
}

#[tokio::test]
async fn closing_the_input_is_the_end_of_file() {
    let mut sandbox = Sandbox::boot().await;
    let spec = on_terminal(shell("stty -echo; echo go; cat; echo end"));
    let (mut input, mut output) = start(&sandbox, &spec).await;
    read_until(&mut output, "go\r\n").await;
    within(input.write_all(b"line\n")).await.expect("type");
    within(sandbox.guest.close_stdin(&spec.id))
        .await
        .expect("close");
    drop(input);
    read_until(&mut output, "line\r\nend\r\n").await;
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(0));
}

#[tokio::test]
async fn a_background_job_does_not_hold_a_terminals_command() {
    let mut sandbox = Sandbox::boot().await;
    let spec = on_terminal(shell(
        "trap '' HUP; (sleep 0.3; echo late; sleep 303) & echo early",
    ));
    let (_input, mut output) = start(&sandbox, &spec).await;
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(0));
    read_until(&mut output, "late\r\n").await;
    within(sandbox.guest.kill(&spec.id, 9, KillScope::Tree))
        .await
        .expect("kill");
    assert_eq!(within(output.read(&mut [0; 8])).await.expect("end"), 0);
}

#[tokio::test]
async fn a_terminal_survives_its_host() {
    let mut sandbox = Sandbox::boot().await;
    let spec = on_terminal(shell(
        "stty -echo; echo go; read line; echo got $line; exit 6",
    ));
    let (input, mut output) = start(&sandbox, &spec).await;
    read_until(&mut output, "go\r\n").await;
    drop((input, output));
    sandbox.lose_host().await;
    let pipes = within(sandbox.guest.adopt(&spec.id)).await.expect("adopt");
    assert!(pipes.stderr.is_none());
    let mut input = pipe::Sender::from_owned_fd(pipes.stdin.expect("input")).expect("input");
    within(input.write_all(b"again\n")).await.expect("type");
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(6));
    assert_eq!(within(read_all(pipes.stdout)).await, b"got again\r\n");
}

#[tokio::test]
async fn a_user_owns_its_terminal() {
    let mut sandbox = Sandbox::boot().await;
    let mut spec = on_terminal(shell("echo x > $(tty); stat -c %u $(tty)"));
    spec.user = "bob".into();
    assert_eq!(sandbox.run(&spec).await.text(), "x\r\n1000\r\n");
}
