//! Telling a root filesystem's tar from an OCI layout, so that users need not say which.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::codec::decompressed;
use crate::error::ImportError;

/// Entries looked at; the first already tells the writers of layouts that exist from a file tree.
const ENTRIES_LOOKED_AT: usize = 8;
/// Bytes read for it.
const BYTES_LOOKED_AT: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    RootfsTar,
    OciLayout,
}

pub(crate) fn detect(path: &Path) -> Result<Source, ImportError> {
    let meta = std::fs::metadata(path).map_err(ImportError::Read)?;
    if meta.is_dir() {
        if path.join("oci-layout").is_file() {
            return Ok(Source::OciLayout);
        }
        return Err(ImportError::Unsupported {
            what: "a directory that is no OCI layout".to_owned(),
            hint: "give a tar of the root filesystem instead",
        });
    }
    if !meta.is_file() {
        return Err(ImportError::Unsupported {
            what: "this kind of file".to_owned(),
            hint: "give a tar, or the directory of an OCI layout",
        });
    }
    let file = File::open(path).map_err(ImportError::Read)?;
    let first = decompressed(BufReader::new(file))?.take(BYTES_LOOKED_AT);
    first_entries(first)
}

/// What cannot be read here is the importer's to report, with a better place to say where.
fn first_entries(tar: impl Read) -> Result<Source, ImportError> {
    let mut archive = tar::Archive::new(tar);
    let Ok(entries) = archive.entries() else {
        return Ok(Source::RootfsTar);
    };
    let mut docker_archive = false;
    for entry in entries.raw(true).take(ENTRIES_LOOKED_AT) {
        let Ok(entry) = entry else { break };
        let name = entry.path_bytes().into_owned();
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        match name {
            b"oci-layout" | b"index.json" | b"blobs" | b"blobs/" => return Ok(Source::OciLayout),
            _ if name.starts_with(b"blobs/sha256") => return Ok(Source::OciLayout),
            b"manifest.json" | b"repositories" => docker_archive = true,
            _ => docker_archive |= name.ends_with(b"/layer.tar"),
        }
    }
    if docker_archive {
        return Err(ImportError::Unsupported {
            what: "a docker archive".to_owned(),
            hint: "save the image as an OCI layout (skopeo copy ... oci:DIR), \
                   or export a container's root filesystem",
        });
    }
    Ok(Source::RootfsTar)
}
