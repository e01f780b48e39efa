//! From the contract's requests to the engine's words: defaults and bounds of this vendor.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_engine::{CreateSandbox, ImageOrTemplate, PipelineDocument, SubmitRun, Wait};
use pinfold_model::sandbox::IdleAction;
use pinfold_model::{Code, CommandSpec, Error, Program, Result, RunId, SandboxId};

use super::wire;

const DEFAULT_IMAGE: &str = "python:3.12";
const DEFAULT_VCPU: i64 = 2;
const DEFAULT_MEMORY_MIB: i64 = 512;
const VCPU: std::ops::RangeInclusive<i64> = 1..=4;
const MEMORY_MIB: std::ops::RangeInclusive<i64> = 128..=2048;
/// A sandbox that nobody destroys ends this long after its last use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
const WORKDIR: &str = "/workspace";
const USER: &str = "root";
const LOCALE: &str = "C.UTF-8";
/// Output kept of one command: a stream of events has no bound of its own.
const OUTPUT_CAP_BYTES: u64 = 1 << 30;

/// Ids are the engine's under the vendor's prefix.
pub(super) const ID_PREFIX: &str = "sb-";

pub(super) fn sandbox_id(text: &str) -> Result<SandboxId> {
    let own = text.strip_prefix(ID_PREFIX);
    let own = own.and_then(|rest| format!("{}_{rest}", SandboxId::PREFIX).parse().ok());
    own.ok_or_else(|| Error::new(Code::SandboxNotFound, format!("no sandbox {text:?}")))
}

pub(super) fn run_id(text: &str) -> Result<RunId> {
    text.parse()
        .map_err(|_| Error::new(Code::RunNotFound, format!("no run {text:?}")))
}

pub(super) fn create(request: wire::CreateSandbox) -> Result<CreateSandbox> {
    let sandbox = sandbox(request)?;
    Ok(CreateSandbox {
        idle_timeout: Some(IDLE_TIMEOUT),
        idle_action: Some(IdleAction::Destroy),
        ..sandbox
    })
}

/// What sandboxes of their own and those of runs have in common.
fn sandbox(request: wire::CreateSandbox) -> Result<CreateSandbox> {
    let vcpu = bounded("vcpu", request.vcpu.unwrap_or(DEFAULT_VCPU), &VCPU)?;
    let memory_mib = request.memory_mib.unwrap_or(DEFAULT_MEMORY_MIB);
    let image = request.image.unwrap_or_else(|| DEFAULT_IMAGE.to_owned());
    Ok(CreateSandbox {
        from: ImageOrTemplate::Named(image),
        vcpu_millis: Some(vcpu * 1000),
        memory_mib: Some(bounded("memory_mib", memory_mib, &MEMORY_MIB)?),
        env: BTreeMap::from([("LANG".to_owned(), LOCALE.to_owned())]),
        workdir: Some(WORKDIR.to_owned()),
        user: Some(USER.to_owned()),
        wait: Wait::No,
        ..CreateSandbox::default()
    })
}

fn bounded(field: &str, value: i64, bounds: &std::ops::RangeInclusive<i64>) -> Result<u32> {
    match u32::try_from(value) {
        Ok(fits) if bounds.contains(&value) => Ok(fits),
        _ => Err(Error::invalid(
            field,
            format!(
                "{field} must be from {} to {}, not {value}",
                bounds.start(),
                bounds.end()
            ),
        )),
    }
}

pub(super) fn command(request: &wire::Exec) -> Result<CommandSpec> {
    let timeout = request.timeout_s.map(timeout).transpose()?;
    Ok(CommandSpec {
        timeout,
        output_cap_bytes: Some(OUTPUT_CAP_BYTES),
        ..CommandSpec::new(Program::Argv(request.command.clone()))
    })
}

fn timeout(seconds: f64) -> Result<Duration> {
    // To the millisecond, up: a timeout that is not 0 shall not become 0.
    let millis = (seconds * 1000.0).ceil() / 1000.0;
    Duration::try_from_secs_f64(millis).map_err(|_| {
        Error::invalid(
            "timeout_s",
            "timeout_s must be a positive number of seconds",
        )
    })
}

pub(super) fn run(request: &wire::SubmitRun) -> Result<SubmitRun> {
    let document = PipelineDocument::parse(&request.markdown)?;
    let sandbox = sandbox(wire::CreateSandbox {
        image: document.image,
        vcpu: document.vcpu.map(i64::from),
        memory_mib: document.memory_mib.map(i64::from),
    })?;
    Ok(SubmitRun {
        steps: document.steps,
        timeout: document.timeout,
        sandbox,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(vcpu: i64, memory_mib: i64) -> Result<CreateSandbox> {
        create(wire::CreateSandbox {
            image: None,
            vcpu: Some(vcpu),
            memory_mib: Some(memory_mib),
        })
    }

    #[test]
    fn bounds_include_their_ends() {
        for (vcpu, memory, good) in [
            (1, 128, true),
            (4, 2048, true),
            (0, 512, false),
            (5, 512, false),
            (-1, 512, false),
            (2, 127, false),
            (2, 2049, false),
            (2, i64::MAX, false),
        ] {
            assert_eq!(asked(vcpu, memory).is_ok(), good, "{vcpu} {memory}");
        }
    }

    #[test]
    fn ids_of_others_name_nothing() {
        let id = SandboxId::generate();
        let own = id.as_str().replace("sbx_", ID_PREFIX);
        assert_eq!(sandbox_id(&own).ok(), Some(id.clone()));
        for text in [id.as_str(), "", "sb-", "sb-../x", "sb-a_b"] {
            assert!(sandbox_id(text).is_err(), "{text:?}");
        }
    }
}
