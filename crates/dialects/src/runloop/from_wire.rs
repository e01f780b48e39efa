//! From the vendor's requests to the engine's words: its defaults, sizes and bounds. Pure.

pub(super) mod axon;
pub(super) mod blueprint;
mod code;
pub(super) mod gateway;
mod lifecycle;
pub(super) mod network_policy;
mod shell;
mod tunnel;

use std::collections::BTreeMap;

use pinfold_engine::{CreateSandbox, ImageOrTemplate, Wait};
use pinfold_model::sandbox::{SandboxExtras, TtlCounts};
use pinfold_model::setup::{Account, Main, Setup, SetupFile, SetupObject};
use pinfold_model::{ImageId, NetworkMode, NetworkPolicy, Program};
use serde_json::{Map, Value};

use super::errors::Refused;
use super::{ids, wire};

use code::{Clone, clone, in_order};
use lifecycle::{farewell, lifetime};
use shell::shell;
pub(super) use shell::{command, line_of, shell_name, terminal};
pub(super) use tunnel::{size, tunnel};

/// What a devbox is made from where nothing is named: what the operator set under this name.
pub(super) const TEMPLATE: &str = "base";
const USER: &str = "user";
const USER_ID: u32 = 1000;
const GIB: u32 = 1024;
/// What there is instead of what hangs on the vendor's own programs inside.
const NO_BROKER: &str = "events reach a devbox through the vendor's broker: follow the axon inside the \
                         devbox, and wake it by a request to its tunnel";
const NO_SERVICES: &str = "no container runs inside a devbox: have what is needed in the image, and begin it \
                           by a launch command";

/// A blueprint that a devbox is made from.
pub(super) struct Built {
    /// As the vendor has it.
    pub(super) id: String,
    pub(super) image: ImageId,
    /// What a devbox of it has unless it says otherwise.
    pub(super) launch_parameters: Map<String, Value>,
    pub(super) network: NetworkMode,
    pub(super) network_policy: NetworkPolicy,
}

pub(super) fn create(
    mut request: wire::CreateDevbox,
    built: Option<Built>,
) -> Result<CreateSandbox, Refused> {
    refuse_absent(&request)?;
    if let Some(built) = &built {
        let mut launch = built.launch_parameters.clone();
        launch.extend(request.launch_parameters.unwrap_or_default());
        request.launch_parameters = Some(launch);
    }
    let gateways = gateway::wanted(&request)?;
    let launch: wire::LaunchParameters = match &request.launch_parameters {
        Some(fields) => serde_json::from_value(Value::Object(fields.clone()))
            .map_err(|error| Refused::invalid("launch_parameters", error))?,
        None => wire::LaunchParameters::default(),
    };
    refuse_absent_launch(&launch)?;
    let (vcpu_millis, memory_mib, disk_mib) = resources(&launch)?;
    let who = Who::of(launch.user_parameters.as_ref());
    let from = match (&request.snapshot_id, &built) {
        (Some(id), _) => ImageOrTemplate::Snapshot(ids::snapshot(id)?),
        (None, Some(built)) => ImageOrTemplate::Image(built.image.to_string()),
        (None, None) => ImageOrTemplate::Template {
            template: TEMPLATE.to_owned(),
            version: None,
        },
    };
    let said = request.launch_parameters.unwrap_or_default();
    let asked = request.tunnel.as_ref();
    let annotation = wire::Kept {
        launch_parameters: said.clone(),
        snapshot_id: request.snapshot_id,
        blueprint_id: built.as_ref().map(|built| built.id.clone()),
    };
    let mut setup = Setup {
        account: who.account(),
        each_start: commands(launch.launch_commands.as_deref().unwrap_or_default()),
        ..Setup::default()
    };
    let files = request.file_mounts.unwrap_or_default().into_iter();
    let files = files.map(|(path, content)| SetupFile {
        path: from_home(&path).to_owned(),
        content,
    });
    setup.files.extend(files);
    let mut code = Vec::new();
    for mount in request.mounts.unwrap_or_default() {
        add_mount(&mut setup, &mut code, &who, mount)?;
    }
    for mount in request.code_mounts.unwrap_or_default() {
        code.push(clone(&who, &mount)?);
    }
    let mut setup_secrets = BTreeMap::new();
    for step in in_order(code) {
        setup_secrets.extend(step.env.map(|env| (setup.once.len(), env)));
        setup.once.push(step.program);
    }
    let follows = launch.network_policy_id.as_deref();
    let follows = follows.map(ids::network_policy).transpose()?;
    let (network, network_policy) = match (&follows, built) {
        (None, Some(built)) => (Some(built.network), Some(built.network_policy)),
        _ => (None, None),
    };
    let mut sandbox = CreateSandbox {
        name: request.name,
        from,
        vcpu_millis: Some(vcpu_millis),
        memory_mib: Some(memory_mib),
        disk_mib: Some(disk_mib),
        env: request.environment_variables.unwrap_or_default(),
        workdir: Some(who.home.clone()),
        user: Some(who.user),
        metadata: request.metadata.unwrap_or_default(),
        more: SandboxExtras {
            setup,
            main: request.entrypoint.as_deref().map(entrypoint),
            farewell: farewell(launch.lifecycle.as_ref())?,
            secrets: request.secrets.unwrap_or_default(),
            annotations: annotation.kept(),
            ttl_counts: TtlCounts::WhileRunning,
            ..SandboxExtras::default()
        },
        setup_secrets,
        gateways,
        network,
        network_policy,
        network_policy_id: follows.map(Into::into),
        tunnel: asked.map(|asked| tunnel(asked, &said)).transpose()?,
        wait: Wait::No,
        ..CreateSandbox::default()
    };
    lifetime(&mut sandbox, launch)?;
    Ok(sandbox)
}

