//! What commands write: whole, as pages of logs, as events.

use pinfold_engine::{TextChunk, TextPage};
use pinfold_model::CommandId;

use super::time;
use crate::crownest::wire;

/// What is no UTF-8 is shown as U+FFFD; a character that the cap has cut is left out.
pub(super) fn text(mut bytes: Vec<u8>, truncated: bool) -> String {
    if truncated
        && let Some(last) = bytes.utf8_chunks().last()
        && std::str::from_utf8(last.invalid()).is_err_and(|error| error.error_len().is_none())
    {
        bytes.truncate(bytes.len() - last.invalid().len());
    }
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

pub(in crate::crownest) fn logs(id: &CommandId, page: TextPage) -> wire::LogPage {
    let next = page.chunks.last().map(|chunk| chunk.seq);
    wire::LogPage {
        data: page
            .chunks
            .into_iter()
            .map(|chunk| log_chunk(id, chunk))
            .collect(),
        has_more: page.more,
        next_seq: next.filter(|_| page.more),
    }
}

fn log_chunk(id: &CommandId, chunk: TextChunk) -> wire::LogChunk {
    wire::LogChunk {
        command_id: id.to_string(),
        created_at: time(chunk.time),
        data: chunk.text,
        seq: chunk.seq,
        stream: chunk.stream.as_str(),
    }
}

pub(in crate::crownest) fn log_event(chunk: TextChunk) -> wire::StreamEvent {
    wire::StreamEvent::Log {
        created_at: time(chunk.time),
        data: chunk.text,
        seq: chunk.seq,
        stream: chunk.stream.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_within_a_character_leaves_no_mark() {
        let bytes = "aé".as_bytes();
        assert_eq!(text(bytes[..2].to_vec(), true), "a");
        assert_eq!(text(bytes[..2].to_vec(), false), "a\u{fffd}");
        assert_eq!(text(bytes.to_vec(), true), "aé");
    }
}
