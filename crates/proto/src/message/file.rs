//! Messages of files: single operations, bulk transfers, watches. Tags are never reused.

use super::Failure;

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
