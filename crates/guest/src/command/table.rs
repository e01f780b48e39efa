//! What can be done with commands, by id.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::time::Duration;

use pinfold_proto::{
    Adopted, CommandEntry, Exited, FailureKind, Kill, KillScope, Resize, Start, Started,
};
use pinfold_sys::gate::Verdict;
use pinfold_sys::process::{self, Reaped, SignalNumber};
use pinfold_sys::spawn::Child;

use super::start::{self, Ground};
use super::{Command, State};
use crate::failure::{Outcome, Refusal};
use crate::poller::Poller;
use crate::timers::{Due, Timers};
use crate::tree::{self, Root};

/// Commands kept, running ones and those not forgotten.
const COMMANDS_MAX: u64 = 4096;
/// Descriptors a command may hold, and those left for everything else.
const FDS_PER_COMMAND: u64 = 8;
const FDS_RESERVED: u64 = 512;
/// A tree that is being killed is looked at again this often, for at most two seconds.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
const SWEEPS: u32 = 100;
/// How often a terminal that nobody has open is looked at.
const TERMINAL_PAUSE: Duration = Duration::from_millis(200);
/// How often the gate of a process that was killed at it is looked at: its host is about to decide.
const GATE_PAUSE: Duration = Duration::from_millis(20);
/// How often that of one that lives is: it is kept no longer than it takes to decide, nor is what was
/// refused and does not notice, because a tenant stopped it.
const GATE_KEPT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Commands {
    table: BTreeMap<u32, Command>,
    ids: BTreeMap<String, u32>,
    /// Processes not reaped yet.
    running: BTreeMap<u32, u32>,
    /// Processes that have come to no program yet when they were last looked at, or to none at all.
    children: BTreeMap<u32, Child>,
    /// Ended and not told to the current host.
    untold: VecDeque<u32>,
    serial: u32,
    max: u64,
}

impl Commands {
    pub(crate) fn new(files_max: u64) -> Self {
        let max = (files_max.saturating_sub(FDS_RESERVED) / FDS_PER_COMMAND).clamp(8, COMMANDS_MAX);
        Self {
            table: BTreeMap::new(),
            ids: BTreeMap::new(),
            running: BTreeMap::new(),
            children: BTreeMap::new(),
            untold: VecDeque::new(),
            serial: 0,
            max,
        }
    }

    pub(crate) fn start(
        &mut self,
        ground: &mut Ground<'_>,
        start: Start,
        fds: Vec<OwnedFd>,
        poller: &Poller,
        timers: &mut Timers,
    ) -> Outcome<Started> {
        if let Some(&serial) = self.ids.get(&start.command) {
            match self.table[&serial].verdict() {
                // Its process will find the gate refused too, whenever it looks.
                Verdict::Refused => self.take_back(serial, timers),
                Verdict::Undecided => return Err(undecided(&start.command)),
                Verdict::Open => return again(&self.table[&serial], &start),
            }
        }
        if start.command.is_empty() {
            return Err(Refusal::invalid("a command needs an id"));
        }
        if self.table.len() as u64 >= self.max {
            return Err(Refusal::new(
                FailureKind::TooMany,
                "too many commands in this sandbox",
            ));
        }
        let timeout_ms = start.timeout_ms;
        self.settle_children();
        let (command, child) = start::start(ground, start, fds)?;
        let pid = command.pid;
        self.children.insert(pid, child);
        for other in self.table.values_mut().filter(|other| other.pid == pid) {
            other.owns_number = false;
        }
        self.serial += 1;
        let serial = self.serial;
        self.ids.insert(command.id.clone(), serial);
        self.running.insert(pid, serial);
        let command = self.table.entry(serial).or_insert(command);
        if timeout_ms > 0 {
            let timeout = Duration::from_millis(timeout_ms);
            command.timer = Some(timers.add(timeout, Due::CommandTimeout(serial)));
        }
        if command.gate.is_some() {
            timers.add(GATE_KEPT, Due::Gate(serial));
        }
        self.pump(serial, poller, timers);
        Ok(Started {
            pid,
            existing: false,
        })
    }

    /// A child ended; `false` when it is no command's own process.
    pub(crate) fn reaped(&mut self, reaped: &Reaped, poller: &Poller, timers: &mut Timers) -> bool {
        let Some(serial) = self.running.remove(&reaped.pid()) else {
            return false;
        };
        let child = self.children.remove(&reaped.pid());
        let start_errno = child.map_or(0, |child| child.ended(reaped));
        // One that was taken back is in no table any more.
        if let Some(command) = self.table.get_mut(&serial) {
            if let Some(timer) = command.timer.take() {
                timers.remove(timer);
            }
            command.state = State::Undecided(command.exited(reaped, start_errno));
            self.decided(serial, poller, timers);
        }
        true
    }

    /// Frees what was kept for those that have come to their programs.
    fn settle_children(&mut self) {
        self.children.retain(|_, child| !child.is_settled());
    }

