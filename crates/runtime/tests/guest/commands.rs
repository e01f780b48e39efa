//! Starting commands and what becomes of them.

use std::time::{Duration, Instant};

use pinfold_model::{ExitStatus, Program};
use pinfold_runtime::guest::{FailureKind, FilePath, GuestError, KillScope, StartSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::sandbox::{Options, Sandbox, argv, read_all, read_until, shell, within};

fn kind(error: &GuestError) -> Option<FailureKind> {
    error.refusal()
}

#[tokio::test]
async fn programs_and_shell_lines_run_and_tell_their_code() {
    let mut sandbox = Sandbox::boot().await;
    let output = sandbox.run(&argv(&["printf", "%s|", "a b", "", "ü"])).await;
    assert_eq!(
        (output.text().as_str(), output.report.status),
        ("a b||ü|", ExitStatus::Code(0))
    );
    let output = sandbox.shell("echo out; echo err >&2; exit 3").await;
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert_eq!(output.report.status, ExitStatus::Code(3));
    let output = sandbox.shell("kill -9 $$").await;
    assert_eq!(output.report.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn a_command_gets_the_environment_it_asks_for_and_sensible_defaults() {
    let mut sandbox = Sandbox::boot().await;
    let mut spec = shell("echo $A:$HOME:$USER:$LOGNAME:$SHELL:$PATH:$PINFOLD_COMMAND_ID:$TERM");
    spec.env = [
        ("A".to_owned(), "1".to_owned()),
        ("SHELL".into(), "/x".into()),
    ]
    .into();
    let output = sandbox.run(&spec).await;
    let path = pinfold_runtime::default_path!();
    let id = &spec.id;
    assert!(
        output
            .text()
            .starts_with(&format!("1:/root:root:root:/x:{path}:{id}:")),
        "{}",
        output.text()
    );
}

#[tokio::test]
async fn a_working_directory_is_entered_made_or_missed() {
    let mut sandbox = Sandbox::boot().await;
    let at = |cwd: &str, make_cwd| StartSpec {
        cwd: cwd.into(),
        make_cwd,
        ..shell("pwd")
    };
    assert_eq!(sandbox.run(&at("/tmp", false)).await.text(), "/tmp\n");
    let refused = within(sandbox.guest.start(at("/no/such", false)))
        .await
        .expect_err("missing");
    assert_eq!(kind(&refused), Some(FailureKind::NotFound));
    assert_eq!(
        sandbox.run(&at("/workspace/a/b", true)).await.text(),
        "/workspace/a/b\n"
    );
    let refused = within(sandbox.guest.start(at("/etc/passwd", false)))
        .await
        .expect_err("file");
    assert_eq!(kind(&refused), Some(FailureKind::NotDirectory));
}

#[tokio::test]
async fn commands_run_as_the_user_with_its_groups_and_no_more_rights_than_theirs() {
    let mut sandbox = Sandbox::boot().await;
    let line = "id -u; id -g; id -G; echo $HOME; grep -E '^Cap(Eff|Prm|Bnd|Inh|Amb)' /proc/self/status; \
                umask; ulimit -Sn; ulimit -c";
    let as_user = |user: &str| StartSpec {
        user: user.into(),
        ..shell(line)
    };
    let root = sandbox.run(&as_user("")).await.text();
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE,
    // SYS_CHROOT, SETFCAP.
    let (caps, none) = ("00000000800405fb", "0000000000000000");
    assert_eq!(
        root,
        format!(
            "0\n0\n0\n/root\nCapInh:\t{none}\nCapPrm:\t{caps}\nCapEff:\t{caps}\nCapBnd:\t{caps}\n\
             CapAmb:\t{none}\n0022\n1024\n0\n"
        )
    );
    let bob = sandbox.run(&as_user("bob")).await.text();
    assert_eq!(
        bob,
        format!(
            "1000\n1001\n1001 10\n/home/bob\nCapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\n\
             CapBnd:\t{caps}\nCapAmb:\t{none}\n0022\n1024\n0\n"
        )
    );
    let number = sandbox.run(&as_user("4242:10")).await.text();
    assert!(number.starts_with("4242\n10\n10\n/\n"), "{number}");
    let refused = within(sandbox.guest.start(as_user("eve")))
        .await
        .expect_err("eve");
    assert_eq!(kind(&refused), Some(FailureKind::NoSuchUser));
}

#[tokio::test]
async fn signals_are_as_a_program_expects_them() {
    let mut sandbox = Sandbox::boot().await;
    let output = sandbox
        .shell("grep -E '^Sig(Blk|Ign)' /proc/self/status")
        .await;
    assert_eq!(
        output.text(),
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
    );
    let output = sandbox.shell("yes | head -1; echo ${PIPESTATUS[0]}").await;
    assert_eq!(output.text(), "y\n141\n");
}

#[tokio::test]
async fn a_guest_in_a_single_id_namespace_works_and_names_what_is_missing() {
    let mut sandbox = Sandbox::boot_with(Options {
        rootless: true,
        ..Options::default()
    })
    .await;
    let output = sandbox
        .shell("id -u; echo x > /workspace/f; cat /workspace/f")
        .await;
    assert_eq!(output.text(), "0\nx\n");
    let spec = StartSpec {
        user: "bob".into(),
        ..shell("id")
    };
    let refused = within(sandbox.guest.start(spec)).await.expect_err("bob");
    assert_eq!(kind(&refused), Some(FailureKind::NoSuchUser));
    sandbox.write_file("/workspace/g", b"y").await;
    assert_eq!(sandbox.read_file("/workspace/g").await, b"y");
}

#[tokio::test]
async fn stdin_is_a_pipe_that_ends_when_it_is_closed() {
    let mut sandbox = Sandbox::boot().await;
    let spec = StartSpec {
        stdin: true,
        ..argv(&["cat"])
    };
    let started = sandbox.start(&spec).await;
    let mut stdin =
        pipe::Sender::from_owned_fd(started.pipes.stdin.expect("stdin")).expect("sender");
    let stdout = tokio::spawn(read_all(started.pipes.stdout));
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    within(stdin.write_all(&bytes)).await.expect("write");
    within(sandbox.guest.close_stdin(&spec.id))
        .await
        .expect("close");
    drop(stdin);
    assert_eq!(within(stdout).await.expect("read"), bytes);
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(0));
    let output = sandbox.run(&argv(&["cat"])).await;
    assert_eq!(
        (output.text().as_str(), output.report.status),
        ("", ExitStatus::Code(0))
    );
}

#[tokio::test]
async fn the_end_of_stdin_is_held_up_by_no_other_process_of_the_guest() {
    let mut sandbox = Sandbox::boot().await;
    let spec = StartSpec {
        stdin: true,
        ..argv(&["cat"])
    };
    let started = sandbox.start(&spec).await;
    let watched = FilePath::new("/workspace");
    let _worker = within(sandbox.guest.watch(&watched, false))
        .await
        .expect("watch");
    let _neighbour = sandbox.start(&argv(&["sleep", "983"])).await;
    // Becomes no program for as long as nobody writes to its stdin.
    sandbox.shell("rm /dev/null; mkfifo /dev/null").await;
    let _stuck = sandbox.start(&argv(&["true"])).await;
    within(sandbox.guest.close_stdin(&spec.id))
        .await
        .expect("close");
    drop(started.pipes.stdin);
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(0));
}

#[tokio::test]
async fn a_timeout_kills_the_whole_tree_and_says_so() {
    let mut sandbox = Sandbox::boot().await;
    let line = "trap '' TERM; setsid sleep 987 & sleep 987 & wait";
    let spec = StartSpec {
        timeout: Some(Duration::from_millis(300)),
        ..shell(line)
    };
    let output = sandbox.run(&spec).await;
    assert_eq!(output.report.status, ExitStatus::Signal(9));
    assert!(output.report.timed_out && !output.report.killed);
    sandbox.until("! pgrep -x sleep -f 987").await;
}

#[tokio::test]
async fn a_program_that_cannot_run_ends_as_in_a_shell_and_says_why() {
    let mut sandbox = Sandbox::boot().await;
    let output = sandbox.run(&argv(&["no-such-program"])).await;
    assert_eq!(output.report.status, ExitStatus::Code(127));
    assert_eq!(output.report.start_errno, 2);
    assert_eq!(
        output.stderr,
        b"pinfold: no-such-program: command not found\n"
    );
    let output = sandbox.run(&argv(&["/etc/passwd"])).await;
    assert_eq!(
        (output.report.status, output.report.start_errno),
        (ExitStatus::Code(126), 13)
    );
    assert_eq!(output.stderr, b"pinfold: /etc/passwd: Permission denied\n");
    sandbox.write_file("/workspace/empty", b"\x00\x01").await;
    sandbox.shell("chmod +x /workspace/empty").await;
    let output = sandbox.run(&argv(&["/workspace/empty"])).await;
    assert_eq!(
        (output.report.status, output.report.start_errno),
        (ExitStatus::Code(126), 8)
    );
    let output = sandbox.run(&argv(&["/no/such"])).await;
    assert_eq!(output.report.status, ExitStatus::Code(127));
    let ok = sandbox.shell("exit 127").await;
    assert_eq!(
        (ok.report.status, ok.report.start_errno),
        (ExitStatus::Code(127), 0)
    );
}

#[tokio::test]
async fn a_command_ends_although_a_child_still_holds_its_pipes() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell("(sleep 0.2; echo late; exec sleep 986) & echo early; exit 4");
    let started = sandbox.start(&spec).await;
    assert_eq!(sandbox.ended(&spec.id).await.status, ExitStatus::Code(4));
    let mut stdout = pipe::Receiver::from_owned_fd(started.pipes.stdout).expect("stdout");
    read_until(&mut stdout, "early\nlate\n").await;
    sandbox.until("pgrep -f 'sleep 986'").await;
    within(sandbox.guest.kill(&spec.id, 9, KillScope::Tree))
        .await
        .expect("kill");
    assert_eq!(within(stdout.read(&mut [0; 8])).await.expect("end"), 0);
}

