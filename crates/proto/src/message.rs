//! The messages. Tags are never reused; see the crate's doc for how they may grow.

/// First frame of both sides.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hello {
    #[prost(uint32, tag = "1")]
    pub major: u32,
    #[prost(uint32, tag = "2")]
    pub minor: u32,
    /// Release of the speaker, for logs.
    #[prost(string, tag = "3")]
    pub release: String,
    /// Guest only: random for each boot, so that a host sees when it talks to another life.
    #[prost(uint64, tag = "4")]
    pub boot: u64,
}

/// A host's question.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Request {
    /// Chosen by the host, not 0; the answer carries it.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(
        oneof = "request::Body",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22"
    )]
    pub body: Option<request::Body>,
}

pub mod request {
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Body {
        #[prost(message, tag = "2")]
        Hello(super::Hello),
        #[prost(message, tag = "3")]
        Configure(super::Configure),
        #[prost(message, tag = "4")]
        Start(super::Start),
        #[prost(message, tag = "5")]
        Kill(super::Kill),
        #[prost(message, tag = "6")]
        CloseStdin(super::CommandRef),
        #[prost(message, tag = "7")]
        Resize(super::Resize),
        #[prost(message, tag = "8")]
        ListCommands(super::ListCommands),
        #[prost(message, tag = "9")]
        Adopt(super::CommandRef),
        /// Drops all that is kept of a command: its end, its pipes, its id. One that still runs is
        /// a `CONFLICT`.
        #[prost(message, tag = "10")]
        Forget(super::CommandRef),
        #[prost(message, tag = "11")]
        Stat(super::Path),
        #[prost(message, tag = "12")]
        List(super::List),
        #[prost(message, tag = "13")]
        MakeDir(super::MakeDir),
        #[prost(message, tag = "14")]
        Move(super::Move),
        #[prost(message, tag = "15")]
        Remove(super::Remove),
        #[prost(message, tag = "16")]
        SetMode(super::SetMode),
        #[prost(message, tag = "17")]
        Transfer(super::Transfer),
        #[prost(message, tag = "18")]
        CancelTransfer(super::CancelTransfer),
        #[prost(message, tag = "19")]
        Dial(super::Dial),
        #[prost(message, tag = "20")]
        Usage(super::UsageQuery),
        #[prost(message, tag = "21")]
        Shutdown(super::Shutdown),
        #[prost(message, tag = "22")]
        CommitTransfer(super::CommitTransfer),
    }
}

/// A guest's frame: an answer (id of the question) or an event (id 0).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Reply {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(oneof = "reply::Body", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub body: Option<reply::Body>,
}

