//! Repositories that a devbox has in its home directory. Pure.

use pinfold_model::Program;

use super::Who;
use crate::runloop::errors::Refused;
use crate::runloop::wire;

/// Clones $2 into $1 at $3 (the default branch where that is empty), then does $4 in there. Begun anew
/// it goes on with what is there.
const CLONE: &str = r#"set -e
if [ ! -e "$1/.git" ]; then
    rm -rf -- "$1.part"
    git clone --quiet -- "$2" "$1.part"
    mv -T -- "$1.part" "$1"
fi
cd -- "$1"
if [ -n "$3" ]; then git checkout --quiet "$3"; fi
if [ -n "$4" ]; then eval "$4"; fi"#;

/// Into the home directory, from the outside.
pub(super) fn clone(who: &Who, mount: &wire::CodeMount) -> Result<Program, Refused> {
    if mount.token.is_some() {
        // What a setup does is recorded; a token must not be.
        return Err(Refused::absent("a code mount with a token"));
    }
    let plain = |text: &str| {
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        !text.is_empty() && !text.starts_with(['.', '-']) && text.bytes().all(sound)
    };
    for (field, text) in [
        ("repo_owner", &mount.repo_owner),
        ("repo_name", &mount.repo_name),
    ] {
        if !plain(text) {
            return Err(Refused::invalid(field, "is no name of GitHub's"));
        }
    }
    let url = format!(
        "https://github.com/{}/{}.git",
        mount.repo_owner, mount.repo_name
    );
    let place = format!("{}/{}", who.home, mount.repo_name);
    let git_ref = mount.git_ref.clone().unwrap_or_default();
    if git_ref.starts_with('-') {
        return Err(Refused::invalid(
            "git_ref",
            "is no name of a commit or branch",
        ));
    }
    let install = mount.install_command.clone().unwrap_or_default();
    let argv = ["sh", "-c", CLONE, "sh", &place, &url, &git_ref, &install];
    Ok(Program::Argv(argv.map(str::to_owned).into()))
}

#[cfg(test)]
mod tests {
    use pinfold_engine::CreateSandbox;
    use serde_json::{Value, json};

    use super::*;

    fn asked(body: Value) -> Result<CreateSandbox, Refused> {
        super::super::create(serde_json::from_value(body).expect("a request"), None)
    }

    #[test]
    fn a_repository_is_a_plain_name() {
        let mount = |name: &str| {
            asked(json!({ "code_mounts": [{ "repo_owner": "a", "repo_name": name }] }))
        };
        assert!(mount("b.c-d").is_ok());
        for bad in ["", "..", "a/b", "-x", "a b", "$(x)"] {
            assert!(mount(bad).is_err(), "{bad:?}");
        }
    }
}