#[tokio::test]
async fn the_same_id_starts_one_process_and_another_payload_is_a_conflict() {
    let mut sandbox = Sandbox::boot().await;
    let spec = shell("echo x >> /workspace/count; cat /workspace/count; sleep 0.1; echo done");
    let first = sandbox.start(&spec).await;
    let again = sandbox.start(&spec).await;
    assert_eq!(first.pid, again.pid);
    let other = StartSpec {
        fingerprint: b"g".to_vec(),
        ..spec.clone()
    };
    let refused = within(sandbox.guest.start(other.clone()))
        .await
        .expect_err("conflict");
    assert_eq!(kind(&refused), Some(FailureKind::Conflict));
    drop(first);
    assert_eq!(within(read_all(again.pipes.stdout)).await, b"x\ndone\n");
    sandbox.ended(&spec.id).await;
    let after = sandbox.start(&spec).await;
    assert_eq!(after.pid, first_pid(&sandbox, &spec).await);
    let refused = within(sandbox.guest.start(other))
        .await
        .expect_err("conflict");
    assert_eq!(kind(&refused), Some(FailureKind::Conflict));
    within(sandbox.guest.forget(&spec.id))
        .await
        .expect("forget");
    assert!(
        within(sandbox.guest.commands())
            .await
            .expect("list")
            .is_empty()
    );
    let refused = within(sandbox.guest.adopt(&spec.id))
        .await
        .expect_err("forgotten");
    assert_eq!(kind(&refused), Some(FailureKind::NoSuchCommand));
    assert_eq!(sandbox.read_file("/workspace/count").await, b"x\n");
}

