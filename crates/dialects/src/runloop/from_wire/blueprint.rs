//! From a request for a blueprint to a build. Pure.

use std::collections::BTreeMap;

use pinfold_engine::CreateBuild;
use pinfold_model::build::BuildHome;
use pinfold_model::{Build, ImageName};
use serde_json::{Map, Value};

use super::{NO_SERVICES, Who, code, from_home};
use crate::runloop::errors::Refused;
use crate::runloop::{ids, wire};

/// What is said about a blueprint beside its build, as a label of both.
const LABEL: &str = "runloop.blueprint";
/// Keeps names of blueprints apart from those of other images.
const NAMESPACE: &str = "blueprint/";

/// An image, by its name or id.
pub(in crate::runloop) struct Base(pub(in crate::runloop) String);

pub(in crate::runloop) fn build(
    request: wire::CreateBlueprint,
    base: &Base,
) -> Result<CreateBuild, Refused> {
    refuse_absent(&request)?;
    let (mut setup, mut setup_secrets) = (Vec::new(), BTreeMap::new());
    let code_mounts = request.code_mounts.unwrap_or_default();
    let who = who(request.launch_parameters.as_ref())?;
    let code = code_mounts.iter().map(|mount| code::clone(&who, mount));
    for step in code::in_order(code.collect::<Result<_, _>>()?) {
        let line = step.line();
        setup_secrets.extend(step.env.map(|env| (setup.len(), env)));
        setup.push(line);
    }
    let of_code = setup.len();
    setup.extend(request.system_setup_commands.unwrap_or_default());
    let mut dockerfile = match request.dockerfile {
        Some(text) => text,
        None => format!("FROM {}\n", base.0),
    };
    let home = BuildHome {
        path: who.home.clone(),
        user: who.user.clone(),
    };
    let files: BTreeMap<_, _> = request
        .file_mounts
        .unwrap_or_default()
        .into_iter()
        .map(|(path, text)| (absolute(&who, &path), text))
        .collect();
    if !setup.is_empty() || files.keys().any(|path| home.holds(path)) {
        dockerfile.push_str(&account(&who));
    }
    let said = wire::SaidOfBlueprint {
        name: request.name,
        metadata: request.metadata.unwrap_or_default(),
        launch_parameters: request.launch_parameters.unwrap_or_default(),
        base_blueprint_id: request.base_blueprint_id,
        base_blueprint_name: request.base_blueprint_name,
        network_policy_id: request.network_policy_id,
        lines_of_code: of_code,
        code_mounts: code_mounts.into_iter().map(Into::into).collect(),
        secrets: request.secrets.unwrap_or_default(),
    };
    let name: ImageName = image_name(&said.name)?
        .parse()
        .map_err(|_| Refused::invalid("name", "is too long"))?;
    let context = request
        .build_context
        .map(|context| ids::object(&context.object_id));
    let follows = said.network_policy_id.as_deref();
    let follows = follows.map(ids::network_policy).transpose()?;
    let label = serde_json::to_string(&said).expect("maps and texts are plain data");
    Ok(CreateBuild {
        context: context.transpose()?,
        args: request.build_args.unwrap_or_default(),
        secret_names: said.secrets,
        setup,
        setup_secrets,
        // What they clone may be another thing each time.
        setup_anew_from: (of_code > 0).then_some(0),
        network_policy_id: follows.map(Into::into),
        setup_user: Some(who.user),
        files,
        home: Some(home),
        labels: BTreeMap::from([(LABEL.to_owned(), label)]),
        ..CreateBuild::new(name, dockerfile)
    })
}

fn refuse_absent(request: &wire::CreateBlueprint) -> Result<(), Refused> {
    if request.services.as_ref().is_some_and(|all| !all.is_empty()) {
        return Err(Refused::absent_but("services", NO_SERVICES));
    }
    let bases = [
        request.base_blueprint_id.is_some(),
        request.base_blueprint_name.is_some(),
        request.dockerfile.is_some(),
    ];
    match bases.into_iter().filter(|named| *named).count() {
        0 | 1 => Ok(()),
        _ => Err(Refused::bad(
            "only one of dockerfile, base_blueprint_id and base_blueprint_name may be named",
        )),
    }
}

/// The user of the devboxes.
fn who(launch: Option<&Map<String, Value>>) -> Result<Who, Refused> {
    const FIELD: &str = "user_parameters";
    let said = launch.and_then(|fields| fields.get(FIELD));
    let wanted: Option<wire::UserParameters> = match said {
        None | Some(Value::Null) => None,
        Some(said) => serde_json::from_value(said.clone())
            .map_err(|error| Refused::invalid("launch_parameters.user_parameters", error))?,
    };
    let who = Who::of(wanted.as_ref());
    if let Some(account) = who.account() {
        account.validate()?;
    }
    Ok(who)
}

/// The user of devboxes, whose home and what is mounted in it are, whom set-up commands run as, and where
/// they begin. The name has been looked at: it means nothing to a shell.
fn account(who: &Who) -> String {
    let Who {
        name, uid, home, ..
    } = who;
    let made = match uid {
        0 => String::new(),
        _ => format!(
            "grep -q '^{name}:' /etc/passwd 2>/dev/null || {{ touch /etc/passwd && \
             {{ echo '{name}:x:{uid}:{uid}::{home}:/bin/bash'; cat /etc/passwd; }} > /etc/passwd.new && \
             cat /etc/passwd.new > /etc/passwd && rm /etc/passwd.new; }}; "
        ),
    };
    format!("\nUSER 0\nRUN {made}mkdir -p {home} && chown {uid}:{uid} {home}\nWORKDIR {home}\n")
}

