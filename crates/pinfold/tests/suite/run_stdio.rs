//! `run`: input and output as if the command ran here.

use std::io::{Read, Write};
use std::process::Stdio;

use sha2::{Digest, Sha256};

use crate::world::{World, ended, finished, finished_with, good, read_until, text};

#[test]
fn bash_runs_a_script_from_stdin() {
    let world = World::new();
    let script = b"set -eu\ngreet() { echo \"hello from $1\"; }\ngreet bash\nexit 3\n";
    let output = finished_with(&mut world.pinfold(["run", "bash"]), script);
    assert_eq!(
        text(&output.stdout),
        "hello from bash\n",
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn python_runs_a_script_from_stdin() {
    let world = World::new();
    let script = b"import sys\nprint(sum(range(10)))\nprint('seen', file=sys.stderr)\n";
    let output = finished_with(&mut world.pinfold(["run", "--", "python3", "-"]), script);
    assert_eq!(text(&output.stdout), "45\n");
    assert_eq!(text(&output.stderr), "seen\n");
    assert!(output.status.success());
}

#[test]
fn a_large_pipe_through_cat_arrives_whole() {
    const MIB: usize = 256;
    let world = World::new();
    let mut child = world
        .pinfold(["run", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || {
        let mut sent = Sha256::new();
        let mut block = vec![0u8; 1 << 20];
        for round in 0..MIB {
            for (at, byte) in block.iter_mut().enumerate() {
                *byte = (at.wrapping_mul(31) ^ (at >> 8) ^ round.wrapping_mul(7)) as u8;
            }
            sent.update(&block);
            stdin.write_all(&block).expect("cat reads");
        }
        sent.finalize()
    });
    let mut stdout = child.stdout.take().expect("piped");
    let (mut seen, mut total, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = stdout.read(&mut buffer).expect("read");
        if read == 0 {
            break;
        }
        seen.update(&buffer[..read]);
        total += read;
    }
    assert!(ended(&mut child).success());
    assert_eq!(total, MIB << 20);
    assert_eq!(writer.join().expect("written"), seen.finalize());
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let world = World::new();
    let all: Vec<u8> = (0..=255).collect();
    let output = finished_with(&mut world.pinfold(["run", "--", "cat"]), &all);
    assert_eq!(output.stdout, all);
    let output = world.run(["printf", r"\377\376\000\200"]);
    assert_eq!(output.stdout, [0xff, 0xfe, 0, 0x80]);
}

#[test]
fn stdout_and_stderr_stay_apart() {
    let world = World::new();
    let output = world.run(["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("out\n".into(), "err\n".into())
    );
}

#[test]
fn output_goes_to_files_and_appended_files() {
    let world = World::new();
    let path = world.path("log");
    for _ in 0..2 {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .expect("open");
        let mut run = world.pinfold(["run", "--", "echo", "line"]);
        assert!(ended(&mut run.stdout(log).spawn().expect("start")).success());
    }
    assert_eq!(
        std::fs::read_to_string(&path).expect("read"),
        "line\nline\n"
    );
}

#[test]
fn input_comes_from_a_file() {
    let world = World::new();
    std::fs::write(world.path("input"), vec![b'x'; 3_000_000]).expect("write");
    let input = std::fs::File::open(world.path("input")).expect("open");
    let output = finished(world.pinfold(["run", "--", "wc", "-c"]).stdin(input));
    assert_eq!(good(output).trim(), "3000000");
}

#[test]
fn the_command_sees_the_end_of_its_input_and_no_sooner() {
    let world = World::new();
    let mut child = world
        .pinfold([
            "run",
            "--",
            "sh",
            "-c",
            "read a; echo got $a; cat; echo end",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = child.stdout.take().expect("piped");
    stdin.write_all(b"one\n").expect("write");
    assert_eq!(read_until(&mut stdout, "got one\n"), "got one\n");
    stdin.write_all(b"two\n").expect("write");
    assert_eq!(read_until(&mut stdout, "two\n"), "two\n");
    drop(stdin);
    assert_eq!(read_until(&mut stdout, "end\n"), "end\n");
    assert!(ended(&mut child).success());
}

#[test]
fn a_daemon_that_holds_the_output_does_not_hold_the_run() {
    let world = World::new();
    let line = "sleep 1000 & (sleep 1000; echo late) & echo done; head -c 60000 /dev/zero; exit 4";
    let output = world.run(["sh", "-c", line]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(output.stdout.len(), "done\n".len() + 60_000);
    assert!(world.run_directories().is_empty());
}

#[test]
fn a_command_whose_reader_has_gone_ends_like_in_any_pipe() {
    let world = World::new();
    let mut child = world
        .pinfold(["run", "--", "yes"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdout = child.stdout.take().expect("piped");
    read_until(&mut stdout, "y\n");
    drop(stdout);
    let status = ended(&mut child);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(13),
        "{status}"
    );
}

#[test]
fn a_writer_learns_that_the_command_reads_no_more() {
    let world = World::new();
    let mut child = world
        .pinfold([
            "run",
            "--",
            "sh",
            "-c",
            "exec 0<&-; echo closed; sleep 1000",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdin = child.stdin.take().expect("piped");
    read_until(child.stdout.as_mut().expect("piped"), "closed\n");
    crate::world::eventually("a write fails", || stdin.write_all(&[0; 4096]).is_err());
    crate::world::signal(&child, rustix::process::Signal::TERM);
    ended(&mut child);
}

#[test]
fn a_command_that_ignores_the_signal_cannot_write_to_nobody_for_ever() {
    let world = World::new();
    let mut child = world
        .pinfold([
            "run",
            "--",
            "sh",
            "-c",
            "trap '' PIPE; while echo y; do :; done",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdout = child.stdout.take().expect("piped");
    read_until(&mut stdout, "y\n");
    drop(stdout);
    assert!(!ended(&mut child).success());
    assert!(world.run_directories().is_empty());
}

#[test]
fn both_outputs_into_one_file_lose_nothing() {
    const LINES: usize = 2000;
    let world = World::new();
    let line = format!(
        "i=0; while [ $i -lt {LINES} ]; do echo o$i; echo e$i >&2; i=$((i+1)); done; exec >&-"
    );
    let path = world.path("both");
    let file = std::fs::File::create(&path).expect("create");
    let mut command = world.pinfold(["run", "--", "sh", "-c", &line]);
    // One open file behind both, with one position, as a shell's `> both 2>&1` makes it.
    command
        .stdout(file.try_clone().expect("clone"))
        .stderr(file);
    assert!(command.status().expect("run").success());
    let text = std::fs::read_to_string(path).expect("read");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((lines.len(), text.lines().count()), (2 * LINES, 2 * LINES));
}
