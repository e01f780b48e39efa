//! A file that is read: one stream, begun again where a client jumps.

use bytes::{Buf, Bytes};
use pinfold_engine::{FileReader, ReadRange};

use super::failure::Failure;
use crate::channel::Place;

pub(super) struct Reading {
    path: String,
    stream: Option<FileReader>,
    /// Read, and not asked for yet.
    ahead: Bytes,
    /// Where the next byte of what is ahead, or of the stream, stands in the file.
    position: u64,
    /// The end, once it was met.
    end: Option<u64>,
}

impl Reading {
    pub(super) async fn open(place: &Place, path: String) -> Result<Self, Failure> {
        let mut reading = Self {
            path,
            stream: None,
            ahead: Bytes::new(),
            position: 0,
            end: None,
        };
        reading.begin(place, 0).await?;
        Ok(reading)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// As many bytes as are asked for, unless the file ends before.
    pub(super) async fn read(
        &mut self,
        place: &Place,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, Failure> {
        if self.end.is_some_and(|end| offset >= end) {
            return Err(Failure::end());
        }
        if offset != self.position || self.stream.is_none() {
            self.begin(place, offset).await?;
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if self.ahead.is_empty() && !self.fill().await? {
                break;
            }
            let take = self.ahead.len().min(length - bytes.len());
            bytes.extend_from_slice(&self.ahead[..take]);
            self.ahead.advance(take);
        }
        self.position += bytes.len() as u64;
        match bytes.is_empty() && length > 0 {
            true => Err(Failure::end()),
            false => Ok(bytes),
        }
    }

    /// Whether there was more.
    async fn fill(&mut self) -> Result<bool, Failure> {
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        let chunk = stream.next().await;
        match chunk? {
            Some(chunk) => {
                self.ahead = chunk;
                Ok(true)
            }
            None => {
                self.stream = None;
                Ok(false)
            }
        }
    }

    async fn begin(&mut self, place: &Place, offset: u64) -> Result<(), Failure> {
        let (engine, ctx, sandbox) = place.engine();
        let range = ReadRange {
            offset,
            length: None,
        };
        let stream = engine.read_file(ctx, sandbox, &self.path, range).await?;
        self.end = stream.total_bytes().filter(|end| *end > 0);
        self.stream = Some(stream);
        self.ahead = Bytes::new();
        self.position = offset;
        Ok(())
    }
}