/// The name of an image for that of a blueprint: one of each for the other.
pub(in crate::runloop) fn image_name(name: &str) -> Result<String, Refused> {
    if name.is_empty() {
        return Err(Refused::invalid("name", "must not be empty"));
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let escaped = name.bytes().map(|byte| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("_{byte:02x}"),
    });
    Ok(format!("{NAMESPACE}{}", escaped.collect::<String>()))
}

/// Builds that came otherwise are no blueprints.
pub(in crate::runloop) fn is_one(build: &Build) -> bool {
    build.spec.labels.contains_key(LABEL)
}

pub(in crate::runloop) fn said(build: &Build) -> wire::SaidOfBlueprint {
    let label = build.spec.labels.get(LABEL);
    let said = label.and_then(|text| serde_json::from_str(text).ok());
    said.unwrap_or_else(|| wire::SaidOfBlueprint {
        name: build.spec.name.to_string(),
        ..wire::SaidOfBlueprint::default()
    })
}

fn absolute(who: &Who, path: &str) -> String {
    let path = from_home(path);
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{}/{path}", who.home),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(body: Value) -> Result<CreateBuild, Refused> {
        let request = serde_json::from_value(body).expect("a request");
        build(request, &Base("host:latest".to_owned()))
    }

    #[test]
    fn names_of_blueprints_are_names_of_images_one_to_one() {
        for (name, image) in [
            ("my-blueprint", "blueprint/my-blueprint"),
            ("a b", "blueprint/a_20b"),
            ("a_b/c:d", "blueprint/a_5fb_2fc_3ad"),
            ("é", "blueprint/_c3_a9"),
        ] {
            let made = image_name(name).expect("a name");
            assert_eq!(made, image);
            assert!(made.parse::<ImageName>().is_ok());
        }
        assert!(image_name("").is_err());
    }

    #[test]
    fn without_a_dockerfile_it_is_the_base() {
        let made = asked(json!({ "name": "a" })).expect("legal");
        assert_eq!(made.dockerfile, "FROM host:latest\n");
        let made = asked(json!({ "name": "a", "system_setup_commands": ["true"] }));
        let made = made.expect("legal");
        assert!(made.dockerfile.contains("WORKDIR /home/user"));
        assert_eq!(made.setup_user.as_deref(), Some("1000:1000"));
        assert!(
            asked(json!({ "name": "a", "dockerfile": "FROM a", "base_blueprint_id": "b" }))
                .is_err()
        );
        assert!(asked(json!({ "name": "a", "services": [{}] })).is_err());
        assert!(asked(json!({ "name": "x".repeat(1000) })).is_err());
    }

    #[test]
    fn what_is_mounted_in_a_home_is_its_users() {
        let made = asked(json!({ "name": "a", "file_mounts": { "~/a/b": "", "/etc/c": "" } }));
        let made = made.expect("legal");
        let home = made.home.expect("a home");
        assert_eq!((&*home.path, &*home.user), ("/home/user", "1000:1000"));
        assert!(made.files.contains_key("/home/user/a/b"));
        assert!(made.dockerfile.contains("chown 1000:1000 /home/user"));
        let made = asked(json!({ "name": "a", "file_mounts": { "/etc/c": "" } }));
        assert_eq!(made.expect("legal").dockerfile, "FROM host:latest\n");
    }

    #[test]
    fn set_up_commands_and_code_are_the_devboxes_users() {
        let with = |user: Value| {
            let mount = json!({ "repo_owner": "a", "repo_name": "b" });
            asked(json!({
                "name": "a", "code_mounts": [mount], "file_mounts": { "f": "" },
                "launch_parameters": { "user_parameters": user },
            }))
        };
        let made = with(json!({ "username": "zoe", "uid": 1777 })).expect("legal");
        assert_eq!(made.setup_user.as_deref(), Some("1777:1777"));
        assert!(made.setup[0].contains("'/home/zoe/b'") && made.files.contains_key("/home/zoe/f"));
        assert!(
            made.dockerfile
                .contains("echo 'zoe:x:1777:1777::/home/zoe:/bin/bash'")
        );
        let made = with(json!({ "username": "root", "uid": 0 })).expect("legal");
        assert_eq!(made.setup_user.as_deref(), Some("0:0"));
        assert!(made.dockerfile.ends_with("WORKDIR /root\n"));
        assert!(!made.dockerfile.contains("passwd"));
        assert!(with(Value::Null).is_ok());
        for bad in [
            json!({ "username": "a'; b", "uid": 5 }),
            json!({ "username": 5 }),
            json!("me"),
        ] {
            assert!(with(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn code_is_cloned_before_the_set_up_and_its_token_is_in_no_text() {
        let mount = json!({
            "repo_owner": "a", "repo_name": "b", "token": "ghp_hunter2", "install_command": "make",
        });
        let made = asked(json!({
            "name": "a", "code_mounts": [mount], "system_setup_commands": ["true"],
            "secrets": { "PASS": "of-the-vault" },
        }));
        let made = made.expect("legal");
        assert_eq!(made.setup.len(), 3);
        assert!(made.setup[0].starts_with("# clone a/b\n'sh'"));
        assert!(made.setup[1].starts_with("# install a/b\n") && made.setup[2] == "true");
        assert_eq!(made.setup_anew_from, Some(0));
        assert_eq!(made.secret_names["PASS"], "of-the-vault");
        assert!(made.setup_secrets.contains_key(&0) && made.setup_secrets.len() == 1);
        let json = serde_json::to_string(&made).expect("plain data");
        assert!(!format!("{made:?}{json}").contains("hunter2"));
        let plain = asked(json!({ "name": "a", "system_setup_commands": ["true"] }));
        assert_eq!(plain.expect("legal").setup_anew_from, None);
    }
}
