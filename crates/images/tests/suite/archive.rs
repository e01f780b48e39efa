//! Tars written by hand: honest writers refuse to write most of what has to be tested.

use std::io::Write;

use tar::Header;

/// A tar under construction.
#[derive(Default, Clone)]
pub(crate) struct Tar(Vec<u8>);

/// Owner, mode and time of an entry.
#[derive(Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: u64,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1_600_000_000,
        }
    }
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Any entry at all; `size` is what the header claims.
    pub(crate) fn raw(mut self, kind: u8, path: &[u8], link: &[u8], meta: Meta, size: u64) -> Self {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..path.len().min(100)].copy_from_slice(&path[..path.len().min(100)]);
        old.linkname[..link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
        old.linkflag[0] = kind;
        header.set_mode(meta.mode);
        header.set_uid(meta.uid);
        header.set_gid(meta.gid);
        header.set_mtime(meta.mtime);
        header.set_size(size);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    /// An entry whose long names are in GNU's extension headers.
    pub(crate) fn entry(self, kind: u8, path: &str, link: &str, meta: Meta, data: &[u8]) -> Self {
        self.long(b'L', path)
            .long(b'K', link)
            .raw(
                kind,
                path.as_bytes(),
                link.as_bytes(),
                meta,
                data.len() as u64,
            )
            .data(data)
    }

    pub(crate) fn file(self, path: &str, data: &[u8]) -> Self {
        self.entry(b'0', path, "", Meta::default(), data)
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        let meta = Meta {
            mode: 0o755,
            ..Meta::default()
        };
        self.entry(b'5', path, "", meta, b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, Meta::default(), b"")
    }

    pub(crate) fn hardlink(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, Meta::default(), b"")
    }

    /// PAX records for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            write!(body, "{length} {key}=").expect("memory");
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.raw(b'x', b"pax", b"", Meta::default(), body.len() as u64)
            .data(&body)
    }

    /// Bytes and the filling to a whole block.
    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    /// Without the end mark.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }

    fn long(self, kind: u8, text: &str) -> Self {
        if text.len() <= 100 {
            return self;
        }
        let body = [text.as_bytes(), b"\0"].concat();
        self.raw(
            kind,
            b"././@LongLink",
            b"",
            Meta::default(),
            body.len() as u64,
        )
        .data(&body)
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory")
}