    /// Whether it ever was a command, its gate says, or will; if so and its process is gone, it ended.
    pub(crate) fn decided(&mut self, serial: u32, poller: &Poller, timers: &mut Timers) {
        self.settle_children();
        let Some(command) = self.table.get_mut(&serial) else {
            return;
        };
        match command.verdict() {
            Verdict::Open => command.gate = None,
            Verdict::Refused => return self.take_back(serial, timers),
            Verdict::Undecided => {
                let pause = if command.is_running() {
                    GATE_KEPT
                } else {
                    GATE_PAUSE
                };
                timers.add(pause, Due::Gate(serial));
                return;
            }
        }
        let exited = match std::mem::replace(&mut command.state, State::Running) {
            State::Undecided(exited) => exited,
            other => {
                command.state = other;
                return;
            }
        };
        if let Some(terminal) = &mut command.terminal {
            terminal.begin_drain();
            command.state = State::Draining(exited);
            self.pump(serial, poller, timers);
        } else {
            command.state = State::Ended(exited);
            self.untold.push_back(serial);
        }
    }

    /// Its gate was refused: it was never started.
    fn take_back(&mut self, serial: u32, timers: &mut Timers) {
        if let Some(command) = self.table.remove(&serial) {
            if let Some(timer) = command.timer {
                timers.remove(timer);
            }
            self.ids.remove(&command.id);
        }
    }

    /// Moves a terminal's bytes as far as they go now.
    pub(crate) fn pump(&mut self, serial: u32, poller: &Poller, timers: &mut Timers) {
        let Some(command) = self.table.get_mut(&serial) else {
            return;
        };
        let Some(terminal) = &mut command.terminal else {
            return;
        };
        let pumped = terminal.pump(serial, poller);
        if pumped.look_again {
            timers.add(TERMINAL_PAUSE, Due::Terminal(serial));
        }
        if matches!(command.state, State::Draining(_)) && terminal.is_drained() {
            let state = std::mem::replace(&mut command.state, State::Running);
            if let State::Draining(exited) = state {
                command.state = State::Ended(exited);
                self.untold.push_back(serial);
            }
        }
        let ended = matches!(command.state, State::Ended(_));
        if pumped.hung_up && ended {
            // With the writing end gone the host reads the end of the output.
            command.terminal = None;
        }
    }

    pub(crate) fn kill(&mut self, kill: &Kill, timers: &mut Timers) -> Outcome<()> {
        let signal = SignalNumber::new(kill.signal)
            .ok_or_else(|| Refusal::invalid("a signal is from 1 to 64"))?;
        let scope = KillScope::try_from(kill.scope)
            .map_err(|_| Refusal::new(FailureKind::Unsupported, "no such scope"))?;
        let serial = self.serial_of(&kill.command)?;
        match scope {
            KillScope::Tree => {
                self.mark_killed(serial);
                self.signal_tree(serial, signal, SWEEPS, timers);
                Ok(())
            }
            KillScope::Process => {
                self.mark_killed(serial);
                let command = &self.table[&serial];
                if command.is_running() {
                    signalled(process::kill(command.pid, signal))
                } else {
                    Ok(())
                }
            }
            KillScope::Foreground => self.signal_foreground(serial, signal),
        }
    }

    /// A command's own time is over.
    pub(crate) fn timed_out(&mut self, serial: u32, timers: &mut Timers) {
        if let Some(command) = self.table.get_mut(&serial)
            && command.is_running()
        {
            command.timed_out = true;
            command.timer = None;
            self.signal_tree(serial, SignalNumber::KILL, SWEEPS, timers);
        }
    }

    /// Another pass over a tree that is being killed.
    pub(crate) fn sweep(&mut self, serial: u32, left: u32, timers: &mut Timers) {
        self.signal_tree(serial, SignalNumber::KILL, left, timers);
    }

    fn signal_tree(&mut self, serial: u32, signal: SignalNumber, sweeps: u32, timers: &mut Timers) {
        let Some(command) = self.table.get(&serial) else {
            return;
        };
        let root = Root {
            command: &command.id,
            session: command.owns_number.then_some(command.pid),
            running: command.is_running(),
        };
        let alive = tree::signal(&root, &self.running, signal);
        if signal == SignalNumber::KILL && alive > 0 && sweeps > 0 {
            timers.add(
                SWEEP_PAUSE,
                Due::Sweep {
                    command: serial,
                    left: sweeps - 1,
                },
            );
        }
    }

    fn signal_foreground(&self, serial: u32, signal: SignalNumber) -> Outcome<()> {
        let command = &self.table[&serial];
        let group = command
            .terminal
            .as_ref()
            .and_then(crate::terminal::Terminal::foreground);
        match group {
            Some(group) => signalled(process::kill_group(group, signal)),
            None if command.is_running() => signalled(kill_own_group(command.pid, signal)),
            None => Ok(()),
        }
    }

