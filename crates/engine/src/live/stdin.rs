//! The writing end of a command's stdin: not there yet, open, or closed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use pinfold_model::{Code, Error, Result};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::command::has_ended;

pub(crate) struct Stdin(watch::Sender<State>);

#[derive(Clone)]
enum State {
    /// The command reads `/dev/null`.
    None,
    /// The command has not begun.
    Waiting,
    Open(Arc<pipe::Sender>),
    Closed,
}

impl Stdin {
    pub(super) fn new(wanted: bool) -> Self {
        Self(watch::Sender::new(if wanted {
            State::Waiting
        } else {
            State::None
        }))
    }

    /// The command has begun; without a pipe its stdin was closed in an earlier life of this
    /// engine.
    pub(super) fn begun(&self, pipe: Option<OwnedFd>) -> io::Result<()> {
        let open = match pipe {
            Some(pipe) => State::Open(Arc::new(pipe::Sender::from_owned_fd(pipe)?)),
            None => State::Closed,
        };
        self.0.send_if_modified(|state| {
            let waits = matches!(state, State::Waiting);
            if waits {
                *state = open;
            }
            waits
        });
        Ok(())
    }

    /// Our end goes when the last writer that is under way is done.
    pub(super) fn close(&self) {
        self.0.send_if_modified(|state| {
            let open = matches!(state, State::Waiting | State::Open(_));
            if open {
                *state = State::Closed;
            }
            open
        });
    }

    /// Waits until the command has begun; fails where it has no open stdin.
    pub(super) async fn open(&self) -> Result<Arc<pipe::Sender>> {
        let mut state = self.0.subscribe();
        let state = match state
            .wait_for(|state| !matches!(state, State::Waiting))
            .await
        {
            Ok(state) => state.clone(),
            Err(_) => unreachable!("the sender is ours"),
        };
        match state {
            State::Open(pipe) => Ok(pipe),
            State::None => Err(Error::new(
                Code::StdinNotOpen,
                "the command was started without an open stdin",
            )),
            State::Closed | State::Waiting => Err(Error::new(
                Code::StdinNotOpen,
                "the command's stdin has been closed",
            )),
        }
    }

    /// Writes everything, waiting while the pipe is full.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> Result<()> {
        let pipe = self.open().await?;
        while !bytes.is_empty() {
            pipe.writable().await.map_err(Error::internal)?;
            match pipe.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(has_ended()),
                Err(error) => return Err(Error::internal(error)),
            }
        }
        Ok(())
    }
}
