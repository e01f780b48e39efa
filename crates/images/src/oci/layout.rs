//! The files of a layout, in a directory or in a tar. Knows no OCI document.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::codec::decompressed;
use crate::error::ImportError;
use crate::import::Importer;
use crate::limits::Limits;
use crate::store::Staging;

/// Files of a tar that are remembered; a layout has three and one a blob.
const FILES_MAX: usize = 100_000;

pub(super) enum Layout {
    Directory(OwnedFd),
    Archive {
        file: File,
        /// Offset and length of each file.
        files: HashMap<String, (u64, u64)>,
        /// Where the tar was decompressed to, if it had to be.
        _spool: Option<Staging>,
    },
}

/// Reads one file of a layout.
pub(super) enum Source<'l> {
    File { file: File, length: u64 },
    Part { file: &'l File, at: u64, end: u64 },
}

impl Layout {
    pub(super) fn open(path: &Path, importer: &Importer<'_>) -> Result<Self, ImportError> {
        let file = File::open(path).map_err(ImportError::Read)?;
        let meta = file.metadata().map_err(ImportError::Read)?;
        let layout = if meta.is_dir() {
            Self::Directory(file.into())
        } else {
            Self::open_archive(file, importer)?
        };
        layout.check_version(&importer.limits)?;
        Ok(layout)
    }

    /// Opens a regular file of the layout; links may not lead out of it.
    pub(super) fn file(&self, name: &str) -> Result<Source<'_>, ImportError> {
        match self {
            Self::Directory(root) => open_beneath(root, name),
            Self::Archive { file, files, .. } => {
                let (at, length) = *files.get(name).ok_or_else(|| missing(name))?;
                Ok(Source::Part {
                    file,
                    at,
                    end: at + length,
                })
            }
        }
    }

    /// The whole of a small file that no digest covers.
    pub(super) fn read(&self, name: &str, limits: &Limits) -> Result<Vec<u8>, ImportError> {
        let source = self.file(name)?;
        if source.length() > limits.document_bytes {
            return Err(ImportError::Limit {
                what: "bytes in a JSON document",
                limit: limits.document_bytes,
            });
        }
        let mut bytes = Vec::new();
        let mut bounded = source.take(limits.document_bytes);
        bounded.read_to_end(&mut bytes).map_err(ImportError::Read)?;
        Ok(bytes)
    }

    fn check_version(&self, limits: &Limits) -> Result<(), ImportError> {
        let json = self.read("oci-layout", limits)?;
        let parsed: oci_spec::image::OciLayout =
            serde_json::from_slice(&json).map_err(|error| ImportError::Layout {
                document: "oci-layout".to_owned(),
                problem: error.to_string(),
            })?;
        if parsed.image_layout_version().starts_with("1.") {
            return Ok(());
        }
        Err(ImportError::Unsupported {
            what: format!("layout version {:?}", parsed.image_layout_version()),
            hint: "the version has to be 1.x",
        })
    }

    fn open_archive(file: File, importer: &Importer<'_>) -> Result<Self, ImportError> {
        let (file, spool) = match is_plain_tar(&file)? {
            true => (file, None),
            false => decompress(file, importer).map(|(file, spool)| (file, Some(spool)))?,
        };
        (&file).rewind().map_err(ImportError::Read)?;
        let files = index(&file)?;
        Ok(Self::Archive {
            file,
            files,
            _spool: spool,
        })
    }
}

impl Source<'_> {
    /// Bytes left to read.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::File { length, .. } => *length,
            Self::Part { at, end, .. } => end - at,
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => file.read(buf),
            Self::Part { file, at, end } => {
                let wanted = buf
                    .len()
                    .min(usize::try_from(*end - *at).unwrap_or(usize::MAX));
                let count = file.read_at(&mut buf[..wanted], *at)?;
                *at += count as u64;
                Ok(count)
            }
        }
    }
}

fn open_beneath<'l>(root: &OwnedFd, name: &str) -> Result<Source<'l>, ImportError> {
    // Without NONBLOCK a FIFO in the place of a blob would hang the import.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open = || openat2(root, name, flags, Mode::empty(), how);
    let file: File = match rustix::io::retry_on_intr(open) {
        Ok(fd) => fd.into(),
        Err(Errno::NOENT) => return Err(missing(name)),
        Err(errno) => return Err(ImportError::Read(errno.into())),
    };
    let meta = file.metadata().map_err(ImportError::Read)?;
    if !meta.is_file() {
        return Err(ImportError::Layout {
            document: name.to_owned(),
            problem: "it is no regular file".to_owned(),
        });
    }
    Ok(Source::File {
        file,
        length: meta.len(),
    })
}

fn missing(name: &str) -> ImportError {
    ImportError::Layout {
        document: name.to_owned(),
        problem: "it is missing".to_owned(),
    }
}

/// POSIX and GNU tars have "ustar" at byte 257 of their first header; no compression does.
fn is_plain_tar(file: &File) -> Result<bool, ImportError> {
    let mut magic = [0; 5];
    match file.read_exact_at(&mut magic, 257) {
        Ok(()) => Ok(&magic == b"ustar"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(ImportError::Read(error)),
    }
}

/// Blobs are read in an order that a compressed stream cannot give, so it is written out first.
fn decompress(file: File, importer: &Importer<'_>) -> Result<(File, Staging), ImportError> {
    let staging = Staging::new(importer.store)?;
    let path = staging.path().join("layout.tar");
    let write_failed = |source| ImportError::Write {
        entry: "the decompressed layout".to_owned(),
        source,
    };
    let mut spool = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(write_failed)?;
    let limit = importer.limits.stream_bytes;
    let mut tar = decompressed(BufReader::new(file))?.take(limit.saturating_add(1));
    let copied = copy(&mut tar, &mut spool, write_failed)?;
    if copied > limit {
        return Err(ImportError::Limit {
            what: "bytes",
            limit,
        });
    }
    Ok((spool, staging))
}

/// `io::copy`, telling the source's failures from the target's.
fn copy(
    from: &mut impl Read,
    to: &mut impl io::Write,
    write_failed: impl Fn(io::Error) -> ImportError,
) -> Result<u64, ImportError> {
    let mut buffer = vec![0; 1 << 20];
    let mut copied = 0;
    loop {
        let count = from.read(&mut buffer).map_err(ImportError::read)?;
        if count == 0 {
            return Ok(copied);
        }
        to.write_all(&buffer[..count]).map_err(&write_failed)?;
        copied += count as u64;
    }
}

/// Where each file of a plain tar lies. Names longer than a header's are none of a layout's.
fn index(file: &File) -> Result<HashMap<String, (u64, u64)>, ImportError> {
    let mut archive = tar::Archive::new(file);
    let mut files = HashMap::new();
    let entries = archive.entries_with_seek().map_err(ImportError::Read)?;
    for entry in entries.raw(true) {
        let entry = entry.map_err(not_a_tar)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let Ok(name) = String::from_utf8(path) else {
            continue;
        };
        let name = name.trim_start_matches("./").to_owned();
        files.insert(name, (entry.raw_file_position(), entry.size()));
        if files.len() > FILES_MAX {
            return Err(ImportError::Limit {
                what: "files in a layout",
                limit: FILES_MAX as u64,
            });
        }
    }
    Ok(files)
}

fn not_a_tar(error: io::Error) -> ImportError {
    ImportError::Layout {
        document: "the archive".to_owned(),
        problem: error.to_string(),
    }
}
