//! Datagrams with descriptors over a unix seqpacket socket (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Most descriptors that one datagram may carry.
pub const FDS_MAX: usize = 128;

/// A connected pair, close-on-exec, blocking.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one datagram. Blocks, or fails with `WouldBlock`, as the socket is set. A peer that has
/// gone gives `BrokenPipe` and no signal.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors",
        ));
    }
    let sent = loop {
        let flags = SendFlags::NOSIGNAL;
        match rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::WriteZero,
            "datagram cut short",
        ))
    }
}

/// Receives one datagram into `buffer`: its length and descriptors (close-on-exec). Length 0 with
/// no descriptor means that the peer has gone. A datagram longer than the buffer, or with more
/// descriptors than [`FDS_MAX`], is an error: nothing is ever cut silently.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let flags = RecvFlags::CMSG_CLOEXEC;
        let mut parts = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(&socket, &mut parts, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    if message
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "oversized datagram",
        ));
    }
    Ok((message.bytes, fds))
}

/// Whether the peer has gone; what it sent before can still be received.
pub fn is_abandoned(socket: impl AsFd) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut watched = [PollFd::new(&socket, PollFlags::empty())];
    poll(&mut watched, Some(&Timespec::default()))?;
    Ok(watched[0].revents().contains(PollFlags::HUP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn bytes_and_descriptors_arrive_together() {
        let (a, b) = pair().expect("pair");
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        send(&a, b"hello", &[writer.as_fd()]).expect("send");
        drop(writer);
        let mut buffer = [0; 16];
        let (len, mut fds) = receive(&b, &mut buffer).expect("receive");
        assert_eq!(&buffer[..len], b"hello");
        std::fs::File::from(fds.remove(0))
            .write_all(b"x")
            .expect("write");
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .expect("read");
        assert_eq!(text, "x");
    }

    #[test]
    fn a_gone_peer_reads_as_empty_and_writes_as_broken() {
        let (a, b) = pair().expect("pair");
        drop(b);
        assert_eq!(receive(&a, &mut [0; 4]).expect("end").0, 0);
        assert_eq!(
            send(&a, b"x", &[]).expect_err("gone").kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[test]
    fn a_gone_peer_shows_before_what_it_sent_is_received() {
        let (a, b) = pair().expect("pair");
        send(&a, b"x", &[]).expect("send");
        assert!(!is_abandoned(&b).expect("poll"));
        drop(a);
        assert!(is_abandoned(&b).expect("poll"));
        assert_eq!(receive(&b, &mut [0; 4]).expect("receive").0, 1);
    }

    #[test]
    fn an_oversized_datagram_is_an_error() {
        let (a, b) = pair().expect("pair");
        send(&a, &[7; 64], &[]).expect("send");
        assert_eq!(
            receive(&b, &mut [0; 8]).expect_err("cut").kind(),
            io::ErrorKind::InvalidData
        );
    }
}
