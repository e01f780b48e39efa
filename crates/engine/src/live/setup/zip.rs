//! A zip as the tar that a sandbox unpacks: one place refuses what leads outside, whatever the form of an
//! archive.
//!
//! Nothing of it is kept: entries are read where they stand in the object. What comes out is bounded by the disk
//! of the sandbox; what it costs here by how much is read, how many are read at a time, and whether anybody
//! still wants it.

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use jiff::civil;
use jiff::tz::TimeZone;
use pinfold_model::{BlobId, Code, Error, Result};
use pinfold_store::{BlobError, BlobReader, Blobs};
use tar::{EntryType, Header};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

/// Of an archive. Its end says how many entries there are, and memory is taken by that before they are read:
/// 3.5 bytes for each of an archive that lies about it.
const ZIP_MAX_BYTES: u64 = 256 << 20;
/// Of the list of entries, which is in memory as a whole: some 100,000 of them.
const LIST_MAX_BYTES: u64 = 8 << 20;
/// Read beside each byte once: headers.
const SLACK_BYTES: u64 = 8 << 20;
/// Converted at a time; others wait.
const AT_A_TIME: usize = 2;
const LINK_MAX_BYTES: u64 = 4095;
const PIECE_BYTES: usize = 256 << 10;
const PIECES_AHEAD: usize = 2;
/// For one conversion, and for its sandbox to take a piece: one that stands still gives its turn away, and is
/// tried again.
const TIME_MAX: Duration = Duration::from_secs(600);
const PIECE_PATIENCE: Duration = Duration::from_secs(30);

static TURNS: Semaphore = Semaphore::const_new(AT_A_TIME);

/// The tar, piece by piece. The task says how that ended, and ends when nobody reads any more.
///
/// # Errors
/// The archive is too large.
pub(super) async fn as_tar(
    blobs: &Blobs,
    blob: &BlobId,
    size: u64,
) -> Result<(mpsc::Receiver<Bytes>, JoinHandle<Result<()>>)> {
    if size > ZIP_MAX_BYTES {
        let text = "a zip of more than 256 MiB is not unpacked; a tar may be larger";
        return Err(Error::new(Code::InvalidArgument, text));
    }
    let turn = TURNS.acquire().await.map_err(Error::internal)?;
    let (pieces, tar) = mpsc::channel(PIECES_AHEAD);
    let source = Stored {
        runtime: Handle::current(),
        blobs: blobs.clone(),
        blob: blob.clone(),
        size,
        at: 0,
        piece: Bytes::new(),
        reader: None,
        budget: Arc::new(AtomicU64::new(LIST_MAX_BYTES)),
        wanted: pieces.clone(),
    };
    let work = move || {
        let _turn = turn;
        let pieces = Pieces {
            runtime: source.runtime.clone(),
            pieces,
            until: Instant::now() + TIME_MAX,
        };
        let out = BufWriter::with_capacity(PIECE_BYTES, pieces);
        convert(source, out).map_err(refused)
    };
    Ok((tar, tokio::task::spawn_blocking(work)))
}

fn refused(error: ZipError) -> Error {
    let error = match error {
        ZipError::Io(cause) => match cause.downcast::<BlobError>() {
            Ok(storage) => return storage.into(),
            Err(late) if late.kind() == io::ErrorKind::TimedOut => {
                let text = "the sandbox did not take what is in the zip in time";
                return Error::new(Code::Timeout, text).because(late);
            }
            Err(other) => ZipError::Io(other),
        },
        other => other,
    };
    let text = match &error {
        ZipError::UnsupportedArchive(what) => format!("it is a zip that is not read: {what}"),
        ZipError::CompressionMethodNotSupported(method) => {
            format!("it is a zip that is not read: compression method {method}")
        }
        other => format!("it is no whole zip: {other}"),
    };
    Error::new(Code::InvalidArgument, text).because(error)
}

fn convert(source: Stored, out: impl Write) -> std::result::Result<(), ZipError> {
    let (budget, size) = (Arc::clone(&source.budget), source.size);
    let mut zip = ZipArchive::new(source)?;
    budget.store(size.saturating_add(SLACK_BYTES), Ordering::Relaxed);
    let mut tar = tar::Builder::new(out);
    for at in 0..zip.len() {
        append(&mut tar, zip.by_index(at)?)?;
    }
    tar.into_inner()?.flush()?;
    Ok(())
}

fn append<R: Read + Seek>(
    tar: &mut tar::Builder<impl Write>,
    mut entry: ZipFile<'_, R>,
) -> std::result::Result<(), ZipError> {
    let name = name_of(&entry)?;
    // Archives of systems without modes say none.
    let mode = entry.unix_mode().map(|mode| mode & 0o777);
    let mut header = Header::new_gnu();
    header.set_mtime(modified(&entry));
    if entry.is_dir() {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(mode.unwrap_or(0o755));
        header.set_size(0);
        tar.append_data(&mut header, name, io::empty())?;
    } else if entry.is_symlink() {
        let mut target = String::new();
        let mut whole = (&mut entry).take(LINK_MAX_BYTES + 1);
        whole.read_to_string(&mut target)?;
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_link(&mut header, name, target)?;
    } else {
        let size = entry.size();
        header.set_mode(mode.unwrap_or(0o644));
        header.set_size(size);
        let mut content = Exactly {
            source: &mut entry,
            left: size,
        };
        tar.append_data(&mut header, name, &mut content)?;
    }
    Ok(())
}

