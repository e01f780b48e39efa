//! The seccomp filter: `policy.json` compiled to one program, installed once in each PID 1.
//!
//! The kernel runs the program for every call number at installation, so a list of 350 comparisons
//! costs milliseconds a sandbox; a search tree over ranges of numbers costs a tenth of that.

use std::collections::BTreeMap;
use std::str::FromStr;

use pinfold_sys::seccomp::Instruction;
use serde::Deserialize;
use syscalls::Sysno;

mod compile;

const POLICY: &str = include_str!("seccomp/policy.json");

/// The filter for this machine's architecture, as the kernel takes it.
pub(super) fn filter() -> Vec<u8> {
    let policy: Policy = serde_json::from_str(POLICY).expect("the policy is checked by tests");
    let program = compile::program(&policy.actions());
    program
        .into_iter()
        .flat_map(Instruction::to_bytes)
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    #[allow(dead_code, reason = "for people who read the file")]
    comment: String,
    allow: Vec<String>,
    deny: Vec<String>,
    absent: Vec<String>,
    deny_bits: Vec<Bits>,
    deny_values: Vec<Values>,
    only_values: Vec<Values>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bits {
    #[allow(dead_code, reason = "for people who read the file")]
    why: String,
    syscall: String,
    argument: u8,
    bits: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    #[allow(dead_code, reason = "for people who read the file")]
    why: String,
    syscall: String,
    argument: u8,
    values: Vec<u32>,
}

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Allow,
    /// EPERM.
    Deny,
    /// ENOSYS; also for numbers nobody has listed.
    Absent,
    DenyBits {
        argument: u8,
        bits: u32,
    },
    DenyValues {
        argument: u8,
        values: Vec<u32>,
    },
    OnlyValues {
        argument: u8,
        values: Vec<u32>,
    },
}

impl Policy {
    /// Call number -> action. Names that this architecture does not have are passed over.
    fn actions(&self) -> BTreeMap<u32, Action> {
        let mut actions = BTreeMap::new();
        let mut put = |name: &str, action: Action| {
            if let Ok(call) = Sysno::from_str(name) {
                actions.insert(call.id() as u32, action);
            }
        };
        for (names, action) in [
            (&self.allow, Action::Allow),
            (&self.deny, Action::Deny),
            (&self.absent, Action::Absent),
        ] {
            names.iter().for_each(|name| put(name, action.clone()));
        }
        for Bits {
            syscall,
            argument,
            bits,
            ..
        } in &self.deny_bits
        {
            put(
                syscall,
                Action::DenyBits {
                    argument: *argument,
                    bits: *bits,
                },
            );
        }
        for Values {
            syscall,
            argument,
            values,
            ..
        } in &self.deny_values
        {
            put(
                syscall,
                Action::DenyValues {
                    argument: *argument,
                    values: values.clone(),
                },
            );
        }
        for Values {
            syscall,
            argument,
            values,
            ..
        } in &self.only_values
        {
            put(
                syscall,
                Action::OnlyValues {
                    argument: *argument,
                    values: values.clone(),
                },
            );
        }
        actions
    }
}

#[cfg(test)]
mod tests;
