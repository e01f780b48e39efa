//! Frames: how one message is laid out in one datagram.
//!
//! `[0][protobuf]` carries the message itself; `[1]` says that the message is the content of a
//! sealed memfd, handed over as the last descriptor, for the few messages that outgrow a datagram.

use prost::Message;

/// Largest message carried in the datagram itself. A unix socket's default buffer holds 208 KiB.
pub const INLINE_MAX_BYTES: usize = 64 << 10;
/// Largest message at all: argument lists and environments are bounded by 1 MiB before this.
pub const MESSAGE_MAX_BYTES: usize = 4 << 20;
/// Most descriptors in one frame: three pipes, both ends, and a memfd.
pub const FDS_MAX: usize = 8;

const TAG_INLINE: u8 = 0;
const TAG_MEMFD: u8 = 1;

/// An encoded message: either a whole datagram or a body for a memfd.
#[derive(Debug, PartialEq, Eq)]
pub enum Encoded {
    Inline(Vec<u8>),
    /// Send [`memfd_datagram`] with a memfd holding these bytes as the last descriptor.
    Memfd(Vec<u8>),
}

/// A received datagram, before the message is decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    Inline(&'a [u8]),
    Memfd,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("message of {0} bytes is over the bound of {MESSAGE_MAX_BYTES}")]
    TooLarge(usize),
    #[error("empty datagram")]
    Empty,
    #[error("unknown frame tag {0}")]
    UnknownTag(u8),
    #[error("message does not decode")]
    Decode(#[source] prost::DecodeError),
}

pub fn encode(message: &impl Message) -> Result<Encoded, FrameError> {
    let len = message.encoded_len();
    if len > MESSAGE_MAX_BYTES {
        return Err(FrameError::TooLarge(len));
    }
    if len > INLINE_MAX_BYTES {
        return Ok(Encoded::Memfd(message.encode_to_vec()));
    }
    let mut datagram = Vec::with_capacity(len + 1);
    datagram.push(TAG_INLINE);
    message
        .encode(&mut datagram)
        .expect("a Vec grows as needed");
    Ok(Encoded::Inline(datagram))
}

/// The datagram that goes with a message in a memfd.
#[must_use]
pub const fn memfd_datagram() -> [u8; 1] {
    [TAG_MEMFD]
}

pub fn split(datagram: &[u8]) -> Result<Datagram<'_>, FrameError> {
    match datagram {
        [] => Err(FrameError::Empty),
        [TAG_INLINE, body @ ..] => Ok(Datagram::Inline(body)),
        [TAG_MEMFD] => Ok(Datagram::Memfd),
        [tag, ..] => Err(FrameError::UnknownTag(*tag)),
    }
}

pub fn decode<M: Message + Default>(body: &[u8]) -> Result<M, FrameError> {
    if body.len() > MESSAGE_MAX_BYTES {
        return Err(FrameError::TooLarge(body.len()));
    }
    M::decode(body).map_err(FrameError::Decode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Request, Start, request};
    use proptest::prelude::*;

    fn start(env: Vec<String>) -> Request {
        Request {
            id: 7,
            body: Some(request::Body::Start(Start {
                env,
                ..Start::default()
            })),
        }
    }

    #[test]
    fn small_messages_travel_inline_and_large_ones_in_a_memfd() {
        let small = start(vec!["A=1".into()]);
        let Encoded::Inline(bytes) = encode(&small).expect("small") else {
            panic!("not inline")
        };
        let Ok(Datagram::Inline(body)) = split(&bytes) else {
            panic!("not inline")
        };
        assert_eq!(decode::<Request>(body), Ok(small));

        let large = start(vec!["x".repeat(INLINE_MAX_BYTES)]);
        let Encoded::Memfd(body) = encode(&large).expect("large") else {
            panic!("not a memfd")
        };
        assert_eq!(decode::<Request>(&body), Ok(large));
        assert_eq!(split(&memfd_datagram()), Ok(Datagram::Memfd));
    }

    #[test]
    fn oversized_messages_are_refused() {
        let huge = start(vec!["x".repeat(MESSAGE_MAX_BYTES)]);
        assert!(matches!(encode(&huge), Err(FrameError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_datagrams_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            if let Ok(Datagram::Inline(body)) = split(&bytes) {
                let _ = decode::<Request>(body);
            }
        }
    }
}
