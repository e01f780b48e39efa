//! Which processes belong to a command, and signalling all of them.
//!
//! A process belongs to a command when it is in the command's session, descends from a process
//! that belongs to it, or carries its id in the environment it was started with. The last finds
//! daemons that left the session and whose parents are gone; one that also cleared its environment
//! is found only by the end of the sandbox.
//!
//! Everything read here is written by the tenant, so every size is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

use pinfold_sys::process::{SignalNumber, kill_group, kill_pidfd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Processes looked at in one pass. The kernel's own default bound (pid_max) is 32,768.
const PROCESSES_MAX: usize = 65_536;
/// `/proc/PID/stat` is one line.
const STAT_MAX_BYTES: u64 = 4096;
/// Environment read of one process, and of all in one pass.
const ENVIRON_MAX_BYTES: u64 = 256 << 10;
const ENVIRONS_MAX_BYTES: u64 = 32 << 20;
/// Passes until nothing new is found. Whoever forks faster is swept again later.
const ROUNDS_MAX: usize = 8;

/// The variable that carries a command's id.
pub(crate) const MARK: &str = "PINFOLD_COMMAND_ID";

/// A command as its processes show it.
#[derive(Debug, Clone)]
pub(crate) struct Root<'a> {
    pub(crate) command: &'a str,
    /// Its first process, which also names its session; `None` once that number may mean another.
    pub(crate) session: Option<u32>,
    /// That process is not reaped yet, so that its number is certain.
    pub(crate) running: bool,
}

/// A process at one moment. The start time tells two with one number apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    session: u32,
    started: u64,
    zombie: bool,
}

/// Signals every process of a command. Returns how many were alive in the last pass that found any
/// new one; 0 means that the tree was gone.
pub(crate) fn signal(root: &Root<'_>, others: &BTreeMap<u32, u32>, signal: SignalNumber) -> usize {
    if let (Some(group), true, SignalNumber::KILL) = (root.session, root.running, signal) {
        // At once for the whole group, which nobody in it can outrun by forking. It may be empty.
        let _ = kill_group(group, signal);
    }
    let mut seen = BTreeSet::new();
    let mut alive = 0;
    for _ in 0..ROUNDS_MAX {
        let members = members(root, others);
        let new: Vec<_> = members
            .into_iter()
            .filter(|process| seen.insert((process.pid, process.started)))
            .collect();
        if new.is_empty() {
            break;
        }
        alive = new.len();
        for process in new {
            send(process, signal);
        }
    }
    alive
}

/// Processes of this sandbox without its PID 1.
pub(crate) fn count() -> u64 {
    pids().filter(|pid| *pid != 1).count() as u64
}

/// Signals a process that may have been replaced by another one with its number.
fn send(process: Process, signal: SignalNumber) {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    // Gone is as good as signalled.
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    if read_stat(process.pid).is_some_and(|now| now.started == process.started) {
        let _ = kill_pidfd(&pidfd, signal);
    }
}

fn members(root: &Root<'_>, others: &BTreeMap<u32, u32>) -> Vec<Process> {
    let processes: Vec<_> = pids()
        .filter(|pid| *pid != 1)
        .take(PROCESSES_MAX)
        .filter_map(read_stat)
        .collect();
    let mut budget = ENVIRONS_MAX_BYTES;
    let marks = |process: &Process| mark(process.pid, root.command, &mut budget);
    select(root, others, &processes, marks)
}

/// What an environment says about whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Ours,
    Others,
    None,
}

fn select(
    root: &Root<'_>,
    others: &BTreeMap<u32, u32>,
    processes: &[Process],
    mut mark: impl FnMut(&Process) -> Mark,
) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, process) in processes.iter().enumerate() {
        children.entry(process.parent).or_default().push(at);
    }
    let mut chosen = BTreeSet::new();
    let first = |process: &Process| root.running && Some(process.pid) == root.session;
    if let Some(at) = processes.iter().position(first) {
        choose(at, processes, &children, &mut chosen);
    }
    for (at, process) in processes.iter().enumerate() {
        if chosen.contains(&at) || process.zombie {
            continue;
        }
        let in_session = Some(process.session) == root.session;
        // The session of another live command: its business, whatever an environment says.
        if !in_session && others.contains_key(&process.session) {
            continue;
        }
        let ours = match mark(process) {
            Mark::Ours => true,
            // A session's number says all while its first process is there.
            Mark::Others => in_session && root.running,
            Mark::None => in_session,
        };
        if ours {
            choose(at, processes, &children, &mut chosen);
        }
    }
    chosen
        .into_iter()
        .map(|at| processes[at])
        .filter(|process| !process.zombie)
        .collect()
}

