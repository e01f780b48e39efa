//! The bounds of an import. Knows no archive format.

/// Longest component of a path, in bytes (`NAME_MAX` of Linux).
pub(crate) const NAME_MAX_BYTES: usize = 255;
/// Longest path or link target, in bytes (`PATH_MAX` of Linux less its NUL).
pub(crate) const PATH_MAX_BYTES: usize = 4095;
/// Ids an image may use: each sandbox has a range of 65,536.
pub(crate) const ID_MAX: u64 = 65_535;

/// How much one import may cost. The defaults are generous; every bound holds per layer unless it
/// says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uncompressed archive, headers, padding and trailing bytes included.
    pub stream_bytes: u64,
    /// Sum of the sizes of all files, holes of sparse files included.
    pub unpacked_bytes: u64,
    /// Size of one file.
    pub file_bytes: u64,
    /// Headers in the archive, extension headers included.
    pub entries: u64,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of one extension header (PAX records, GNU long names).
    pub extension_bytes: u64,
    /// Bytes of one extended attribute's value.
    pub xattr_bytes: usize,
    /// Extended attributes of one entry.
    pub xattrs: usize,
    /// Data segments of one sparse file.
    pub sparse_segments: usize,
    /// Bytes of the paths of all directories (kept in memory until the archive ends).
    pub directory_path_bytes: u64,
    /// Layers of one image.
    pub layers: usize,
    /// Bytes of one JSON document of an OCI layout.
    pub document_bytes: u64,
    /// Descriptors looked at while choosing an image from nested indexes, per import.
    pub descriptors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stream_bytes: 96 << 30,
            unpacked_bytes: 64 << 30,
            file_bytes: 64 << 30,
            entries: 5_000_000,
            depth: 256,
            extension_bytes: 1 << 20,
            xattr_bytes: 64 << 10,
            xattrs: 128,
            sparse_segments: 65_536,
            directory_path_bytes: 256 << 20,
            layers: 256,
            document_bytes: 4 << 20,
            descriptors: 4096,
        }
    }
}
