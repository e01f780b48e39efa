//! A tar as a stream of members.
//!
//! The headers' fields are the `tar` crate's; the loop is ours because every byte kept in memory
//! needs a bound (a gigabyte of "long name" is a few kilobytes of gzip) and because PAX values are
//! binary. Knows no file system.

use std::io::Read;

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::header::{self, BLOCK_BYTES, EntryKind, Fields, Flag, Problem};
use super::pax::{self, Overrides};
use crate::error::{ImportError, show};
use crate::limits::Limits;

const BUFFER_BYTES: usize = 1 << 20;

/// One entry, with all that its extension headers say about it. Nothing is validated but the form.
pub(crate) struct Member {
    pub(crate) kind: EntryKind,
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds since 1970 and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Bytes stored in the archive.
    pub(crate) size: u64,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Option<SparseMap>,
    /// Its sparse map is in a form that is not read.
    pub(super) foreign_sparse: bool,
}

impl Member {
    /// Whether it has fewer bytes in the archive than it stands for, in any form.
    pub(crate) fn is_sparse(&self) -> bool {
        self.sparse.is_some() || self.foreign_sparse
    }
}

/// Where the stored bytes of a sparse file belong.
pub(super) struct SparseMap {
    /// Offset and length, ascending and apart.
    pub(super) segments: Vec<(u64, u64)>,
    pub(super) real_size: u64,
}

/// Extension headers seen before an entry.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Overrides>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.pax.is_none()
    }
}

pub(crate) struct Archive<'l, R> {
    input: R,
    limits: &'l Limits,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    stream_bytes: u64,
    entries: u64,
    /// Data of the current entry not yet taken.
    remaining: u64,
    /// Filling bytes between that data and the next header.
    padding: u64,
    end_mark: bool,
    /// The last entry's name, for errors.
    near: Vec<u8>,
}

impl<'l, R: Read> Archive<'l, R> {
    pub(crate) fn new(input: R, limits: &'l Limits) -> Self {
        Self {
            input,
            limits,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            stream_bytes: 0,
            entries: 0,
            remaining: 0,
            padding: 0,
            end_mark: false,
            near: Vec::new(),
        }
    }

