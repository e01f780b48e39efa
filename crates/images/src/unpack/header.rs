//! The fields of one 512-byte tar header (POSIX ustar, GNU and V7). Knows no I/O.

use tar::Header;

pub(super) const BLOCK_BYTES: usize = 512;

/// A header is not what the format says.
pub(super) type Problem = &'static str;

/// What an entry is; the byte is the header's type flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    SparseFile,
    Directory,
    Symlink,
    Hardlink,
    Fifo,
    Device,
    Unknown(u8),
}

/// What a header introduces.
pub(super) enum Flag {
    Entry(EntryKind),
    /// PAX records for the next entry.
    Pax,
    /// PAX records for the whole archive.
    PaxGlobal,
    LongName,
    LongLink,
}

/// The fields that every kind of header has.
pub(super) struct Fields {
    pub(super) flag: Flag,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime_secs: u64,
    pub(super) size: u64,
}

pub(super) fn parse(header: &Header) -> Result<Fields, Problem> {
    check_sum(header)?;
    let old = header.as_old();
    Ok(Fields {
        flag: flag(old.linkflag[0]),
        path: path(header),
        link: text(&old.linkname).to_vec(),
        // Only the permission bits are kept, so the cut is harmless.
        mode: (number(&old.mode)? & 0o7777) as u32,
        uid: number(&old.uid)?,
        gid: number(&old.gid)?,
        mtime_secs: number(&old.mtime)?,
        size: number(&old.size)?,
    })
}

fn flag(byte: u8) -> Flag {
    use EntryKind as Kind;
    match byte {
        // 7 is "contiguous file", which POSIX lets readers treat as a file.
        0 | b'0' | b'7' => Flag::Entry(Kind::File),
        b'1' => Flag::Entry(Kind::Hardlink),
        b'2' => Flag::Entry(Kind::Symlink),
        b'3' | b'4' => Flag::Entry(Kind::Device),
        b'5' => Flag::Entry(Kind::Directory),
        b'6' => Flag::Entry(Kind::Fifo),
        b'S' => Flag::Entry(Kind::SparseFile),
        b'x' => Flag::Pax,
        b'g' => Flag::PaxGlobal,
        b'L' => Flag::LongName,
        b'K' => Flag::LongLink,
        other => Flag::Entry(Kind::Unknown(other)),
    }
}

/// ustar splits long paths into a prefix and a name; GNU uses the prefix's place otherwise.
fn path(header: &Header) -> Vec<u8> {
    let name = text(&header.as_old().name);
    let prefix = header.as_ustar().map_or(&[][..], |u| text(&u.prefix));
    if prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

fn check_sum(header: &Header) -> Result<(), Problem> {
    let stated = number(&header.as_old().cksum)?;
    let bytes = header.as_bytes();
    let sum = |range: std::ops::Range<usize>| -> u64 {
        bytes[range].iter().map(|byte| u64::from(*byte)).sum()
    };
    // The field counts as eight spaces.
    if stated == sum(0..148) + sum(156..BLOCK_BYTES) + 8 * u64::from(b' ') {
        Ok(())
    } else {
        Err("a header's checksum is wrong")
    }
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

/// Octal digits between spaces and NULs, or GNU's big-endian binary with the first bit set. An
/// empty field is zero, as other readers take it.
pub(super) fn number(field: &[u8]) -> Result<u64, Problem> {
    if field[0] & 0x80 != 0 {
        return binary(field);
    }
    let digits = text(field).trim_ascii();
    let mut value: u64 = 0;
    for digit in digits {
        let digit = match digit {
            b'0'..=b'7' => u64::from(digit - b'0'),
            _ => return Err("a header holds a number that is not octal"),
        };
        value = value.checked_mul(8).ok_or(TOO_LARGE)? + digit;
    }
    Ok(value)
}

const TOO_LARGE: Problem = "a header holds a number that is negative or too large";

fn binary(field: &[u8]) -> Result<u64, Problem> {
    if field[0] != 0x80 {
        return Err(TOO_LARGE);
    }
    field[1..].iter().try_fold(0u64, |value, byte| {
        let shifted = value.checked_mul(256).ok_or(TOO_LARGE)?;
        Ok(shifted | u64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_never_wrap() {
        assert_eq!(number(b"0000755\0"), Ok(0o755));
        assert_eq!(number(b" 755 \0\0\0"), Ok(0o755));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(number(b"\x80\0\0\0\0\x01\0\0"), Ok(0x1_0000));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Ok(0x2_0000_0000));
        for bad in [
            &b"9\0\0\0\0\0\0\0"[..],
            b"-1\0\0\0\0\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
            b"7777777777777777777777777",
        ] {
            assert!(number(bad).is_err(), "{bad:?}");
        }
    }
}
