//! Files and contents of objects on their way into a sandbox.

use std::io::Write as _;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use pinfold_model::setup::{SetupFile, SetupObject};
use pinfold_model::{Code, Error, Object, Result};
use pinfold_runtime::guest::{
    ExtractTransfer, FailureKind, FilePath, GuestError, WriteOptions, WriteTransfer,
};
use pinfold_store::BlobReader;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{failed, zip};
use crate::commands::absolute;
use crate::engine::Shared;
use crate::live::Lease;

/// What is decompressed at once: at most a thousand times as much comes out.
const SLICE_BYTES: usize = 16 << 10;
/// Where a header of tar says that it is one.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
const TAR_HEADER_BYTES: usize = 512;

/// How an object's content is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Tar,
    /// Compressed; whether a tar is in it shows when it is read.
    Gzip,
    Zip,
}

pub(super) async fn file(lease: &Lease, file: &SetupFile) -> Result<()> {
    let what = || format!("the file {:?} could not be written", file.path);
    let mut sink = Sink::file(lease, &file.path)
        .await
        .map_err(|e| failed(&what(), e))?;
    sink.write(file.content.as_bytes()).await;
    sink.finish().await.map_err(|error| failed(&what(), error))
}

pub(super) async fn object(shared: &Shared, lease: &Lease, mount: &SetupObject) -> Result<()> {
    let id = &mount.object;
    let found = shared.store.objects().get(id).await?;
    let object = found.ok_or_else(|| Error::internal(format!("{id} is not recorded")))?;
    object.state.require_sealed()?;
    let (Some(blob), Some(size)) = (&object.content, object.size_bytes) else {
        return Err(Error::internal(format!("{id} is sealed without content")));
    };
    let form = form_of(&object);
    let mut pour = Pour::new(lease, &mount.path, form);
    let poured = match form {
        Form::Zip => {
            pour.zip(zip::as_tar(&shared.blobs, blob, size).await?)
                .await
        }
        Form::Plain | Form::Tar | Form::Gzip => {
            let mut reader = shared.blobs.read(blob, 0..size).await?;
            pour.all(&mut reader).await
        }
    };
    let ended = pour.finish().await;
    poured.and(ended).map_err(|error| {
        let text = format!(
            "{id} could not be put at {:?}: {}",
            mount.path,
            error.message()
        );
        Error::new(error.code(), text).because(error)
    })
}

fn form_of(object: &Object) -> Form {
    let kind = object.content_type.split(';').next().unwrap_or_default();
    match kind.trim() {
        "application/x-tar" => Form::Tar,
        "application/zip" | "application/x-zip-compressed" => Form::Zip,
        "application/gzip" | "application/x-gzip" | "application/x-tgz" => Form::Gzip,
        _ => Form::Plain,
    }
}

/// Content of an object, on its way to where it belongs.
struct Pour<'a> {
    lease: &'a Lease,
    path: &'a str,
    form: Form,
    gzip: MultiGzDecoder<Vec<u8>>,
    /// The beginning, until it shows what it is.
    held: Vec<u8>,
    sink: Option<Sink>,
    /// It takes no more.
    broken: bool,
}

impl<'a> Pour<'a> {
    fn new(lease: &'a Lease, path: &'a str, form: Form) -> Self {
        Self {
            lease,
            path,
            form,
            gzip: MultiGzDecoder::new(Vec::new()),
            held: Vec::new(),
            sink: None,
            broken: false,
        }
    }

    async fn all(&mut self, reader: &mut BlobReader) -> Result<()> {
        while let Some(piece) = reader.next().await? {
            if self.form != Form::Gzip {
                self.pass(&piece).await?;
                continue;
            }
            for slice in piece.chunks(SLICE_BYTES) {
                if self.broken {
                    return Ok(());
                }
                tokio::task::yield_now().await;
                self.gzip.write_all(slice).map_err(no_gzip)?;
                let plain = std::mem::take(self.gzip.get_mut());
                self.pass(&plain).await?;
            }
        }
        if self.form == Form::Gzip {
            self.gzip.try_finish().map_err(no_gzip)?;
            let plain = std::mem::take(self.gzip.get_mut());
            self.pass(&plain).await?;
        }
        if self.sink.is_none() {
            self.open().await?;
        }
        Ok(())
    }

