//! Event streams that have a name and a database: whoever may publishes to one, and any number follow it.

use std::collections::BTreeMap;

use crate::Time;
use crate::error::{Error, Result};
use crate::id::{AxonId, KeyId, ProjectId};
use crate::limits;
use crate::sandbox::{validate_metadata, validate_name};

/// One stream of events of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axon {
    pub id: AxonId,
    pub project: ProjectId,
    /// A label: others may have the same.
    pub name: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// The number of its last event, which is how many there are: numbers begin at 1 and none is left out.
    pub last_sequence: u64,
    pub created_at: Time,
    /// Its events and its database are gone since then. What it was stays readable for a while.
    pub deleted_at: Option<Time>,
    /// The key that made it; `None`: the process itself.
    pub created_by: Option<KeyId>,
}

/// Who an event comes from, as its publisher says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AxonOrigin {
    External,
    Agent,
    User,
}

impl AxonOrigin {
    pub const ALL: [Self; 3] = [Self::External, Self::Agent, Self::User];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Agent => "agent",
            Self::User => "user",
        }
    }
}

impl std::str::FromStr for AxonOrigin {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| Error::invalid("origin", format!("no origin {text:?}")))
    }
}

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NewAxonEvent {
    pub origin: AxonOrigin,
    pub source: String,
    pub event_type: String,
    /// A text of the publisher's, by custom JSON. Nobody reads it on its way.
    pub payload: String,
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxonEvent {
    pub axon: AxonId,
    pub sequence: u64,
    pub at: Time,
    pub event: NewAxonEvent,
}

impl Axon {
    /// Checks the parts that callers choose.
    pub fn validate(&self) -> Result<()> {
        if let Some(name) = &self.name {
            validate_name("name", name)?;
        }
        validate_metadata(&self.metadata)
    }
}

impl NewAxonEvent {
    pub fn validate(&self) -> Result<()> {
        for (field, label) in [("source", &self.source), ("event_type", &self.event_type)] {
            let chars = label.chars().count();
            if chars == 0 || chars > limits::AXON_LABEL_MAX_CHARS {
                let max = limits::AXON_LABEL_MAX_CHARS;
                let words = format!("{field} must be 1 to {max} characters long, not {chars}");
                return Err(Error::invalid(field, words));
            }
        }
        if self.payload.len() > limits::AXON_PAYLOAD_MAX_BYTES {
            let max = limits::AXON_PAYLOAD_MAX_BYTES;
            let words = format!(
                "payload may have at most {max} bytes, not {}",
                self.payload.len()
            );
            return Err(Error::invalid("payload", words));
        }
        Ok(())
    }

    /// What it counts of the bytes that an axon keeps.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.source.len() + self.event_type.len() + self.payload.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_payloads_are_bounded() {
        let good = NewAxonEvent {
            origin: AxonOrigin::User,
            source: "a".to_owned(),
            event_type: "ü".repeat(limits::AXON_LABEL_MAX_CHARS),
            payload: "x".repeat(limits::AXON_PAYLOAD_MAX_BYTES),
        };
        assert!(good.validate().is_ok());
        for bad in [
            NewAxonEvent {
                source: String::new(),
                ..good.clone()
            },
            NewAxonEvent {
                event_type: "x".repeat(limits::AXON_LABEL_MAX_CHARS + 1),
                ..good.clone()
            },
            NewAxonEvent {
                payload: "x".repeat(limits::AXON_PAYLOAD_MAX_BYTES + 1),
                ..good.clone()
            },
        ] {
            assert!(bad.validate().is_err());
        }
        for origin in AxonOrigin::ALL {
            assert_eq!(origin.as_str().parse::<AxonOrigin>().ok(), Some(origin));
        }
    }
}
