//! Records of a journal.

use pinfold_model::journal::{Record, RecordBody, Stream};
use pinfold_model::{Command, Error, Result};
use pinfold_wire as wire;

use super::command;
use super::quantity::time;

/// A record for a client; `ended` is the command, for the record of its end.
pub(crate) fn to_wire(record: Record, ended: impl FnOnce() -> Command) -> wire::Record {
    let (seq, time) = (record.seq, time(record.time));
    match record.body {
        RecordBody::Output { stream, bytes } => {
            let (encoding, data) = wire::Encoding::encode(bytes);
            wire::Record::Output {
                seq,
                time,
                stream: match stream {
                    Stream::Stdout => wire::StreamName::Stdout,
                    Stream::Stderr => wire::StreamName::Stderr,
                },
                encoding,
                data,
            }
        }
        RecordBody::Truncated => wire::Record::Truncated { seq, time },
        RecordBody::End { state } => {
            let mut command = ended();
            // The journal is the first to know; the record may lag behind it for a moment.
            command.state = state;
            wire::Record::End {
                seq,
                time,
                command: Box::new(command::to_wire(command)),
            }
        }
    }
}

pub(crate) fn from_stream(stream: wire::StreamName) -> Result<Stream> {
    match stream {
        wire::StreamName::Stdout => Ok(Stream::Stdout),
        wire::StreamName::Stderr => Ok(Stream::Stderr),
        wire::StreamName::Unknown => Err(Error::invalid(
            "stream",
            "stream must be \"stdout\" or \"stderr\"",
        )),
    }
}