async fn first_pid(sandbox: &Sandbox, spec: &StartSpec) -> u32 {
    let commands = within(sandbox.guest.commands()).await.expect("list");
    let command = commands
        .iter()
        .find(|command| command.id == spec.id)
        .expect("listed");
    assert!(command.exited.is_some());
    command.pid
}

#[tokio::test]
async fn a_running_command_is_not_forgotten() {
    let mut sandbox = Sandbox::boot().await;
    let spec = argv(&["sleep", "985"]);
    let _started = sandbox.start(&spec).await;
    let refused = within(sandbox.guest.forget(&spec.id))
        .await
        .expect_err("running");
    assert_eq!(kind(&refused), Some(FailureKind::Conflict));
    within(sandbox.guest.kill(&spec.id, 15, KillScope::Process))
        .await
        .expect("kill");
    let report = sandbox.ended(&spec.id).await;
    assert_eq!(
        (report.status, report.killed),
        (ExitStatus::Signal(15), true)
    );
}

#[tokio::test]
async fn a_megabyte_of_arguments_and_bytes_that_are_no_text_pass_unchanged() {
    let mut sandbox = Sandbox::boot().await;
    let arguments: Vec<_> = std::iter::once("printf".to_owned())
        .chain(std::iter::once("%s".to_owned()))
        .chain((0..100).map(|n| format!("{n:010000}")))
        .collect();
    let expected = arguments[2..].concat();
    let spec = StartSpec {
        program: Program::Argv(arguments),
        ..shell("")
    };
    assert_eq!(sandbox.run(&spec).await.text(), expected);
    let output = sandbox.run(&argv(&["printf", r"\377\000\376"])).await;
    assert_eq!(output.stdout, b"\xff\0\xfe");
    let long = StartSpec {
        program: Program::Argv(vec!["echo".into(), "x".repeat(200_000)]),
        ..shell("")
    };
    let output = sandbox.run(&long).await;
    assert_eq!(
        (output.report.status, output.report.start_errno),
        (ExitStatus::Code(126), 7)
    );
}

