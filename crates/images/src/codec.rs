//! Telling compressions apart by their first bytes. Knows no archive format.

use std::io::{Cursor, Read};

use crate::error::ImportError;

const PREFIX_BYTES: usize = 6;

/// A reader of the uncompressed bytes of `source`: gzip, zstd or plain.
///
/// # Errors
/// Compressions that are recognised and not supported; failures of `source`.
pub(crate) fn decompressed<'r>(
    mut source: impl Read + 'r,
) -> Result<Box<dyn Read + 'r>, ImportError> {
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    source
        .by_ref()
        .take(PREFIX_BYTES as u64)
        .read_to_end(&mut prefix)
        .map_err(ImportError::read)?;
    let whole = Cursor::new(prefix.clone()).chain(source);
    match prefix.as_slice() {
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::read::MultiGzDecoder::new(whole))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Box::new(
            zstd::Decoder::new(whole).map_err(ImportError::read)?,
        )),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(unsupported("xz")),
        [b'B', b'Z', b'h', ..] => Err(unsupported("bzip2")),
        [0x04, 0x22, 0x4d, 0x18, ..] => Err(unsupported("lz4")),
        [b'P', b'K', 3, 4, ..] => Err(unsupported("a zip archive")),
        _ => Ok(Box::new(whole)),
    }
}

fn unsupported(what: &str) -> ImportError {
    ImportError::Unsupported {
        what: what.to_owned(),
        hint: "decompress it first, or use gzip or zstd",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_compressions_that_are_not_read_are_named() {
        for (bytes, name) in [
            (&b"\xfd7zXZ\0rest"[..], "xz"),
            (b"BZh91AY", "bzip2"),
            (b"\x04\x22\x4d\x18..", "lz4"),
            (b"PK\x03\x04..", "zip"),
        ] {
            let error = decompressed(bytes).err().expect("refused");
            assert!(error.to_string().contains(name), "{error}");
            assert!(error.to_string().contains("decompress it first"));
        }
    }

    #[test]
    fn plain_bytes_come_back_whole_however_few() {
        for bytes in [&b""[..], b"a", b"ab", b"0123456789"] {
            let mut back = Vec::new();
            decompressed(bytes)
                .expect("plain")
                .read_to_end(&mut back)
                .expect("memory");
            assert_eq!(back, bytes);
        }
    }
}
