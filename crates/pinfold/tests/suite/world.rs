//! An installation of its own for each test, and the program in it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Far above what anything here takes, also on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    temp: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests make sandboxes: run them as root"
        );
        Self {
            temp: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The program with its arguments, in this installation, with no input.
    pub(crate) fn pinfold<I: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = I>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold"));
        command
            .args(args)
            .current_dir(self.temp.path())
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PINFOLD_") {
                command.env_remove(name);
            }
        }
        command.env("PINFOLD_DATA_DIR", self.data());
        // Tests stay on this machine.
        command.env("PINFOLD_PULL", "never");
        command
    }

    /// `pinfold run -- ...` to its end.
    pub(crate) fn run<I: AsRef<std::ffi::OsStr>>(
        &self,
        command: impl IntoIterator<Item = I>,
    ) -> Output {
        finished(self.pinfold(["run", "--"]).args(command))
    }

    /// Directories of runs that have not been removed.
    pub(crate) fn run_directories(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.data().join("runs")) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| name.into_string().expect("text"));
        names.filter(|name| name != "lock").collect()
    }
}

/// What servers and runs that were killed have left ends with the installation.
impl Drop for World {
    fn drop(&mut self) {
        if self.is_clean() {
            return;
        }
        if let Err(error) = self.clear() {
            eprintln!("{}: left behind: {error}", self.temp.path().display());
        }
        assert!(
            std::thread::panicking() || self.is_clean(),
            "an installation leaves something behind"
        );
    }
}

impl World {
    fn is_clean(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let instance = std::fs::read_to_string(self.data().join("instance")).unwrap_or_default();
        !mounts.contains(&format!("{}/", self.temp.path().display()))
            && (instance.is_empty() || cgroups(instance.trim()).is_empty())
            && self.run_directories().is_empty()
    }

    /// A server that takes its sandboxes with it, for as long as it has to look.
    fn clear(&self) -> std::io::Result<()> {
        let mut server = self
            .pinfold(["serve", "--ephemeral", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::null())
            .spawn()?;
        let since = Instant::now();
        let serves = || {
            let notice = std::fs::read_to_string(self.data().join("server.lock"));
            notice.is_ok_and(|text| {
                text.contains(&format!("{}", server.id())) && text.contains("http:")
            })
        };
        while since.elapsed() < DEADLINE && !(serves() && self.run_directories().is_empty()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&server),
            rustix::process::Signal::TERM,
        );
        server.wait().map(drop)
    }
}

/// Runs to the end with both outputs taken; panics at the deadline.
pub(crate) fn finished(command: &mut Command) -> Output {
    finished_with(command, b"")
}

/// The same with input, if there is any.
pub(crate) fn finished_with(command: &mut Command, input: &[u8]) -> Output {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the program starts");
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // A program may end without reading all of it.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = ended(&mut child);
    Output {
        status,
        stdout: stdout.join().expect("read"),
        stderr: stderr.join().expect("read"),
    }
}

fn collect(source: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    let mut source = source.expect("piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).expect("read");
        bytes
    })
}

pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status;
        }
        if since.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("did not end in time");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds; panics at the deadline.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < DEADLINE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("it lives");
}

/// Reads up to and including `text`.
pub(crate) fn read_until(source: &mut impl Read, text: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(text.as_bytes()) {
        let read = source.read(&mut byte).expect("read");
        let so_far = String::from_utf8_lossy(&seen);
        assert_eq!(read, 1, "ended before {text:?}: {so_far:?}");
        seen.push(byte[0]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// Processes of this machine whose command line holds `marker`.
pub(crate) fn processes(marker: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let holds = |pid: &String| {
        let path = format!("/proc/{pid}/cmdline");
        std::fs::read(path).is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
    };
    pids.filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()))
        .filter(holds)
        .collect()
}

/// Control groups of any hierarchy whose path holds `marker`.
pub(crate) fn cgroups(marker: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, marker: &str, depth: usize, found: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return;
        };
        for path in entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
        {
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().contains(marker))
            {
                found.push(path.clone());
            }
            if depth > 0 {
                walk(&path, marker, depth - 1, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), marker, 6, &mut found);
    found
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts success and returns stdout.
pub(crate) fn good(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A tar of a root filesystem: the static busybox of this machine is not to be relied on, so it
/// holds data only.
pub(crate) fn tar(path: &Path, files: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(File::create(path).expect("create"));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, name, *content)
            .expect("append");
    }
    tar.finish().expect("finish");
}
