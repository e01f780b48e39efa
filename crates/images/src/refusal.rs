//! Why one entry of an archive is not unpacked. Knows no I/O.

use crate::limits::{ID_MAX, NAME_MAX_BYTES, PATH_MAX_BYTES};

/// What is wrong with an entry; each ends the import.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the path is absolute")]
    AbsolutePath,
    #[error("the path holds a '..' component")]
    ParentComponent,
    #[error("a name holds a NUL byte")]
    NulByte,
    #[error("a component of the path is longer than {NAME_MAX_BYTES} bytes")]
    LongName,
    #[error("the path is longer than {PATH_MAX_BYTES} bytes")]
    LongPath,
    #[error("the path has more than {0} components")]
    TooDeep(usize),
    #[error("the path leads through a symbolic link")]
    ThroughSymlink,
    #[error("the path leads through something that is not a directory")]
    ThroughFile,
    #[error("the root of the archive can only be a directory")]
    RootNotDirectory,
    #[error("device nodes are refused outside dev/")]
    DeviceNode,
    #[error("entries of type {0:?} are refused")]
    UnknownType(char),
    #[error("user or group id {0} is above {ID_MAX}")]
    OwnerOutOfRange(u64),
    #[error("the link has an empty, over-long or malformed target")]
    LinkTarget,
    #[error("the hard link's target is not in the archive before it")]
    HardlinkTargetMissing,
    #[error("the hard link's target is absolute or leads out of the archive")]
    HardlinkEscapes,
    #[error("the hard link's target leads through a symbolic link")]
    HardlinkThroughSymlink,
    #[error("hard links to this kind of file are refused")]
    HardlinkTargetKind,
    #[error("the hard link's target is itself")]
    HardlinkToItself,
    #[error("whiteout names (.wh.) are refused in a root filesystem")]
    WhiteoutInRootfs,
    #[error("the whiteout names nothing that can be removed")]
    WhiteoutName,
    #[error("the sparse file's map is malformed")]
    SparseMap,
    #[error("this form of sparse file is not supported; write the archive without it")]
    SparseForm,
}
