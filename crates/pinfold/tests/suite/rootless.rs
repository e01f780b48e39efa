//! The program in the hands of an ordinary user: less isolation, said so, and the same manners.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::chown;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;

use crate::world::{
    World, ended, eventually, finished, finished_with, good, processes, signal, text,
};

/// Nobody's, and in no group that has anything.
const USER: u32 = 65_534;

/// An installation that belongs to an ordinary user.
struct Home {
    world: World,
    /// Open across exec, so that the program runs whoever may walk to where it lies.
    program: File,
}

impl Home {
    fn new() -> Self {
        let world = World::new();
        chown(world.path(""), Some(USER), Some(USER)).expect("chown");
        let program = File::open(env!("CARGO_BIN_EXE_pinfold")).expect("the program");
        rustix::io::fcntl_setfd(&program, rustix::io::FdFlags::empty()).expect("inherited");
        Self { world, program }
    }

    fn pinfold<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let home = self.world.path("");
        let mut command = Command::new("setpriv");
        let id = USER.to_string();
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"])
            .arg(format!("/proc/self/fd/{}", self.program.as_raw_fd()))
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &home)
            .env("XDG_RUNTIME_DIR", self.world.path("runtime"))
            .env("PINFOLD_DATA_DIR", self.world.data())
            .current_dir(home)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Output {
        finished(&mut self.pinfold(["run", "--", "sh", "-c", line]))
    }

    fn assert_nothing_is_left(&self) {
        assert!(self.world.run_directories().is_empty());
        assert!(processes(&self.world.data().display().to_string()).is_empty());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(
            !mounts.contains(&self.world.path("").display().to_string()),
            "{mounts}"
        );
        // Those of tests beside this one have the same user, and the kernel takes a moment to end one.
        eventually("no guest of this user is left", || guests().is_empty());
    }
}

/// Guests that run with this user's id, which root's never have.
fn guests() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc").expect("proc");
    let is_guest = |path: &PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|rest| {
                rest.split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
        };
        value("Name:").is_some_and(|name| name == "pinfold-guest")
            // One that has ended is nobody's any more; whoever inherited it may take a while to notice.
            && value("State:").is_some_and(|state| state != "Z")
            && value("Uid:") == Some(USER.to_string())
    };
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(is_guest)
        .collect()
}

#[test]
fn a_run_of_an_ordinary_user_behaves_as_one_of_root() {
    let home = Home::new();
    let ran = home.run("echo out; echo err >&2; id -u; exit 7");
    assert_eq!(
        (text(&ran.stdout), text(&ran.stderr)),
        ("out\n0\n".into(), "err\n".into())
    );
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!(home.run("kill -TERM $$").status.signal(), Some(15));
    let input = vec![0xff; 3 << 20];
    let copied = finished_with(&mut home.pinfold(["run", "--", "cat"]), &input);
    assert!(copied.status.success() && copied.stdout == input);
    let late = finished(&mut home.pinfold(["run", "--timeout", "300ms", "--", "sleep", "1000"]));
    assert_eq!(late.status.code(), Some(124));
    good(home.run("sleep 1000 & setsid sleep 1000 & echo > /workspace/file"));
    home.assert_nothing_is_left();
}

#[test]
fn an_ordinary_users_sandbox_has_no_network_and_sees_none_of_its_files() {
    let home = Home::new();
    let secret = home.world.path("secret");
    std::fs::write(&secret, "secret").expect("write");
    chown(&secret, Some(USER), Some(USER)).expect("chown");
    let look = format!(
        "cat {} 2>&1; ls -A /root /home /mnt /srv 2>/dev/null; test -e /etc/shadow && echo shadow; \
         tail -n +3 /proc/net/dev | cut -d: -f1; ls /proc | grep -c '^[0-9]'",
        secret.display()
    );
    let seen = text(&home.run(&look).stdout);
    assert!(
        !seen.contains("secret\n") && seen.contains("No such file"),
        "{seen}"
    );
    assert!(!seen.contains("shadow"), "{seen}");
    let interfaces: Vec<_> = seen
        .lines()
        .map(str::trim)
        .filter(|line| *line == "lo")
        .collect();
    assert_eq!(interfaces, ["lo"], "{seen}");
    let processes: u32 = seen
        .lines()
        .last()
        .expect("a count")
        .parse()
        .expect("a number");
    assert!(processes < 10, "{seen}");
    let open = finished(&mut home.pinfold(["run", "--network", "open", "--", "true"]));
    assert_eq!(open.status.code(), Some(125));
    assert!(
        text(&open.stderr).contains("needs root"),
        "{}",
        text(&open.stderr)
    );
    home.assert_nothing_is_left();
}

#[test]
fn what_is_weaker_for_an_ordinary_user_is_listed() {
    let home = Home::new();
    let report = good(finished(&mut home.pinfold(["doctor", "--json"])));
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["fault"], serde_json::Value::Null, "{report}");
    let weaker = report["weaker"].to_string();
    for word in [
        "memory",
        "cpu",
        "pids",
        "one id",
        "disks are kept in memory",
    ] {
        assert!(weaker.contains(word), "{word}: {weaker}");
    }
    let enforced = report["enforced"].to_string();
    for word in [
        "user_namespace",
        "network_namespace",
        "seccomp",
        "no_new_privs",
    ] {
        assert!(enforced.contains(word), "{word}: {enforced}");
    }
    for word in ["id_range", "idmapped", "cgroup_memory"] {
        assert!(!enforced.contains(word), "{word}: {enforced}");
    }
}

#[test]
fn an_ordinary_user_serves_sandboxes_that_outlive_a_killed_server() {
    let home = Home::new();
    let server = serve(&home);
    good(finished(
        &mut home.pinfold(["sandbox", "create", "--name", "box"]),
    ));
    let exec = |home: &Home, line: &str| {
        let ran = finished(&mut home.pinfold(["sandbox", "exec", "box", "--", "sh", "-c", line]));
        good(ran)
    };
    assert_eq!(exec(&home, "echo kept > /workspace/f; echo ran"), "ran\n");
    let refused = finished(&mut home.pinfold(["sandbox", "suspend", "box"]));
    assert!(
        text(&refused.stderr).contains("freezer"),
        "{}",
        text(&refused.stderr)
    );
    end(server, Signal::KILL);
    let server = serve(&home);
    assert_eq!(exec(&home, "cat /workspace/f"), "kept\n");
    good(finished(&mut home.pinfold(["sandbox", "rm", "box"])));
    end(server, Signal::TERM);
    home.assert_nothing_is_left();
}

fn serve(home: &Home) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(home.world.path("log"));
    let notice = home.world.data().join("server.lock");
    let _ = std::fs::write(&notice, "");
    let mut command = home.pinfold(["serve", "--listen", "127.0.0.1:0"]);
    let mut server = command.stderr(log.expect("log")).spawn().expect("start");
    eventually("the server announces itself", || {
        let log = || std::fs::read_to_string(home.world.path("log")).unwrap_or_default();
        assert!(server.try_wait().expect("wait").is_none(), "{}", log());
        std::fs::read_to_string(&notice).is_ok_and(|text| text.contains("http:"))
    });
    server
}

fn end(mut server: Child, by: Signal) {
    signal(&server, by);
    ended(&mut server);
}
