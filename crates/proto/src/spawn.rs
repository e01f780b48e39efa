//! The contract between a server and its own spawner.
//!
//! Both come from one build and live and die together, so this one has no version: a server never
//! meets another server's spawner.

/// The descriptor on which the spawner finds its server.
pub const SPAWNER_LINK_FD: i32 = 3;

/// First message: what all sandboxes share. One descriptor: a file that is locked for as long as the
/// spawner or an unfinished boot of its is there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Setup {
    /// An empty directory of the server's own, for mount points.
    #[prost(string, tag = "1")]
    pub scratch: String,
    /// The seccomp filter as the kernel takes it; empty: none.
    #[prost(bytes = "vec", tag = "2")]
    pub seccomp: Vec<u8>,
    /// Without root: one id, everything done by the sandbox's own user namespace.
    #[prost(bool, tag = "3")]
    pub rootless: bool,
}

/// Boots one sandbox. Descriptors, in this order: the guest's listening socket, its first link,
/// then `[network namespace]` if `net`, `[cgroup directory]` if `cgroup`, `join` many files of
/// cgroup v1 controllers to join by writing, and, as root, one detached mount for each layer, the
/// disk if `disk.kept`, and each bind: mounts travel as descriptors because the spawner's own mount
/// namespace does not see what the machine mounts later.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Boot {
    #[prost(string, tag = "1")]
    pub hostname: String,
    /// Paths, lowest first.
    #[prost(string, repeated, tag = "2")]
    pub layers: Vec<String>,
    #[prost(message, optional, tag = "3")]
    pub disk: Option<Disk>,
    #[prost(message, repeated, tag = "4")]
    pub binds: Vec<Bind>,
    /// Files to write before the first boot of a disk, paths relative to its root.
    #[prost(message, repeated, tag = "5")]
    pub files: Vec<File>,
    /// First id of the sandbox's range on the host.
    #[prost(uint32, tag = "6")]
    pub id_base: u32,
    #[prost(bool, tag = "7")]
    pub net: bool,
    #[prost(bool, tag = "8")]
    pub cgroup: bool,
    #[prost(uint32, tag = "9")]
    pub join: u32,
}

/// Where the sandbox's own writes go.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Disk {
    /// A directory of the machine that is kept; else memory of the stated size.
    #[prost(bool, tag = "1")]
    pub kept: bool,
    #[prost(uint64, tag = "2")]
    pub size_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub inodes: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Bind {
    #[prost(string, tag = "1")]
    pub source: String,
    #[prost(string, tag = "2")]
    pub target: String,
    #[prost(bool, tag = "3")]
    pub writable: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct File {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
}

/// The answer to either. After a good `Boot` the guest's pidfd comes with it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Outcome {
    /// The guest's pid on the host; 0 when it failed.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// The step that failed, and the kernel's errno.
    #[prost(string, tag = "2")]
    pub step: String,
    #[prost(int32, tag = "3")]
    pub errno: i32,
}
