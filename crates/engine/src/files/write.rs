//! Bytes on their way into a sandbox.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pinfold_model::{Code, Error, Result};
use pinfold_runtime::guest::{ExtractTransfer, FilePath, WriteOptions, WriteTransfer};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::entry::stat;
use super::{FileEntry, parent_missing};
use crate::errors::guest_error;
use crate::live::Lease;

/// A file or archive on its way in. The sandbox counts as in use while it is held. A file that is
/// dropped before [`FileWriter::finish`] leaves its target untouched.
#[derive(Debug)]
pub struct FileWriter {
    transfer: Kind,
    at: FilePath,
    lease: Lease,
}

#[derive(Debug)]
enum Kind {
    File(WriteTransfer),
    Archive(ExtractTransfer),
}

impl FileWriter {
    pub(super) async fn file(lease: Lease, at: FilePath, options: WriteOptions) -> Result<Self> {
        let transfer = lease
            .guest()
            .write(&at, options)
            .await
            .map_err(guest_error)
            .map_err(parent_missing)?;
        Ok(Self {
            transfer: Kind::File(transfer),
            at,
            lease,
        })
    }

    pub(super) async fn archive(lease: Lease, at: FilePath) -> Result<Self> {
        let transfer = lease
            .guest()
            .extract(&at, true)
            .await
            .map_err(guest_error)?;
        Ok(Self {
            transfer: Kind::Archive(transfer),
            at,
            lease,
        })
    }

    /// Writes all bytes, waiting while the sandbox is slower. Where the sandbox has stopped
    /// reading, [`FileWriter::finish`] tells why; this only stops.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self.write_all(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => {
                Err(Error::new(Code::GuestUnavailable, "the transfer broke off").because(error))
            }
        }
    }

    /// Puts the file in its place, or waits until all is unpacked: the file, or the directory.
    pub async fn finish(self) -> Result<FileEntry> {
        match self.transfer {
            Kind::File(transfer) => transfer.finish().await,
            Kind::Archive(transfer) => transfer.finish().await,
        }
        .map_err(guest_error)?;
        stat(&self.lease, &self.at).await
    }

    /// Gives up: a file's target stays as it was.
    pub async fn abort(self) -> Result<()> {
        match self.transfer {
            Kind::File(transfer) => transfer.abort().await.map_err(guest_error),
            Kind::Archive(transfer) => {
                drop(transfer);
                Ok(())
            }
        }
    }
}

impl AsyncWrite for FileWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transfer {
            Kind::File(transfer) => Pin::new(transfer).poll_write(context, bytes),
            Kind::Archive(transfer) => Pin::new(transfer).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transfer {
            Kind::File(transfer) => Pin::new(transfer).poll_flush(context),
            Kind::Archive(transfer) => Pin::new(transfer).poll_flush(context),
        }
    }

    /// Does nothing: only [`FileWriter::finish`] ends it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