/// As it is, but relative. What leads upwards is refused by `tar`, and again inside.
fn name_of<R: Read>(entry: &ZipFile<'_, R>) -> std::result::Result<String, ZipError> {
    let name = String::from_utf8_lossy(entry.name_raw());
    let name = name.trim_start_matches('/');
    if name.is_empty() || name.contains('\0') {
        return Err(ZipError::InvalidArchive("an entry has no name".into()));
    }
    Ok(name.to_owned())
}

/// Zips have civil times without a zone, from 1980 on.
fn modified<R: Read>(entry: &ZipFile<'_, R>) -> u64 {
    let time = entry.last_modified().and_then(|at| {
        let (year, month, day) = (i16::try_from(at.year()).ok()?, at.month(), at.day());
        let narrow = |n: u8| i8::try_from(n).ok();
        let date = civil::Date::new(year, narrow(month)?, narrow(day)?).ok()?;
        let time = civil::Time::new(
            narrow(at.hour())?,
            narrow(at.minute())?,
            narrow(at.second())?,
            0,
        );
        let zoned = date.to_datetime(time.ok()?).to_zoned(TimeZone::UTC).ok()?;
        u64::try_from(zoned.timestamp().as_second()).ok()
    });
    time.unwrap_or_default()
}

/// A tar says how long a member is before it: neither more comes, nor less.
struct Exactly<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let counts = read as u64;
        if counts > self.left || (read == 0 && self.left > 0 && !buffer.is_empty()) {
            return Err(io::Error::other("an entry is not as long as it says"));
        }
        self.left -= counts;
        Ok(read)
    }
}

/// Bytes of an object, from anywhere.
struct Stored {
    runtime: Handle,
    blobs: Blobs,
    blob: BlobId,
    size: u64,
    at: u64,
    /// What is read ahead, from `at` on.
    piece: Bytes,
    /// Goes on behind the piece.
    reader: Option<BlobReader>,
    /// What may be read yet: entries that share their bytes are read more often than there are bytes.
    budget: Arc<AtomicU64>,
    /// Where the tar goes.
    wanted: mpsc::Sender<Bytes>,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.wanted.is_closed() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        if self.piece.is_empty() && self.at < self.size {
            let (blobs, blob, rest) = (&self.blobs, &self.blob, self.at..self.size);
            let reader = &mut self.reader;
            let next = async {
                if reader.is_none() {
                    *reader = Some(blobs.read(blob, rest).await?);
                }
                let reader = reader.as_mut().expect("opened above");
                reader.next().await
            };
            let piece = self.runtime.block_on(next).map_err(io::Error::other)?;
            self.piece = piece.unwrap_or_default();
        }
        let read = self.piece.len().min(buffer.len());
        let budget = self.budget.load(Ordering::Relaxed);
        let Some(left) = budget.checked_sub(read as u64) else {
            return Err(io::Error::other("its entries are too many, or overlap"));
        };
        self.budget.store(left, Ordering::Relaxed);
        self.piece.copy_to_slice(&mut buffer[..read]);
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Stored {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let to = to.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        match to.checked_sub(self.at) {
            Some(ahead) if ahead < self.piece.len() as u64 => self.piece.advance(ahead as usize),
            _ => (self.piece, self.reader) = (Bytes::new(), None),
        }
        self.at = to;
        Ok(to)
    }
}

/// Where the tar goes.
struct Pieces {
    runtime: Handle,
    pieces: mpsc::Sender<Bytes>,
    until: Instant,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let late = self.until.min(Instant::now() + PIECE_PATIENCE);
        let send = self.pieces.send(Bytes::copy_from_slice(bytes));
        let sent = self
            .runtime
            .block_on(async { timeout_at(late, send).await });
        sent.map_err(|_| io::ErrorKind::TimedOut)?
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sandbox_that_takes_nothing_keeps_no_turn() {
        let (pieces, taken) = mpsc::channel(1);
        let mut pieces = Pieces {
            runtime: Handle::current(),
            pieces,
            until: Instant::now() + Duration::from_millis(50),
        };
        let written = tokio::task::spawn_blocking(move || {
            pieces.write_all(b"first").expect("there is room");
            pieces.write_all(b"second").expect_err("nobody takes it")
        });
        let late = written.await.expect("no panic");
        assert_eq!(refused(ZipError::Io(late)).code(), Code::Timeout);
        drop(taken);
    }
}
