//! Bytes on their way out of a sandbox.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use pinfold_model::{Code, Error, ProjectId, Result};
use pinfold_runtime::guest::{FilePath, Transfer};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::entry::{shown, stat, to_entry};
use super::{FileEntry, ReadRange};
use crate::errors::guest_error;
use crate::live::Lease;

/// Bytes of one chunk at most.
const CHUNK_BYTES: usize = 256 << 10;

/// A file or archive on its way out. The sandbox counts as in use while it is held; dropping it
/// ends the transfer.
///
/// As [`AsyncRead`] its end of file says that bytes ran out, not that all came: only
/// [`FileReader::next`] and [`FileReader::finish`] tell a whole transfer from a broken one.
#[derive(Debug)]
pub struct FileReader {
    /// `None` once it has ended.
    transfer: Option<Transfer>,
    entry: FileEntry,
    size: Option<u64>,
    lease: Lease,
}

impl FileReader {
    pub(super) async fn file(lease: Lease, at: &FilePath, range: ReadRange) -> Result<Self> {
        let (stat, transfer) = match range.length {
            // The guest takes a length of 0 for all.
            Some(0) => (lease.guest().stat(at).await.map_err(guest_error)?, None),
            length => {
                let begun = lease.guest().read(at, range.offset, length).await;
                let (stat, transfer) = begun.map_err(guest_error)?;
                (stat, Some(transfer))
            }
        };
        Ok(Self {
            size: Some(stat.size_bytes),
            entry: to_entry(shown(at), stat),
            transfer,
            lease,
        })
    }

    pub(super) async fn archive(lease: Lease, at: &FilePath) -> Result<Self> {
        let entry = stat(&lease, at).await?;
        let transfer = lease.guest().archive(at).await.map_err(guest_error)?;
        Ok(Self {
            transfer: Some(transfer),
            entry,
            size: None,
            lease,
        })
    }

    /// The project of the sandbox that it is read from.
    pub(crate) fn project(&self) -> &ProjectId {
        &self.lease.sandbox().project
    }

    /// What is being read, as it was when the transfer began.
    #[must_use]
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Size of the whole file at that time, also where only a part is read; `None` for an archive.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.size
    }

    /// The next chunk, of 256 KiB at most; `None` after the last one, when all has come.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(transfer) = &mut self.transfer else {
            return Ok(None);
        };
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        match transfer.read_buf(&mut chunk).await {
            Ok(0) => {
                self.ended().await?;
                Ok(None)
            }
            Ok(_) => Ok(Some(chunk.freeze())),
            Err(error) => Err(broken(error)),
        }
    }

    /// Everything, if it is at most `max` bytes: what is being read, and what it holds.
    pub(super) async fn whole(mut self, max: usize) -> Result<(FileEntry, Vec<u8>)> {
        let size = self.size.unwrap_or(0);
        let mut content = Vec::new();
        if size <= max as u64 {
            // Files of proc say 0 and hold something, and any file may grow meanwhile.
            while let Some(chunk) = self.next().await? {
                content.extend_from_slice(&chunk);
            }
        }
        if size > max as u64 || content.len() > max {
            let text = format!("the file has {size} bytes, at most {max} fit into one answer");
            let error = Error::new(Code::FileTooLarge, text);
            return Err(error.detail("max_bytes", max).detail("size_bytes", size));
        }
        Ok((self.entry, content))
    }

    /// After the end of file: whether all has come.
    pub async fn finish(mut self) -> Result<()> {
        self.ended().await
    }

    async fn ended(&mut self) -> Result<()> {
        match self.transfer.take() {
            Some(transfer) => transfer.finish().await.map(drop).map_err(guest_error),
            None => Ok(()),
        }
    }
}

impl AsyncRead for FileReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transfer {
            Some(transfer) => Pin::new(transfer).poll_read(context, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

fn broken(error: io::Error) -> Error {
    Error::new(Code::GuestUnavailable, "the transfer broke off").because(error)
}