    pub(crate) fn close_stdin(
        &mut self,
        id: &str,
        poller: &Poller,
        timers: &mut Timers,
    ) -> Outcome<()> {
        let serial = self.serial_of(id)?;
        if let Some(command) = self.table.get_mut(&serial) {
            command.pipes.stdin = None;
            self.pump(serial, poller, timers);
        }
        Ok(())
    }

    pub(crate) fn resize(&mut self, resize: &Resize) -> Outcome<()> {
        let serial = self.serial_of(&resize.command)?;
        let window = resize.window.unwrap_or_default();
        match &self.table[&serial].terminal {
            Some(terminal) => terminal.resize(window),
            // One that has ended has no use for it.
            None if !self.table[&serial].is_running() => Ok(()),
            None => Err(Refusal::invalid("this command has no terminal")),
        }
    }

    /// Duplicates of the host's ends.
    pub(crate) fn adopt(&self, id: &str) -> Outcome<(Adopted, Vec<OwnedFd>)> {
        let command = &self.table[&self.serial_of(id)?];
        if command.verdict() == Verdict::Undecided {
            return Err(undecided(id));
        }
        let pipes = &command.pipes;
        let adopted = Adopted {
            stdin: pipes.stdin.is_some(),
            stderr: pipes.stderr.is_some(),
        };
        let ends = [
            pipes.stdin.as_ref(),
            Some(&pipes.stdout),
            pipes.stderr.as_ref(),
        ];
        let fds: Result<_, _> = ends.into_iter().flatten().map(OwnedFd::try_clone).collect();
        Ok((adopted, fds.map_err(|error| Refusal::io("pipe", &error))?))
    }

    pub(crate) fn forget(&mut self, id: &str) -> Outcome<()> {
        let serial = self.serial_of(id)?;
        if !matches!(self.table[&serial].state, State::Ended(_)) {
            return Err(Refusal::new(
                FailureKind::Conflict,
                "this command still runs",
            ));
        }
        self.table.remove(&serial);
        self.ids.remove(id);
        self.untold.retain(|other| *other != serial);
        Ok(())
    }

    pub(crate) fn list(&self) -> Vec<CommandEntry> {
        let entry = |command: &Command| CommandEntry {
            command: command.id.clone(),
            pid: command.pid,
            exited: command.end().cloned(),
        };
        let started = |command: &&Command| command.verdict() != Verdict::Refused;
        self.table.values().filter(started).map(entry).collect()
    }

    /// A new host is told every end that is not forgotten.
    pub(crate) fn tell_again(&mut self) {
        let ended = self
            .table
            .iter()
            .filter(|(_, command)| command.end().is_some());
        self.untold = ended.map(|(serial, _)| *serial).collect();
    }

    /// The next end to tell, taken off the list.
    pub(crate) fn take_untold(&mut self) -> Option<Exited> {
        let serial = self.untold.pop_front()?;
        self.table.get(&serial).and_then(Command::end).cloned()
    }

    pub(crate) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    fn mark_killed(&mut self, serial: u32) {
        if let Some(command) = self.table.get_mut(&serial)
            && command.is_running()
        {
            command.killed = true;
        }
    }

    fn serial_of(&self, id: &str) -> Outcome<u32> {
        let started = |serial: &u32| self.table[serial].verdict() != Verdict::Refused;
        self.ids.get(id).copied().filter(started).ok_or_else(|| {
            Refusal::new(
                FailureKind::NoSuchCommand,
                format!("no command {id} in this sandbox"),
            )
        })
    }
}

impl Command {
    const fn end(&self) -> Option<&Exited> {
        match &self.state {
            State::Ended(exited) => Some(exited),
            State::Running | State::Undecided(_) | State::Draining(_) => None,
        }
    }
}

fn again(command: &Command, start: &Start) -> Outcome<Started> {
    if command.fingerprint == start.fingerprint {
        return Ok(Started {
            pid: command.pid,
            existing: true,
        });
    }
    let message = format!("command {} was started with another payload", start.command);
    Err(Refusal::new(FailureKind::Conflict, message))
}

fn undecided(id: &str) -> Refusal {
    let message = format!("another host is about to say whether command {id} was started");
    Refusal::new(FailureKind::Undecided, message)
}

const NO_SUCH_PROCESS: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// Signals the group of a process that is not reaped yet. Where there is no such group, the process
/// has not come to its setsid, is still alone and dies of a signal as the program would.
fn kill_own_group(pid: u32, signal: SignalNumber) -> std::io::Result<()> {
    match process::kill_group(pid, signal) {
        Err(error) if error.raw_os_error() == Some(NO_SUCH_PROCESS) => process::kill(pid, signal),
        other => other,
    }
}

/// A process that is gone is as good as signalled.
fn signalled(result: std::io::Result<()>) -> Outcome<()> {
    match result {
        Err(error) if error.raw_os_error() != Some(NO_SUCH_PROCESS) => {
            Err(Refusal::io("kill", &error))
        }
        _ => Ok(()),
    }
}
