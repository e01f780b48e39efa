//! Messages over a seqpacket socket: the frames of [`crate::frame`] with their descriptors.
//!
//! Works on blocking and non-blocking sockets alike; `WouldBlock` passes through and nothing is
//! lost by it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use pinfold_sys::datagram;
use prost::Message;
use rustix::fs::{MemfdFlags, SealFlags};

use crate::frame::{self, Datagram, Encoded};

/// Room for any datagram that this protocol sends.
pub const BUFFER_BYTES: usize = frame::INLINE_MAX_BYTES + 1;

pub fn send(socket: impl AsFd, message: &impl Message, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    match frame::encode(message).map_err(invalid)? {
        Encoded::Inline(bytes) => datagram::send(socket, &bytes, fds),
        Encoded::Memfd(body) => {
            let memfd = sealed(&body)?;
            let mut all = fds.to_vec();
            all.push(memfd.as_fd());
            datagram::send(socket, &frame::memfd_datagram(), &all)
        }
    }
}

/// One message and the descriptors that came with it; `None` when the peer has gone. `buffer` must
/// hold [`BUFFER_BYTES`].
pub fn receive<M: Message + Default>(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let (len, mut fds) = datagram::receive(socket, buffer)?;
    if len == 0 && fds.is_empty() {
        return Ok(None);
    }
    let message = match frame::split(&buffer[..len]).map_err(invalid)? {
        Datagram::Inline(body) => frame::decode(body),
        Datagram::Memfd => {
            let memfd = fds
                .pop()
                .ok_or_else(|| invalid("a memfd frame without its memfd"))?;
            frame::decode(&unsealed(memfd)?)
        }
    };
    Ok(Some((message.map_err(invalid)?, fds)))
}

fn sealed(body: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memfd = rustix::fs::memfd_create("pinfold-frame", flags)?;
    let file = File::from(memfd);
    file.write_all_at(body, 0)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// Reads a body by copying it, never by mapping: a hostile peer may hand over anything.
fn unsealed(memfd: OwnedFd) -> io::Result<Vec<u8>> {
    let seals = rustix::fs::fcntl_get_seals(&memfd)?;
    if !seals.contains(SealFlags::SHRINK | SealFlags::WRITE) {
        return Err(invalid("a frame's memfd must be sealed"));
    }
    let file = File::from(memfd);
    let len = usize::try_from(file.metadata()?.len()).map_err(invalid)?;
    if len > frame::MESSAGE_MAX_BYTES {
        return Err(invalid(frame::FrameError::TooLarge(len)));
    }
    let mut body = vec![0; len];
    file.read_exact_at(&mut body, 0)?;
    Ok(body)
}

fn invalid(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Request, Start, request};

    fn roundtrip(message: &Request) -> Request {
        let (a, b) = datagram::pair().expect("pair");
        let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
        send(&a, message, &[reader.as_fd()]).expect("send");
        let mut buffer = vec![0; BUFFER_BYTES];
        let (got, fds) = receive(&b, &mut buffer)
            .expect("receive")
            .expect("a message");
        assert_eq!(fds.len(), 1);
        got
    }

    #[test]
    fn small_and_large_messages_arrive_whole_with_their_descriptors() {
        for env_bytes in [
            1,
            frame::INLINE_MAX_BYTES - 40,
            frame::INLINE_MAX_BYTES,
            1 << 20,
        ] {
            let body = Start {
                env: vec!["x".repeat(env_bytes)],
                ..Start::default()
            };
            let message = Request {
                id: 3,
                body: Some(request::Body::Start(body)),
            };
            assert_eq!(roundtrip(&message), message);
        }
    }

    #[test]
    fn an_unsealed_memfd_is_refused() {
        let (a, b) = datagram::pair().expect("pair");
        let memfd = rustix::fs::memfd_create("x", MemfdFlags::CLOEXEC).expect("memfd");
        datagram::send(&a, &frame::memfd_datagram(), &[memfd.as_fd()]).expect("send");
        let mut buffer = vec![0; BUFFER_BYTES];
        let got = receive::<Request>(&b, &mut buffer);
        assert_eq!(got.expect_err("refused").kind(), io::ErrorKind::InvalidData);
    }
}
