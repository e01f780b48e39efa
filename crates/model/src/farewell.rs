//! What is run inside a sandbox before it is suspended or stopped, and how far that is.
//!
//! ```text
//! asked to rest -> under way, recorded -> commands, one after the other -> suspended or stopped
//! ```
//! It delays that and never prevents it: a command that fails is passed over, and what is not done by the
//! deadline is given up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::command::{CommandSpec, Program};
use crate::error::{Error, Result};
use crate::limits;

/// Commands before each suspend or stop. Empty for most sandboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Farewell {
    /// Run one after the other, by the sandbox's default user.
    pub commands: Vec<Program>,
    /// For all of them together: 1 ms to [`limits::FAREWELL_MAX`].
    pub patience: Duration,
    /// How often it was begun. Set by the server.
    pub times: u32,
    /// Begun, and the sandbox does not run on behind it. Set by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<UnderWay>,
}

/// A farewell that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    pub rest: Rest,
    /// What is not done by then is given up.
    pub until: Time,
}

/// What comes behind a farewell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    Suspend,
    Stop,
}

impl Farewell {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// It begins at `now`.
    pub fn begin(&mut self, rest: Rest, now: Time) {
        self.times += 1;
        let until = now.checked_add(self.patience).unwrap_or(Time::MAX);
        self.under_way = Some(UnderWay { rest, until });
    }

    pub fn validate(&self) -> Result<()> {
        const FIELD: &str = "farewell";
        if self.commands.is_empty() {
            return Ok(());
        }
        if self.commands.len() > limits::SETUP_STEPS_MAX {
            return Err(Error::invalid(
                FIELD,
                format!(
                    "at most {} commands run before a sandbox is suspended",
                    limits::SETUP_STEPS_MAX
                ),
            ));
        }
        if self.patience.is_zero() || self.patience > limits::FAREWELL_MAX {
            return Err(Error::invalid(
                FIELD,
                format!(
                    "what runs before a sandbox is suspended may take from 1 to {} ms",
                    limits::FAREWELL_MAX.as_millis()
                ),
            ));
        }
        let mut specs = self.commands.iter().cloned().map(CommandSpec::new);
        specs.try_for_each(|spec| spec.validate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farewell(commands: usize, patience: Duration) -> Farewell {
        Farewell {
            commands: vec![Program::Shell("true".to_owned()); commands],
            patience,
            ..Farewell::default()
        }
    }

    #[test]
    fn it_is_bounded() {
        let second = Duration::from_secs(1);
        assert!(farewell(0, Duration::ZERO).validate().is_ok());
        assert!(farewell(2, second).validate().is_ok());
        assert!(farewell(2, limits::FAREWELL_MAX).validate().is_ok());
        for bad in [
            farewell(1, Duration::ZERO),
            farewell(1, limits::FAREWELL_MAX + second),
            farewell(limits::SETUP_STEPS_MAX + 1, second),
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
        let mut nothing = farewell(1, second);
        nothing.commands = vec![Program::Shell(" ".to_owned())];
        assert!(nothing.validate().is_err());
    }

    #[test]
    fn each_one_has_a_number_and_an_end() {
        let mut farewell = farewell(1, Duration::from_secs(5));
        for times in 1..3 {
            farewell.begin(Rest::Stop, Time::UNIX_EPOCH);
            assert_eq!(farewell.times, times);
            let under_way = farewell.under_way.take().expect("begun");
            assert_eq!(under_way.until.as_second(), 5);
        }
        farewell.begin(Rest::Suspend, Time::MAX);
        assert_eq!(farewell.under_way.expect("begun").until, Time::MAX);
    }
}
