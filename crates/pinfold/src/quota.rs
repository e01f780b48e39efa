//! Quotas on the command line: as options, and shown.

use clap::Args;
use pinfold_sdk::{Quota, QuotaChange};

use crate::values;

/// What the server takes, too.
const CPUS_MAX: f64 = 1e9;

/// What live sandboxes may hold together.
#[derive(Debug, Args)]
pub(crate) struct Bounds {
    /// Live sandboxes, or none for no bound
    #[arg(long = "max-sandboxes", visible_alias = "sandboxes", value_name = "COUNT", value_parser = bound::<u32>)]
    sandboxes: Option<Bound<u32>>,

    /// CPUs, or none for no bound
    #[arg(long = "max-vcpu", visible_alias = "vcpu", value_name = "CPUS", value_parser = cpus)]
    vcpu: Option<Bound<f64>>,

    /// Memory, such as 64g, or none for no bound
    #[arg(long = "max-memory", visible_alias = "memory", value_name = "SIZE", value_parser = memory)]
    memory: Option<Bound<u64>>,
}

/// What objects may hold together.
#[derive(Debug, Args)]
pub(crate) struct ObjectsBound {
    /// Content of all objects, such as 500g, or none for no bound
    #[arg(long = "max-objects", visible_alias = "objects", value_name = "SIZE", value_parser = memory)]
    objects: Option<Bound<u64>>,
}

impl ObjectsBound {
    /// Adds it to what bounds sandboxes.
    pub(crate) fn with(self, bounds: Bounds) -> QuotaChange {
        QuotaChange {
            object_bytes: self.objects.map(|bound| bound.0.map(|mib| mib << 20)),
            ..bounds.into()
        }
    }
}

/// A number, or no bound at all.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound<T>(Option<T>);

fn bound<T: std::str::FromStr>(text: &str) -> Result<Bound<T>, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    let number = text
        .parse()
        .map_err(|_| format!("{text:?} is neither a number nor none"))?;
    Ok(Bound(Some(number)))
}

fn cpus(text: &str) -> Result<Bound<f64>, String> {
    let bound = bound::<f64>(text)?;
    if bound.0.is_none_or(|cpus| (0.0..=CPUS_MAX).contains(&cpus)) {
        return Ok(bound);
    }
    Err(format!(
        "{text:?} is no number of CPUs from 0 to {CPUS_MAX}"
    ))
}

fn memory(text: &str) -> Result<Bound<u64>, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    values::size_mib(text).map(|mib| Bound(Some(mib.into())))
}

impl From<Bounds> for QuotaChange {
    fn from(bounds: Bounds) -> Self {
        Self {
            live_sandboxes: bounds.sandboxes.map(|bound| bound.0),
            vcpu: bounds.vcpu.map(|bound| bound.0),
            memory_mib: bounds.memory.map(|bound| bound.0),
            object_bytes: None,
        }
    }
}

impl From<Bounds> for pinfold_engine::QuotaChange {
    fn from(bounds: Bounds) -> Self {
        let millis = |cpus: f64| (cpus * 1000.0).round() as u64;
        Self {
            live_sandboxes: bounds.sandboxes.map(|bound| bound.0),
            vcpu_millis: bounds.vcpu.map(|bound| bound.0.map(millis)),
            memory_mib: bounds.memory.map(|bound| bound.0),
            object_bytes: None,
        }
    }
}

/// A quota as facts about whoever has it.
pub(crate) fn shown(quota: Quota) -> [(&'static str, String); 3] {
    let memory = quota.memory_mib.map(|mib| format!("{mib} MiB"));
    [
        ("sandboxes", or_unbounded(quota.live_sandboxes)),
        ("cpus", or_unbounded(quota.vcpu)),
        ("memory", or_unbounded(memory)),
    ]
}

pub(crate) fn or_unbounded(bound: Option<impl ToString>) -> String {
    bound.map_or_else(|| "no bound".to_owned(), |bound| bound.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_can_be_removed() {
        assert_eq!(bound::<u32>("none"), Ok(Bound(None)));
        assert_eq!(bound::<u32>("7"), Ok(Bound(Some(7))));
        assert!(bound::<u32>("-7").is_err());
        assert!(cpus("nan").is_err());
        assert_eq!(cpus("1.5"), Ok(Bound(Some(1.5))));
        assert_eq!(memory("2g"), Ok(Bound(Some(2048))));
    }
}
