//! `run` on a terminal: a pair of pseudo-terminals plays the person.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::world::{World, ended, eventually, read_until};

pub(crate) struct Terminal {
    pub(crate) ours: File,
    theirs: OwnedFd,
}

impl Terminal {
    pub(crate) fn new(rows: u16, cols: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).expect("a pseudo-terminal");
        grantpt(&ours).expect("grant");
        unlockpt(&ours).expect("unlock");
        let theirs = ioctl_tiocgptpeer(&ours, flags).expect("the other side");
        let terminal = Self {
            ours: ours.into(),
            theirs,
        };
        terminal.resize(rows, cols);
        terminal
    }

    fn resize(&self, rows: u16, cols: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.ours, size).expect("resize");
    }

    /// Starts the program with this as its controlling terminal, which setsid(1) arranges.
    pub(crate) fn start(&self, program: &Command) -> Child {
        let stdio = || Stdio::from(self.theirs.try_clone().expect("clone"));
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.process_group(0);
        command
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .expect("start")
    }

    fn is_raw(&self) -> bool {
        !self.has(LocalModes::ICANON)
    }

    /// Whether it shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        self.has(LocalModes::ECHO)
    }

    fn has(&self, mode: LocalModes) -> bool {
        let modes = tcgetattr(self.theirs.as_fd()).expect("a terminal");
        modes.local_modes.contains(mode)
    }
}

#[test]
fn a_shell_on_a_terminal_is_a_shell_on_a_terminal() {
    let world = World::new();
    let mut terminal = Terminal::new(33, 101);
    let mut child = terminal.start(&world.pinfold(["run", "--", "sh", "-i"]));
    eventually("the terminal is raw", || terminal.is_raw());
    terminal
        .ours
        .write_all(b"stty size; test -t 0 && echo is a te''rminal\n")
        .expect("type");
    read_until(&mut terminal.ours, "33 101");
    read_until(&mut terminal.ours, "is a terminal");
    terminal.resize(44, 55);
    terminal
        .ours
        .write_all(b"while test \"$(stty size)\" != '44 55'; do :; done; echo resi''zed\n")
        .expect("type");
    read_until(&mut terminal.ours, "resized");
    terminal.ours.write_all(b"exit 9\n").expect("type");
    assert_eq!(ended(&mut child).code(), Some(9));
    assert!(!terminal.is_raw(), "the terminal is as it was");
}

#[test]
fn control_c_goes_through_the_terminal() {
    let world = World::new();
    let mut terminal = Terminal::new(24, 80);
    let script =
        "trap 'echo interr''upted; exit 6' INT; echo rea''dy; while :; do sleep 0.05; done";
    let mut child = terminal.start(&world.pinfold(["run", "--", "sh", "-c", script]));
    read_until(&mut terminal.ours, "ready");
    terminal.ours.write_all(&[3]).expect("type");
    read_until(&mut terminal.ours, "interrupted");
    assert_eq!(ended(&mut child).code(), Some(6));
    assert!(!terminal.is_raw());
}

#[test]
fn the_terminal_is_restored_when_a_signal_ends_the_run() {
    let world = World::new();
    let mut terminal = Terminal::new(24, 80);
    let mut child =
        terminal.start(&world.pinfold(["run", "--", "sh", "-c", "echo rea''dy; exec sleep 1000"]));
    read_until(&mut terminal.ours, "ready");
    assert!(terminal.is_raw());
    let marker = world.data().display().to_string();
    // The program itself, not the setsid before it.
    let pinfold = crate::world::processes("exec sleep 1000")
        .into_iter()
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&marker)
                && line.starts_with(env!("CARGO_BIN_EXE_pinfold").as_bytes())
        })
        .collect::<Vec<_>>();
    let pid: i32 = pinfold.first().expect("it runs").parse().expect("a number");
    let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
    ended(&mut child);
    assert!(!terminal.is_raw());
}

#[test]
fn a_terminal_can_be_had_without_one_here() {
    let world = World::new();
    let output = crate::world::finished(&mut world.pinfold(["run", "--tty", "--", "tty"]));
    assert!(crate::world::good(output).starts_with("/dev/pts/"));
}
