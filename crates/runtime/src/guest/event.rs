//! What a guest tells without being asked.

use std::sync::Arc;
use std::time::Duration;

use pinfold_model::{CommandId, ExitStatus};
use pinfold_proto::Exited;

use super::error::GuestError;
use super::link::Link;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestEvent {
    /// A command ended. Told again to each new link until the command is forgotten.
    Exited { id: CommandId, report: ExitReport },
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitReport {
    pub status: ExitStatus,
    /// Its own timeout ended it.
    pub timed_out: bool,
    /// A kill that counts as a cancel had been asked for before it ended.
    pub killed: bool,
    /// Not 0: the program could not be started; the reason stands on the command's stderr.
    pub start_errno: i32,
    /// CPU of the command and the children it waited for.
    pub cpu: Duration,
}

impl ExitReport {
    pub(super) fn read(exited: &Exited) -> Result<(CommandId, Self), GuestError> {
        let id = exited
            .command
            .parse()
            .map_err(|_| GuestError::Protocol("an ended command has no usable id".into()))?;
        let status = match (exited.code, exited.signal) {
            (Some(code), None) => ExitStatus::Code(code),
            (None, Some(signal)) if (1..=64).contains(&signal) => ExitStatus::Signal(signal),
            _ => return Err(GuestError::Protocol("an end that is no end".into())),
        };
        let report = Self {
            status,
            timed_out: exited.timed_out,
            killed: exited.killed,
            start_errno: exited.start_errno,
            cpu: Duration::from_micros(exited.cpu_us),
        };
        Ok((id, report))
    }
}

/// The events of one link, in order.
#[derive(Debug)]
pub struct Events {
    link: Arc<Link>,
}

impl Events {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// The next event; `None` when the link is gone and everything it brought was taken.
    pub async fn next(&mut self) -> Option<GuestEvent> {
        self.link.next_event().await
    }
}
