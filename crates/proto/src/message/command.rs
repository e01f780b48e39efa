//! Messages of commands: starting, signalling, listing, taking over. Tags are never reused.

/// Starts a command. Descriptors, in this order, for pipes:
/// `[stdin r, stdin w]` if `stdin`, `[stdout r, stdout w, stderr r, stderr w]`; for a terminal:
/// `[input r, input w, output r, output w]`. The guest hands one end to the command and keeps the
/// other, so that nothing breaks while no host is there. If `gate`, `[gate r]` comes last.
///
/// A command id starts once: the same id with the same `fingerprint` answers as the first time
/// did, with another one it is a conflict.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Start {
    #[prost(string, tag = "1")]
    pub command: String,
    #[prost(bytes = "vec", tag = "2")]
    pub fingerprint: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub argv: Vec<Vec<u8>>,
    /// Run through the image's shell instead; then `argv` is empty.
    #[prost(string, optional, tag = "4")]
    pub shell: Option<String>,
    #[prost(string, tag = "5")]
    pub cwd: String,
    /// `NAME=value`, complete but for PATH, HOME, USER, LOGNAME, SHELL and TERM, which the guest
    /// adds where missing.
    #[prost(string, repeated, tag = "6")]
    pub env: Vec<String>,
    /// A name or `uid[:gid]`.
    #[prost(string, tag = "7")]
    pub user: String,
    #[prost(bool, tag = "8")]
    pub stdin: bool,
    #[prost(message, optional, tag = "9")]
    pub terminal: Option<Window>,
    /// 0: none.
    #[prost(uint64, tag = "10")]
    pub timeout_ms: u64,
    /// Make `cwd` where it does not exist.
    #[prost(bool, tag = "11")]
    pub make_cwd: bool,
    /// Since 1.1. The process waits at a pipe before it enters its working directory. A byte in the
    /// pipe lets it through; its end without one means that the command was never started, also for
    /// a second start with its id. In between that is `UNDECIDED`.
    #[prost(bool, tag = "12")]
    pub gate: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Window {
    #[prost(uint32, tag = "1")]
    pub rows: u32,
    #[prost(uint32, tag = "2")]
    pub cols: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Started {
    /// As the sandbox numbers it; 0 where the program could not be started at all.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// The command had been started before: the descriptors of this request are not its own, ask
    /// for those with `Adopt`.
    #[prost(bool, tag = "2")]
    pub existing: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Exited {
    #[prost(string, tag = "1")]
    pub command: String,
    /// Exactly one of the two is set, unless `start_errno` is.
    #[prost(int32, optional, tag = "2")]
    pub code: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub signal: Option<i32>,
    #[prost(bool, tag = "4")]
    pub timed_out: bool,
    /// A `Kill` had been asked for before it ended.
    #[prost(bool, tag = "5")]
    pub killed: bool,
    /// The program could not be started; `code` is then what a shell would give (126 or 127) and
    /// the guest has written the reason to the command's stderr.
    #[prost(int32, tag = "6")]
    pub start_errno: i32,
    /// CPU the command and its waited-for children used.
    #[prost(uint64, tag = "7")]
    pub cpu_us: u64,
}

/// Signals a command: the process group, and everything that descends from it, wherever it went.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Kill {
    #[prost(string, tag = "1")]
    pub command: String,
    #[prost(int32, tag = "2")]
    pub signal: i32,
    #[prost(enumeration = "KillScope", tag = "3")]
    pub scope: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum KillScope {
    /// All descendants, daemons included; counts as a cancel.
    Tree = 0,
    /// The foreground process group only, as a terminal's ^C would; not a cancel.
    Foreground = 1,
    /// The command's own process only; counts as a cancel.
    Process = 2,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CommandRef {
    #[prost(string, tag = "1")]
    pub command: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Resize {
    #[prost(string, tag = "1")]
    pub command: String,
    #[prost(message, optional, tag = "2")]
    pub window: Option<Window>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ListCommands {}

/// Every command that is not forgotten yet.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Commands {
    #[prost(message, repeated, tag = "1")]
    pub commands: Vec<CommandEntry>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CommandEntry {
    #[prost(string, tag = "1")]
    pub command: String,
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// Set when it has ended.
    #[prost(message, optional, tag = "3")]
    pub exited: Option<Exited>,
}

/// The host's ends of a command's pipes, in the order of the flags:
/// `[stdin w]` if `stdin`, `[stdout r]`, `[stderr r]` if `stderr`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Adopted {
    #[prost(bool, tag = "1")]
    pub stdin: bool,
    #[prost(bool, tag = "2")]
    pub stderr: bool,
}
