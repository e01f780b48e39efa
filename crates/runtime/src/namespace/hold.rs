//! One server at a time in a directory of sandboxes.
//!
//! The lock belongs to the open file, which the server hands to its spawner, and the spawner to each
//! child on its way to becoming a guest. So a server that takes it knows that no boot of a killed one
//! is still under way: whatever lives has shown itself, and the survey is complete.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE: &str = "hold";
/// Longer than any boot takes on a machine that still works.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// Waits for those who still work with what lies in `directory`; `ResourceBusy` when they do not end.
pub(super) fn take(directory: &Path) -> io::Result<File> {
    take_within(directory, PATIENCE)
}

fn take_within(directory: &Path, patience: Duration) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(FILE))?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < patience => {
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another server, or a boot that one has left, still works in it",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_free_when_the_last_copy_of_its_hold_is_gone() {
        let temp = tempfile::tempdir().expect("directory");
        let first = take(temp.path()).expect("free");
        let copy = first.try_clone().expect("clone");
        drop(first);
        let busy = take_within(temp.path(), Duration::ZERO).expect_err("held by the copy");
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        let waiting = std::thread::spawn({
            let path = temp.path().to_owned();
            move || take(&path).map(drop)
        });
        drop(copy);
        waiting.join().expect("thread").expect("free again");
    }
}
