//! What a sandbox's gate has seen, in numbers, and the last things that it refused.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pinfold_model::Time;
use pinfold_model::network::Refusal;

/// Refused things that are remembered.
const REFUSED_MAX: usize = 32;
/// What a program calls a host may have any length.
const HOST_MAX_CHARS: usize = 253;

/// Since the server has known the sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were made.
    pub connections: u64,
    /// Connections (and requests on one) that were refused or cut.
    pub refused: u64,
    /// Of all connections, from the sandbox and to it.
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Questions for names.
    pub questions: u64,
    pub questions_refused: u64,
    /// Calls of gateways, and those of them that went nowhere.
    pub gateway_calls: u64,
    pub gateway_calls_refused: u64,
}

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub at: Time,
    /// A name or an address.
    pub host: String,
    /// `None` for a question for a name.
    pub port: Option<u16>,
    pub why: Refusal,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) questions: AtomicU64,
    pub(crate) questions_refused: AtomicU64,
    pub(crate) gateway_calls: AtomicU64,
    pub(crate) gateway_calls_refused: AtomicU64,
    last: Mutex<VecDeque<Refused>>,
}

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.connections),
            refused: read(&self.refused),
            bytes_out: read(&self.bytes_out),
            bytes_in: read(&self.bytes_in),
            questions: read(&self.questions),
            questions_refused: read(&self.questions_refused),
            gateway_calls: read(&self.gateway_calls),
            gateway_calls_refused: read(&self.gateway_calls_refused),
        }
    }

    /// Oldest first.
    pub(crate) fn last_refused(&self) -> Vec<Refused> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().cloned().collect()
    }

    pub(crate) fn refuse(&self, host: impl ToString, port: Option<u16>, why: Refusal) {
        let counter = match port {
            Some(_) => &self.refused,
            None => &self.questions_refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let refused = Refused {
            at: Time::now(),
            host: host.to_string().chars().take(HOST_MAX_CHARS).collect(),
            port,
            why,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == REFUSED_MAX {
            last.pop_front();
        }
        last.push_back(refused);
    }
}

pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
