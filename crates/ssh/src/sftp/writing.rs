//! A file that is written, from its beginning to its end.
//!
//! What comes is put in the target's place when the file is closed. Where the old content stays (an
//! append, a resumed upload), the bytes that a client passes over are taken from the old file.

use pinfold_engine::{FileWriter, ReadRange, WriteFile};
use russh_sftp::protocol::{FileAttributes, OpenFlags};

use super::attributes::{mode_of_new, wished_mode};
use super::failure::Failure;
use crate::channel::Place;

pub(super) struct Writing {
    path: String,
    writer: FileWriter,
    /// Bytes written.
    position: u64,
    /// Bytes of the old file that stay unless they are written over.
    old: u64,
    append: bool,
    /// Set when it is in its place.
    mode: Option<u32>,
}

impl Writing {
    pub(super) async fn open(
        place: &Place,
        path: String,
        flags: OpenFlags,
        attributes: &FileAttributes,
    ) -> Result<Self, Failure> {
        let (engine, ctx, sandbox) = place.engine();
        let old = engine.stat_target(ctx, sandbox, &path).await;
        if let Err(error) = &old
            && (!flags.contains(OpenFlags::CREATE) || !is_missing(error))
        {
            return Err(old
                .err()
                .map_or_else(|| Failure::new("no file"), Failure::from));
        }
        let request = WriteFile {
            path: path.clone(),
            // The file that is there keeps its own.
            mode: old.is_err().then(|| mode_of_new(attributes)).flatten(),
            parents: false,
            exclusive: flags.contains(OpenFlags::EXCLUDE),
            expect_bytes: None,
            within: None,
        };
        let writer = engine.write_file(ctx, sandbox, request).await?;
        let stays = !flags.contains(OpenFlags::TRUNCATE);
        Ok(Self {
            path,
            writer,
            position: 0,
            old: old.ok().filter(|_| stays).map_or(0, |old| old.size_bytes),
            append: flags.contains(OpenFlags::APPEND),
            mode: None,
        })
    }

    /// How long the file is as it stands.
    pub(super) fn size(&self) -> u64 {
        self.position.max(self.old)
    }

    pub(super) async fn write(
        &mut self,
        place: &Place,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let at = if self.append { self.size() } else { offset };
        if at > self.position {
            self.keep_until(place, at).await?;
        }
        if at != self.position {
            return Err(Failure::new(
                "a file is written from its beginning to its end here",
            ));
        }
        self.writer.write(bytes).await?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Before the end: the mode it gets, and where it ends.
    pub(super) fn change(&mut self, attributes: &FileAttributes) -> Result<(), Failure> {
        self.mode = wished_mode(attributes).or(self.mode);
        match attributes.size {
            None => Ok(()),
            Some(size) if size == self.position => {
                self.old = 0;
                Ok(())
            }
            Some(size) if size == self.size() => Ok(()),
            Some(_) => Err(Failure::unsupported(
                "a file that is being written is cut behind what was written",
            )),
        }
    }

    /// Puts it in its place.
    pub(super) async fn close(mut self, place: &Place) -> Result<(), Failure> {
        if self.old > self.position {
            self.keep_until(place, self.old).await?;
        }
        self.writer.finish().await?;
        if let Some(mode) = self.mode {
            let (engine, ctx, sandbox) = place.engine();
            engine.set_file_mode(ctx, sandbox, &self.path, mode).await?;
        }
        Ok(())
    }

    /// Takes what stands from here to `end` over from the old file, if it reaches that far.
    async fn keep_until(&mut self, place: &Place, end: u64) -> Result<(), Failure> {
        if end > self.old {
            return Err(Failure::new("no file with holes is written here"));
        }
        let (engine, ctx, sandbox) = place.engine();
        let range = ReadRange {
            offset: self.position,
            length: Some(end - self.position),
        };
        let mut old = engine.read_file(ctx, sandbox, &self.path, range).await?;
        while let Some(chunk) = old.next().await? {
            self.writer.write(&chunk).await?;
            self.position += chunk.len() as u64;
        }
        match self.position == end {
            true => Ok(()),
            false => Err(Failure::new("the file was changed meanwhile")),
        }
    }
}

fn is_missing(error: &pinfold_model::Error) -> bool {
    error.code() == pinfold_model::Code::FileNotFound
}