    /// Comes as a tar.
    async fn zip(
        &mut self,
        (mut tar, task): (mpsc::Receiver<Bytes>, JoinHandle<Result<()>>),
    ) -> Result<()> {
        while let Some(piece) = tar.recv().await {
            self.pass(&piece).await?;
            if self.broken {
                // The end of the transfer knows why.
                return Ok(());
            }
        }
        task.await.map_err(Error::internal)?
    }

    async fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(sink) = &mut self.sink {
            self.broken |= !sink.write(bytes).await;
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() >= TAR_HEADER_BYTES {
            self.open().await?;
        }
        Ok(())
    }

    /// Where it goes is known now.
    async fn open(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let (at, magic) = TAR_MAGIC;
        let is_tar = held.get(at..at + magic.len()) == Some(magic);
        let opened = match self.form {
            Form::Tar | Form::Zip => Sink::archive(self.lease, self.path).await,
            Form::Gzip if is_tar => Sink::archive(self.lease, self.path).await,
            Form::Plain | Form::Gzip => Sink::file(self.lease, self.path).await,
        };
        let mut sink = opened.map_err(crate::errors::guest_error)?;
        sink.write(&held).await;
        self.sink = Some(sink);
        Ok(())
    }

    async fn finish(self) -> Result<()> {
        match self.sink {
            Some(sink) => sink.finish().await.map_err(crate::errors::guest_error),
            None => Ok(()),
        }
    }
}

fn no_gzip(error: std::io::Error) -> Error {
    Error::new(Code::InvalidArgument, "it is no whole gzip file").because(error)
}

/// The end inside the sandbox. What breaks shows at the end of the transfer, which knows why.
enum Sink {
    File(WriteTransfer),
    Archive(ExtractTransfer),
}

impl Sink {
    async fn file(lease: &Lease, path: &str) -> Result<Self, GuestError> {
        let (user, root) = places(lease, path);
        let options = WriteOptions {
            parents: true,
            ..WriteOptions::default()
        };
        match lease.guest().write(&user, options).await {
            Err(error) if is_denied(&error) => lease.guest().write(&root, options).await,
            begun => begun,
        }
        .map(Self::File)
    }

    async fn archive(lease: &Lease, path: &str) -> Result<Self, GuestError> {
        let (user, root) = places(lease, path);
        match lease.guest().extract(&user, true).await {
            Err(error) if is_denied(&error) => lease.guest().extract(&root, true).await,
            begun => begun,
        }
        .map(Self::Archive)
    }

    /// Whether it took them; the end of the transfer knows why not.
    async fn write(&mut self, bytes: &[u8]) -> bool {
        let written = match self {
            Self::File(transfer) => transfer.write_all(bytes).await,
            Self::Archive(transfer) => transfer.write_all(bytes).await,
        };
        written.is_ok()
    }

    async fn finish(self) -> Result<(), GuestError> {
        match self {
            Self::File(transfer) => transfer.finish().await.map(drop),
            Self::Archive(transfer) => transfer.finish().await.map(drop),
        }
    }
}

/// A path for the sandbox's default user, and for root of the sandbox where that may not write.
fn places(lease: &Lease, path: &str) -> (FilePath, FilePath) {
    let spec = &lease.sandbox().spec;
    let root = FilePath::new(absolute(&spec.workdir, path));
    let user = FilePath {
        user: spec.user.clone(),
        ..root.clone()
    };
    (user, root)
}

fn is_denied(error: &GuestError) -> bool {
    error.refusal() == Some(FailureKind::Denied)
}