    /// The next entry; what is left of the one before is skipped.
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>, ImportError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else {
                if extensions.is_empty() {
                    return Ok(None);
                }
                return Err(self.malformed("an extension header stands before no entry"));
            };
            let fields = header::parse(&header).map_err(|p| self.malformed(p))?;
            match fields.flag {
                Flag::Entry(kind) => {
                    return self.member(kind, &header, fields, extensions).map(Some);
                }
                Flag::PaxGlobal => drop(self.extension(fields.size)?),
                Flag::Pax => {
                    let records = self.extension(fields.size)?;
                    let parsed = pax::parse(&records, self.limits);
                    let parsed = parsed.map_err(|p| self.malformed(p))?;
                    self.once(extensions.pax.replace(parsed).is_some())?;
                }
                Flag::LongName => {
                    let name = self.long_text(fields.size)?;
                    self.once(extensions.name.replace(name).is_some())?;
                }
                Flag::LongLink => {
                    let link = self.long_text(fields.size)?;
                    self.once(extensions.link.replace(link).is_some())?;
                }
            }
        }
    }

    /// The next bytes of the current entry's data, at most `max`; empty at its end.
    pub(crate) fn data(&mut self, max: u64) -> Result<&[u8], ImportError> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        if self.start == self.end && !self.fill()? {
            return Err(self.malformed(CUT_OFF));
        }
        let available = (self.end - self.start) as u64;
        let count = available.min(self.remaining).min(max);
        self.remaining -= count;
        let from = self.start;
        self.start += count as usize;
        Ok(&self.buffer[from..self.start])
    }

    /// Whether the archive's end was marked, as tar writers do, and not just reached.
    pub(super) fn has_end_mark(&self) -> bool {
        self.end_mark
    }

    /// Reads what follows the end mark and gives the input back.
    pub(super) fn finish(mut self) -> Result<R, ImportError> {
        while self.fill()? {}
        Ok(self.input)
    }

    pub(super) fn malformed(&self, problem: Problem) -> ImportError {
        let near = match self.near.as_slice() {
            b"" => "its start".to_owned(),
            name => show(name),
        };
        ImportError::Malformed { near, problem }
    }

    fn member(
        &mut self,
        kind: EntryKind,
        header: &Header,
        fields: Fields,
        extensions: Extensions,
    ) -> Result<Member, ImportError> {
        let pax = extensions.pax.unwrap_or_default();
        let mut member = Member {
            kind,
            path: pax.path.or(extensions.name).unwrap_or(fields.path),
            link: pax.link.or(extensions.link).unwrap_or(fields.link),
            mode: fields.mode,
            uid: pax.uid.unwrap_or(fields.uid),
            gid: pax.gid.unwrap_or(fields.gid),
            mtime: pax.mtime.unwrap_or_else(|| whole(fields.mtime_secs)),
            size: pax.size.unwrap_or(fields.size),
            xattrs: pax.xattrs,
            sparse: None,
            foreign_sparse: pax.sparse,
        };
        self.near.clone_from(&member.path);
        // Before POSIX a directory was a file whose name ends in a slash.
        if kind == EntryKind::File && member.path.ends_with(b"/") {
            member.kind = EntryKind::Directory;
        }
        match member.kind {
            EntryKind::File | EntryKind::Unknown(_) => {}
            EntryKind::SparseFile => {
                member.sparse = Some(self.sparse_map(header, member.size)?);
            }
            // These have no data, whatever their size says; hard links often repeat the file's.
            _ => member.size = 0,
        }
        self.expect_data(member.size);
        Ok(member)
    }

    fn header(&mut self) -> Result<Option<Header>, ImportError> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes().iter().all(|b| *b == 0) {
            self.end_mark = true;
            return Ok(None);
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ImportError::Limit {
                what: "entries",
                limit: self.limits.entries,
            });
        }
        Ok(Some(header))
    }

    /// The whole data of an extension header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ImportError> {
        if size > self.limits.extension_bytes {
            return Err(ImportError::Limit {
                what: "bytes in an extension header",
                limit: self.limits.extension_bytes,
            });
        }
        self.expect_data(size);
        let mut data = Vec::with_capacity(size as usize);
        loop {
            let chunk = self.data(u64::MAX)?;
            if chunk.is_empty() {
                return Ok(data);
            }
            data.extend_from_slice(chunk);
        }
    }

    /// A GNU long name: ends in one NUL.
    fn long_text(&mut self, size: u64) -> Result<Vec<u8>, ImportError> {
        let mut text = self.extension(size)?;
        if text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    fn once(&self, seen_before: bool) -> Result<(), ImportError> {
        if seen_before {
            return Err(self.malformed("two extension headers of a kind stand before one entry"));
        }
        Ok(())
    }

    fn expect_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK_BYTES as u64;
    }

    fn skip_rest(&mut self) -> Result<(), ImportError> {
        while !self.data(u64::MAX)?.is_empty() {}
        self.remaining = std::mem::take(&mut self.padding);
        while !self.data(u64::MAX)?.is_empty() {}
        Ok(())
    }

    fn sparse_map(&mut self, header: &Header, stored: u64) -> Result<SparseMap, ImportError> {
        let Some(gnu) = header.as_gnu() else {
            return Err(self.malformed("a sparse file without GNU's header"));
        };
        let real_size = header::number(&gnu.realsize).map_err(|p| self.malformed(p))?;
        let mut map = SparseMap {
            segments: Vec::new(),
            real_size,
        };
        self.add_segments(&mut map, &gnu.sparse)?;
        let mut more = gnu.isextended[0] != 0;
        while more {
            let mut extension = GnuExtSparseHeader::new();
            if !self.block(extension.as_mut_bytes())? {
                return Err(self.malformed(CUT_OFF));
            }
            self.add_segments(&mut map, &extension.sparse)?;
            more = extension.isextended[0] != 0;
        }
        let total = map
            .segments
            .iter()
            .try_fold(0u64, |sum, (_, length)| sum.checked_add(*length));
        let end = map.segments.last().map_or(0, |(at, length)| at + length);
        if total != Some(stored) || end > real_size {
            return Err(self.malformed("a sparse file's map does not fit its size"));
        }
        Ok(map)
    }

    fn add_segments(
        &self,
        map: &mut SparseMap,
        segments: &[GnuSparseHeader],
    ) -> Result<(), ImportError> {
        for segment in segments {
            let offset = header::number(&segment.offset).map_err(|p| self.malformed(p))?;
            let length = header::number(&segment.numbytes).map_err(|p| self.malformed(p))?;
            if length == 0 {
                continue;
            }
            let end = map.segments.last().map_or(0, |(at, length)| at + length);
            if offset < end || offset.checked_add(length).is_none() {
                return Err(self.malformed("a sparse file's map overlaps"));
            }
            if map.segments.len() >= self.limits.sparse_segments {
                return Err(ImportError::Limit {
                    what: "segments in a sparse file",
                    limit: self.limits.sparse_segments as u64,
                });
            }
            map.segments.push((offset, length));
        }
        Ok(())
    }

    /// Reads one whole block; `false` where the archive ends before it.
    fn block(&mut self, block: &mut [u8; BLOCK_BYTES]) -> Result<bool, ImportError> {
        let mut have = 0;
        while have < BLOCK_BYTES {
            if self.start == self.end && !self.fill()? {
                if have == 0 {
                    return Ok(false);
                }
                return Err(self.malformed(CUT_OFF));
            }
            let count = (self.end - self.start).min(BLOCK_BYTES - have);
            block[have..have + count].copy_from_slice(&self.buffer[self.start..self.start + count]);
            self.start += count;
            have += count;
        }
        Ok(true)
    }

    /// Replaces the buffer's content, which has been used up; `false` at the end of the input.
    fn fill(&mut self) -> Result<bool, ImportError> {
        self.start = 0;
        self.end = 0;
        while self.end < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ImportError::read(error)),
            }
        }
        self.stream_bytes += self.end as u64;
        if self.stream_bytes > self.limits.stream_bytes {
            return Err(ImportError::Limit {
                what: "bytes",
                limit: self.limits.stream_bytes,
            });
        }
        Ok(self.end > 0)
    }
}

const CUT_OFF: Problem = "the archive is cut off";

fn whole(seconds: u64) -> (i64, u32) {
    (i64::try_from(seconds).unwrap_or(i64::MAX), 0)
}
