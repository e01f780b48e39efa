//! A directory of this machine as a tar that is made while it is sent.

use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;

/// Pieces that may wait for the connection.
const PIECES_MAX: usize = 8;
const PIECE_BYTES: usize = 256 << 10;

/// The tar of everything below `directory`, symlinks as they are. Its last item is an error where
/// something could not be read, so that nobody takes half of it for the whole.
pub(crate) fn directory(directory: PathBuf) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut writer = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(sender.clone()));
        if let Err(error) = pack(&directory, &mut writer) {
            // The receiver is gone when the upload failed first, and then that is what is told.
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures::stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    })
}

fn pack(directory: &std::path::Path, writer: &mut impl Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(&mut *writer);
    tar.follow_symlinks(false);
    tar.append_dir_all(".", directory)?;
    tar.finish()?;
    drop(tar);
    writer.flush()
}

struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    #[tokio::test]
    async fn a_directory_arrives_whole_and_a_missing_one_as_an_error() {
        let temp = tempfile::tempdir().expect("directory");
        std::fs::write(temp.path().join("a"), vec![1; 600_000]).expect("write");
        std::os::unix::fs::symlink("a", temp.path().join("link")).expect("link");
        let pieces: Vec<Bytes> = directory(temp.path().to_owned())
            .try_collect()
            .await
            .expect("readable");
        let tar = pieces.concat();
        let mut names = Vec::new();
        for entry in tar::Archive::new(tar.as_slice()).entries().expect("a tar") {
            let entry = entry.expect("an entry");
            names.push(entry.path().expect("a name").display().to_string());
        }
        names.sort();
        assert_eq!(names[names.len() - 2..], ["a", "link"]);
        let missing = directory(temp.path().join("missing"));
        assert!(missing.try_collect::<Vec<_>>().await.is_err());
    }
}