#[tokio::test]
async fn used_cpu_is_told() {
    let mut sandbox = Sandbox::boot().await;
    let output = sandbox
        .shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
        .await;
    assert!(
        output.report.cpu > Duration::from_millis(5),
        "{:?}",
        output.report.cpu
    );
}

#[tokio::test]
async fn many_commands_at_once_all_end_with_their_own_output() {
    let mut sandbox = Sandbox::boot().await;
    let specs: Vec<_> = (0..100)
        .map(|n| shell(&format!("echo {n}; exit {}", n % 50)))
        .collect();
    let mut pipes = Vec::new();
    for spec in &specs {
        pipes.push(sandbox.start(spec).await.pipes);
    }
    for (n, (spec, pipes)) in specs.iter().zip(pipes).enumerate() {
        assert_eq!(
            within(read_all(pipes.stdout)).await,
            format!("{n}\n").as_bytes()
        );
        assert_eq!(
            sandbox.ended(&spec.id).await.status,
            ExitStatus::Code((n % 50) as i32)
        );
        within(sandbox.guest.forget(&spec.id))
            .await
            .expect("forget");
    }
}

#[tokio::test]
async fn orphans_are_reaped() {
    let mut sandbox = Sandbox::boot().await;
    let line = "for i in $(seq 50); do (true & ) ; done";
    assert!(sandbox.shell(line).await.report.status.success());
    sandbox
        .until("! grep -qs '^State:.Z' /proc/[0-9]*/status")
        .await;
}

#[tokio::test]
async fn usage_and_shutdown() {
    let sandbox = Sandbox::boot().await;
    let spec = shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    let started = sandbox.start(&spec).await;
    let mut stdout = pipe::Receiver::from_owned_fd(started.pipes.stdout).expect("stdout");
    read_until(&mut stdout, "ready\n").await;
    let usage = within(sandbox.guest.usage()).await.expect("usage");
    assert!(usage.processes >= 1 && usage.disk_total_bytes > usage.disk_used_bytes);
    let begun = Instant::now();
    within(sandbox.guest.shutdown(Duration::from_secs(30)))
        .await
        .expect("shutdown");
    within(sandbox.guest.closed()).await;
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "did not wait for the grace"
    );
    read_until(&mut stdout, "bye\n").await;
    assert!(within(sandbox.guest.usage()).await.is_err());
}