/// Takes a process and all its descendants.
fn choose(
    at: usize,
    processes: &[Process],
    children: &BTreeMap<u32, Vec<usize>>,
    chosen: &mut BTreeSet<usize>,
) {
    let mut todo = vec![at];
    while let Some(at) = todo.pop() {
        if chosen.insert(at)
            && let Some(below) = children.get(&processes[at].pid)
        {
            todo.extend(below);
        }
    }
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn read_stat(pid: u32) -> Option<Process> {
    let file = File::open(format!("/proc/{pid}/stat")).ok()?;
    let mut bytes = Vec::with_capacity(512);
    file.take(STAT_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    parse_stat(pid, &bytes)
}

/// proc_pid_stat(5). The name in parentheses is the tenant's and may hold anything, parentheses and
/// newlines included; what follows the last one does not.
fn parse_stat(pid: u32, bytes: &[u8]) -> Option<Process> {
    let end = bytes.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&bytes[end + 1..]).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let _group = fields.next()?;
    let session = fields.next()?.parse().ok()?;
    // From field 7 (tty_nr) to field 22 (starttime).
    let started = fields.nth(15)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        session,
        started,
        zombie: matches!(state, "Z" | "X"),
    })
}

fn mark(pid: u32, command: &str, budget: &mut u64) -> Mark {
    let Ok(file) = File::open(format!("/proc/{pid}/environ")) else {
        return Mark::None;
    };
    let mut environ = Vec::new();
    let limit = ENVIRON_MAX_BYTES.min(*budget);
    // What was read before an error still counts.
    let _ = file.take(limit).read_to_end(&mut environ);
    *budget -= environ.len() as u64;
    find_mark(&environ, command)
}

fn find_mark(environ: &[u8], command: &str) -> Mark {
    let value = environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="));
    match value {
        Some(value) if value == command.as_bytes() => Mark::Ours,
        Some(_) => Mark::Others,
        None => Mark::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(pid: u32, parent: u32, session: u32) -> Process {
        Process {
            pid,
            parent,
            session,
            started: 0,
            zombie: false,
        }
    }

    fn pids_of(found: Vec<Process>) -> Vec<u32> {
        found.into_iter().map(|process| process.pid).collect()
    }

    #[test]
    fn a_hostile_name_does_not_hide_a_process() {
        let line = b"12 (a) Z 1 2 3) S 7 12 11 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987 0 0\n";
        let found = parse_stat(12, line).expect("parsed");
        assert_eq!((found.parent, found.session, found.started), (7, 11, 987));
        assert!(!found.zombie);
    }

    #[test]
    fn descendants_session_and_marked_daemons_belong_and_other_commands_do_not() {
        let processes = [
            process(10, 1, 10),
            process(11, 10, 11),
            process(12, 11, 12),
            process(13, 1, 10),
            process(14, 1, 14),
            process(15, 14, 14),
            process(20, 1, 20),
            process(21, 20, 20),
            process(30, 1, 30),
        ];
        let root = Root {
            command: "c",
            session: Some(10),
            running: true,
        };
        let others = BTreeMap::from([(20, 2)]);
        let marks = |p: &Process| {
            if [14, 21].contains(&p.pid) {
                Mark::Ours
            } else {
                Mark::None
            }
        };
        let found = pids_of(select(&root, &others, &processes, marks));
        assert_eq!(found, [10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn a_reused_session_number_does_not_reach_strangers() {
        let processes = [process(10, 1, 10), process(11, 1, 10)];
        let root = Root {
            command: "c",
            session: Some(10),
            running: false,
        };
        let marks = |p: &Process| {
            if p.pid == 10 {
                Mark::Others
            } else {
                Mark::None
            }
        };
        assert_eq!(
            pids_of(select(&root, &BTreeMap::new(), &processes, marks)),
            [11]
        );
    }

    #[test]
    fn the_mark_is_read_whole() {
        let environ = b"A=1\0XPINFOLD_COMMAND_ID=cmd_1\0PINFOLD_COMMAND_ID=cmd_12\0";
        assert_eq!(find_mark(environ, "cmd_12"), Mark::Ours);
        assert_eq!(find_mark(environ, "cmd_1"), Mark::Others);
        assert_eq!(find_mark(b"A=1\0", "cmd_1"), Mark::None);
    }

    proptest! {
        #[test]
        fn no_stat_line_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse_stat(1, &bytes);
        }
    }
}
