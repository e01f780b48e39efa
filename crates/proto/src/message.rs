//! The messages: the frames of both sides, and what concerns the guest as a whole. Tags are never
//! reused; see the crate's doc for how they may grow.

mod command;
mod file;

pub use command::{
    Adopted, CommandEntry, CommandRef, Commands, Exited, Kill, KillScope, ListCommands, Resize,
    Start, Started, Window,
};
pub use file::{
    CancelTransfer, CommitTransfer, Entries, FileEvent, FileEventKind, FileKind, FileStat, List,
    MakeDir, Move, Path, Remove, SetMode, Transfer, TransferEnded, TransferKind,
};

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
    /// Since 1.1: whoever holds the gate of a command has not decided yet. Ask again.
    Undecided = 17,
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
    /// The sandbox's working directory, made where it is missing. Empty: none.
    #[prost(string, tag = "3")]
    pub workdir: String,
    /// Whose it is where it is made; empty is root.
    #[prost(string, tag = "4")]
    pub user: String,
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