pub(super) fn check_sources(request: &wire::CreateDevbox) -> Result<(), Refused> {
    let sources = [
        request.blueprint_id.is_some(),
        request.blueprint_name.is_some(),
        request.snapshot_id.is_some(),
    ];
    if sources.into_iter().filter(|named| *named).count() > 1 {
        return Err(Refused::bad(
            "only one of blueprint_id, blueprint_name and snapshot_id may be named",
        ));
    }
    Ok(())
}

/// Parts of a request that this server has nothing behind.
fn refuse_absent(request: &wire::CreateDevbox) -> Result<(), Refused> {
    match request.repo_connection_id {
        Some(_) => Err(Refused::absent("repo_connection_id")),
        None => Ok(()),
    }
}

fn refuse_absent_launch(launch: &wire::LaunchParameters) -> Result<(), Refused> {
    let services = launch.required_services.as_deref().unwrap_or_default();
    let lifecycle = launch.lifecycle.as_ref();
    for (field, instead, named) in [
        ("required_services", NO_SERVICES, !services.is_empty()),
        (
            "lifecycle.resume_triggers.axon_event",
            NO_BROKER,
            lifecycle
                .and_then(|of| of.resume_triggers.as_ref()?.get("axon_event")?.as_bool())
                .unwrap_or(false),
        ),
    ] {
        if named {
            let field = format!("launch_parameters.{field}");
            return Err(Refused::absent_but(&field, instead));
        }
    }
    let wanted = launch.architecture.as_deref();
    let here = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    match wanted {
        Some(wanted) if wanted != here => Err(Refused::invalid(
            "launch_parameters.architecture",
            format!("this server has {here}, not {wanted:?}"),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Thousandths of a CPU, MiB of memory, MiB of disk.
fn resources(launch: &wire::LaunchParameters) -> Result<(u32, u32, u32), Refused> {
    let gib = |cpus: u32, memory: u32, disk: u32| Ok((cpus, memory * GIB, disk * GIB));
    match launch.resource_size_request.as_deref() {
        Some("X_SMALL") => gib(500, 1, 4),
        None | Some("SMALL") => gib(1000, 2, 4),
        Some("MEDIUM") => gib(2000, 4, 8),
        Some("LARGE") => gib(2000, 8, 16),
        Some("X_LARGE") => gib(4000, 16, 16),
        Some("XX_LARGE") => gib(8000, 32, 16),
        Some("CUSTOM_SIZE") => Ok((
            custom("custom_cpu_cores", launch.custom_cpu_cores, 1.0, 16.0, 1000)?,
            custom("custom_gb_memory", launch.custom_gb_memory, 2.0, 64.0, GIB)?,
            custom("custom_disk_size", launch.custom_disk_size, 4.0, 64.0, GIB)?,
        )),
        Some(other) => Err(Refused::invalid(
            "launch_parameters.resource_size_request",
            format!("no size {other:?}"),
        )),
    }
}

fn custom(
    field: &str,
    wanted: Option<f64>,
    default: f64,
    max: f64,
    unit: u32,
) -> Result<u32, Refused> {
    let wanted = wanted.unwrap_or(default);
    if !(0.5..=max).contains(&wanted) {
        return Err(Refused::invalid(
            field,
            format!("must be from 0.5 to {max}"),
        ));
    }
    // Within bounds that fit by far.
    Ok((wanted * f64::from(unit)) as u32)
}

/// Whose devbox it is inside.
struct Who {
    name: String,
    uid: u32,
    home: String,
    /// By number: the name means nobody before the account is made.
    user: String,
}

impl Who {
    fn of(wanted: Option<&wire::UserParameters>) -> Self {
        let (name, uid) = wanted.map_or((USER, USER_ID), |wanted| (&*wanted.username, wanted.uid));
        let home = match uid {
            0 => "/root".to_owned(),
            _ => format!("/home/{name}"),
        };
        Self {
            name: name.to_owned(),
            uid,
            home,
            user: format!("{uid}:{uid}"),
        }
    }

    fn account(&self) -> Option<Account> {
        (self.uid != 0).then(|| Account {
            name: self.name.clone(),
            uid: self.uid,
            home: self.home.clone(),
        })
    }
}

fn add_mount(
    setup: &mut Setup,
    code: &mut Vec<Clone>,
    who: &Who,
    mount: wire::Mount,
) -> Result<(), Refused> {
    match mount {
        wire::Mount::Object {
            object_id,
            object_path,
        } => setup.objects.push(SetupObject {
            object: ids::object(&object_id)?,
            path: from_home(&object_path).to_owned(),
        }),
        wire::Mount::File { target, content } => setup.files.push(SetupFile {
            path: from_home(&target).to_owned(),
            content,
        }),
        wire::Mount::Code(mount) => code.push(clone(who, &mount)?),
        wire::Mount::Agent {} => return Err(Refused::absent("agent_mount")),
        wire::Mount::Broker {} => return Err(Refused::absent_but("broker_mount", NO_BROKER)),
    }
    Ok(())
}

fn entrypoint(line: &str) -> Main {
    Main::new(shell(line))
}

fn commands(lines: &[String]) -> Vec<Program> {
    lines.iter().map(|line| shell(line)).collect()
}

/// A path as the engine takes it: relative ones begin at home there, too.
pub(super) fn from_home(path: &str) -> &str {
    match path {
        "~" | "~/" => ".",
        _ => path.strip_prefix("~/").unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn asked(body: Value) -> Result<CreateSandbox, Refused> {
        create(serde_json::from_value(body).expect("a request"), None)
    }

    fn launch(parameters: Value) -> Result<CreateSandbox, Refused> {
        asked(json!({ "launch_parameters": parameters }))
    }

    #[test]
    fn nothing_named_is_a_small_devbox_of_an_hour() {
        let made = asked(json!({})).expect("legal");
        let size = (made.vcpu_millis, made.memory_mib, made.disk_mib);
        assert_eq!(size, (Some(1000), Some(2048), Some(4096)));
        assert_eq!(made.ttl, Some(Duration::from_secs(3600)));
        assert_eq!(made.user.as_deref(), Some("1000:1000"));
        assert_eq!(made.workdir.as_deref(), Some("/home/user"));
        let account = made.more.setup.account.expect("an account");
        assert_eq!((account.name.as_str(), account.uid), ("user", 1000));
    }

    #[test]
    fn sizes_have_bounds() {
        let custom = |cpus: f64| {
            launch(json!({ "resource_size_request": "CUSTOM_SIZE", "custom_cpu_cores": cpus }))
        };
        assert_eq!(custom(0.5).expect("legal").vcpu_millis, Some(500));
        assert!(custom(0.1).is_err() && custom(1e9).is_err());
        assert!(launch(json!({ "resource_size_request": "HUGE" })).is_err());
        let large = launch(json!({ "resource_size_request": "XX_LARGE" })).expect("legal");
        assert_eq!(large.memory_mib, Some(32 << 10));
    }

    #[test]
    fn who_is_root_needs_no_account() {
        let user = json!({ "username": "root", "uid": 0 });
        let made = launch(json!({ "user_parameters": user })).expect("legal");
        assert_eq!(made.more.setup.account, None);
        assert_eq!(made.workdir.as_deref(), Some("/root"));
    }

    #[test]
    fn what_there_is_nothing_behind_is_said() {
        for body in [
            json!({ "repo_connection_id": "x" }),
            json!({ "mcp": [{ "mcp_config": "a", "secret": "s" }, { "mcp_config": "b", "secret": "s" }] }),
            json!({ "launch_parameters": { "required_services": ["db"] } }),
        ] {
            let refused = asked(body.clone()).expect_err("absent");
            assert!(
                matches!(refused, Refused::Vendor(status, ..) if status == 501),
                "{body}"
            );
        }
        assert!(asked(json!({ "mcp": [], "gateways": {}, "entrypoint": null })).is_ok());
    }

    #[test]
    fn paths_begin_at_home() {
        for (path, ours) in [("~/a", "a"), ("~", "."), ("a/~/b", "a/~/b"), ("/a", "/a")] {
            assert_eq!(from_home(path), ours);
        }
    }
}
