//! How much of the machine a sandbox may use, and what it may reach.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Bounds of one sandbox. All of them are enforced, not only recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a CPU: 500 is half a core. 50 to 256,000.
    pub vcpu_millis: u32,
    /// Memory of all processes and of page cache they own, in MiB. 32 to 4,194,304.
    pub memory_mib: u32,
    /// What the sandbox may write to its own disk, in MiB. 16 to 16,777,216.
    pub disk_mib: u32,
    /// Processes and threads. 8 to 1,000,000.
    pub pids: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            vcpu_millis: 1000,
            memory_mib: 1024,
            disk_mib: 4096,
            pids: 1024,
        }
    }
}

impl Resources {
    /// Checks every bound and names the first field that is outside its own.
    pub fn validate(&self) -> Result<()> {
        bounded(
            "vcpu",
            self.vcpu_millis,
            50,
            256_000,
            "thousandths of a CPU",
        )?;
        bounded("memory_mib", self.memory_mib, 32, 4_194_304, "MiB")?;
        bounded("disk_mib", self.disk_mib, 16, 16_777_216, "MiB")?;
        bounded("pids", self.pids, 8, 1_000_000, "processes")
    }
}

fn bounded(field: &str, value: u32, min: u32, max: u32, unit: &str) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("{field} must be from {min} to {max} {unit}, not {value}"),
    ))
}

/// What a sandbox may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// Its own loopback and nothing else.
    #[default]
    None,
    /// The outside through NAT; not the host, not other sandboxes, not link-local addresses.
    Open,
    /// What its policy allows, by name and by address, and nothing else.
    Policy,
}

impl NetworkMode {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Policy => "policy",
        }
    }
}

impl std::str::FromStr for NetworkMode {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "open" => Ok(Self::Open),
            "policy" => Ok(Self::Policy),
            _ => Err(Error::invalid(
                "network",
                "network must be \"none\", \"open\" or \"policy\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_absurd_values_are_named() {
        assert!(Resources::default().validate().is_ok());
        let absurd = Resources {
            memory_mib: u32::MAX,
            ..Resources::default()
        };
        let error = absurd.validate().expect_err("out of bounds");
        assert_eq!(error.details()["field"], "memory_mib");
    }
}