pub mod reply {
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Body {
        #[prost(message, tag = "2")]
        Hello(super::Hello),
        #[prost(message, tag = "3")]
        Failure(super::Failure),
        #[prost(message, tag = "4")]
        Done(super::Done),
        #[prost(message, tag = "5")]
        Started(super::Started),
        /// Event: a command ended. Sent again to each new host until it is forgotten.
        #[prost(message, tag = "6")]
        Exited(super::Exited),
        #[prost(message, tag = "7")]
        Commands(super::Commands),
        /// Answer to `Adopt`; the descriptors come with it.
        #[prost(message, tag = "8")]
        Adopted(super::Adopted),
        #[prost(message, tag = "9")]
        Stat(super::FileStat),
        #[prost(message, tag = "10")]
        Entries(super::Entries),
        /// Answer to `Dial`; the connected socket comes with it.
        #[prost(message, tag = "11")]
        Dialed(super::Dialed),
        #[prost(message, tag = "12")]
        Usage(super::Usage),
        /// Event: a transfer ended, well or not.
        #[prost(message, tag = "13")]
        TransferEnded(super::TransferEnded),
    }
}

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Failure {
    #[prost(enumeration = "FailureKind", tag = "1")]
    pub kind: i32,
    /// For people; holds no more than the caller's own paths and the kernel's words.
    #[prost(string, tag = "2")]
    pub message: String,
    /// The kernel's errno, 0 where there is none.
    #[prost(int32, tag = "3")]
    pub errno: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FailureKind {
    Other = 0,
    Unsupported = 1,
    Invalid = 2,
    NotFound = 3,
    Exists = 4,
    NotEmpty = 5,
    IsDirectory = 6,
    NotDirectory = 7,
    Denied = 8,
    NoSpace = 9,
    NoSuchUser = 10,
    NoSuchCommand = 11,
    ConnectionRefused = 12,
    TooMany = 13,
    /// The same command id was started before with another payload.
    Conflict = 14,
    /// A path leaves the directory it has to stay in.
    Outside = 15,
    Cancelled = 16,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Done {}

/// Settings of the whole guest; the first request after `Hello`. May be repeated.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Configure {
    /// End the sandbox when the link breaks: for a sandbox that belongs to one process.
    #[prost(bool, tag = "1")]
    pub die_with_host: bool,
    /// PATH for commands that bring none.
    #[prost(string, tag = "2")]
    pub default_path: String,
}

/// Starts a command. Descriptors, in this order, for pipes:
/// `[stdin r, stdin w]` if `stdin`, `[stdout r, stdout w, stderr r, stderr w]`; for a terminal:
/// `[input r, input w, output r, output w]`. The guest hands one end to the command and keeps the
/// other, so that nothing breaks while no host is there.
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

/// A path and who does the work. File names are bytes: Linux asks for no encoding.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Path {
    /// A relative one begins at `within`, or at `/` where that is empty.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// A name or `uid[:gid]`; empty: root of the sandbox.
    #[prost(string, tag = "2")]
    pub user: String,
    /// Where not empty, the place that the path leads to (through whatever symlinks) must lie
    /// inside this directory, else the answer is `OUTSIDE`.
    #[prost(bytes = "vec", tag = "3")]
    pub within: Vec<u8>,
    /// Do not follow a symlink in the last component.
    #[prost(bool, tag = "4")]
    pub no_follow: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FileStat {
    /// The last component as it was asked for.
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(enumeration = "FileKind", tag = "2")]
    pub kind: i32,
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// Permission bits, setuid and sticky included.
    #[prost(uint32, tag = "4")]
    pub mode: u32,
    #[prost(uint32, tag = "5")]
    pub uid: u32,
    #[prost(uint32, tag = "6")]
    pub gid: u32,
    #[prost(int64, tag = "7")]
    pub modified_us: i64,
    /// Where it points, for a symlink.
    #[prost(bytes = "vec", tag = "8")]
    pub target: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FileKind {
    Other = 0,
    File = 1,
    Directory = 2,
    Symlink = 3,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct List {
    #[prost(message, optional, tag = "1")]
    pub at: Option<Path>,
    /// Names after this one, in byte order.
    #[prost(bytes = "vec", tag = "2")]
    pub after: Vec<u8>,
    /// At most this many, 1 to 1,000.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<FileStat>,
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MakeDir {
    #[prost(message, optional, tag = "1")]
    pub at: Option<Path>,
    /// Make missing parents, and accept that the directory exists.
    #[prost(bool, tag = "2")]
    pub parents: bool,
    #[prost(uint32, tag = "3")]
    pub mode: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Move {
    #[prost(message, optional, tag = "1")]
    pub from: Option<Path>,
    #[prost(message, optional, tag = "2")]
    pub to: Option<Path>,
    #[prost(bool, tag = "3")]
    pub overwrite: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Remove {
    #[prost(message, optional, tag = "1")]
    pub at: Option<Path>,
    #[prost(bool, tag = "2")]
    pub recursive: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SetMode {
    #[prost(message, optional, tag = "1")]
    pub at: Option<Path>,
    #[prost(uint32, tag = "2")]
    pub mode: u32,
}

/// Moves bulk bytes through the one descriptor that comes with it (a pipe or socket). Answered
/// with `Stat` (what is read, before its first byte) or `Done` as soon as the work has begun, or
/// `Failure`; the end comes as the event `TransferEnded`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Transfer {
    #[prost(message, optional, tag = "1")]
    pub at: Option<Path>,
    #[prost(enumeration = "TransferKind", tag = "2")]
    pub kind: i32,
    /// Read: where to begin, and how much at most (unset: to the end).
    #[prost(uint64, tag = "3")]
    pub offset: u64,
    #[prost(uint64, optional, tag = "4")]
    pub length: Option<u64>,
    /// Write: permission bits of a new file (0: 0644, or as the replaced file had).
    #[prost(uint32, tag = "5")]
    pub mode: u32,
    /// Write, Extract: make missing parents.
    #[prost(bool, tag = "6")]
    pub parents: bool,
    /// Write: fail where the file exists.
    #[prost(bool, tag = "7")]
    pub exclusive: bool,
    /// Watch: also below.
    #[prost(bool, tag = "8")]
    pub recursive: bool,
    /// Write: commit only when exactly this many bytes came, where set.
    #[prost(uint64, optional, tag = "9")]
    pub expect: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TransferKind {
    Invalid = 0,
    /// File content out.
    Read = 1,
    /// File content in, then `CommitTransfer`; replaces the target whole or leaves it as it was.
    Write = 2,
    /// A tar of the path out: a directory as `./` and what is below it, a file by its name.
    Archive = 3,
    /// A tar in, below the path. What came before a failure stays.
    Extract = 4,
    /// File events out: length-delimited `FileEvent`s until cancelled.
    Watch = 5,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CancelTransfer {
    /// The id of the `Transfer` request.
    #[prost(uint64, tag = "1")]
    pub transfer: u64,
}

/// Ends a `Write`: its target is replaced when exactly this many bytes came. Without it the end of
/// the bytes means nothing: a host that dies half-way must not leave half a file.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CommitTransfer {
    /// The id of the `Transfer` request.
    #[prost(uint64, tag = "1")]
    pub transfer: u64,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TransferEnded {
    #[prost(uint64, tag = "1")]
    pub transfer: u64,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    #[prost(message, optional, tag = "3")]
    pub failure: Option<Failure>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FileEvent {
    #[prost(enumeration = "FileEventKind", tag = "1")]
    pub kind: i32,
    /// Relative to the watched directory; empty for the watched path itself.
    #[prost(bytes = "vec", tag = "2")]
    pub path: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FileEventKind {
    /// Events were lost; look again.
    Overflow = 0,
    Created = 1,
    Modified = 2,
    /// Also the old name of a rename.
    Removed = 3,
    /// The new name of a rename.
    Renamed = 4,
    Mode = 5,
}

/// Connects to a port inside.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Dial {
    #[prost(uint32, tag = "1")]
    pub port: u32,
    /// Milliseconds; 0: 5,000.
    #[prost(uint32, tag = "2")]
    pub timeout_ms: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Dialed {}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UsageQuery {}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Usage {
    #[prost(uint64, tag = "1")]
    pub processes: u64,
    #[prost(uint64, tag = "2")]
    pub disk_used_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub disk_total_bytes: u64,
    #[prost(uint64, tag = "4")]
    pub uptime_ms: u64,
}

/// TERM to everything, KILL after the grace, then the guest ends.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Shutdown {
    #[prost(uint32, tag = "1")]
    pub grace_ms: u32,
}
