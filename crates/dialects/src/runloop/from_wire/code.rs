//! Repositories that a devbox has in its home directory. Pure.
//!
//! The token of one is in the environment of its clone, and git asks for it by a helper that answers for
//! this one host: it is in no argument, no file and no configuration, and no redirect leads it elsewhere.
//! Helpers that an image has are put out, since some write down what they are told; so are hooks, and what git
//! may leave running.

use std::collections::BTreeMap;

use pinfold_model::{Program, SecretEnv, SecretValue};

use super::Who;
use crate::runloop::errors::Refused;
use crate::runloop::wire;

const TOKEN: &str = "PINFOLD_GIT_TOKEN";

/// Clones $2 into $1, at $3 (the default branch where that is empty). Begun anew it goes on with what is
/// there.
const CLONE: &str = r#"set -e
export GIT_TERMINAL_PROMPT=0
unset GIT_TRACE GIT_TRACE_CURL GIT_TRACE_PACKET GIT_TRACE_SETUP GIT_TRACE_REDACT GIT_CURL_VERBOSE
unset GIT_TRACE2 GIT_TRACE2_EVENT GIT_TRACE2_PERF
git() {
    if [ -z "$PINFOLD_GIT_TOKEN" ]; then command git "$@"; return; fi
    command git -c credential.helper= -c credential.https://github.com.helper="$helper" \
        -c core.hooksPath=/dev/null -c core.fsmonitor=false \
        -c gc.auto=0 -c maintenance.auto=false "$@"
}
helper='!f() { test "$1" = get || exit 0
    printf "username=x-access-token\npassword=%s\n" "$PINFOLD_GIT_TOKEN"; }; f'
if [ ! -e "$1/.git" ]; then
    rm -rf -- "$1.part"
    git clone --quiet -- "$2" "$1.part"
    mv -T -- "$1.part" "$1"
fi
cd -- "$1"
if [ -n "$3" ]; then git checkout --quiet "$3"; fi"#;

/// Does $2 in $1.
const INSTALL: &str = r#"cd -- "$1" && eval "$2""#;

/// A command that is run once.
pub(super) struct Step {
    /// For people, in a line.
    what: String,
    pub(super) program: Program,
    /// Of this one alone.
    pub(super) env: Option<SecretEnv>,
}

impl Step {
    /// As a line of a shell, behind one that says in logs what it is for.
    pub(super) fn line(&self) -> String {
        format!("# {}\n{}", self.what, shell_line(&self.program))
    }
}

/// All are cloned before anything of one of them is run: what an installation leaves behind must not meet the
/// token of another repository.
pub(super) fn in_order(code: Vec<Clone>) -> impl Iterator<Item = Step> {
    let (clones, installs): (Vec<_>, Vec<_>) = code
        .into_iter()
        .map(|code| (code.clone, code.install))
        .unzip();
    clones.into_iter().chain(installs.into_iter().flatten())
}

fn shell_line(program: &Program) -> String {
    match program {
        Program::Shell(line) => line.clone(),
        Program::Argv(argv) => {
            let quoted = |text: &String| format!("'{}'", text.replace('\'', "'\\''"));
            argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
        }
    }
}

/// One repository.
pub(super) struct Clone {
    clone: Step,
    /// It may be anybody's code, so it never runs with the token.
    install: Option<Step>,
}

/// Into the home directory, from the outside.
pub(super) fn clone(who: &Who, mount: &wire::CodeMount) -> Result<Clone, Refused> {
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
    let git_ref = mount.git_ref.as_deref().unwrap_or_default();
    if git_ref.starts_with('-') {
        return Err(Refused::invalid(
            "git_ref",
            "is no name of a commit or branch",
        ));
    }
    let name = format!("{}/{}", mount.repo_owner, mount.repo_name);
    let step = |verb: &str, program, env| Step {
        what: format!("{verb} {name}"),
        program,
        env,
    };
    let token = mount.token.as_deref().map(token).transpose()?.flatten();
    let install = mount.install_command.as_deref().unwrap_or_default();
    let install = (!install.trim().is_empty()).then(|| argv(&[INSTALL, "sh", &place, install]));
    Ok(Clone {
        clone: step("clone", argv(&[CLONE, "sh", &place, &url, git_ref]), token),
        install: install.map(|program| step("install", program, None)),
    })
}

fn argv(of_shell: &[&str]) -> Program {
    let all = ["sh", "-c"].iter().chain(of_shell);
    Program::Argv(all.map(|text| (*text).to_owned()).collect())
}

/// An empty one is none.
fn token(text: &str) -> Result<Option<SecretEnv>, Refused> {
    if text.is_empty() {
        return Ok(None);
    }
    // A line break would be another line of the helper's answer.
    let token = SecretValue::new(text.to_owned()).ok();
    let token = token.filter(SecretValue::is_plain_line);
    let token =
        token.ok_or_else(|| Refused::invalid("token", "is one line without a space at an end"))?;
    let values = BTreeMap::from([(TOKEN.to_owned(), token.expose().to_owned())]);
    Ok(Some(SecretEnv::new(values)))
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

    #[test]
    fn a_token_is_for_its_clone_and_in_no_text() {
        let mount = json!({
            "repo_owner": "a", "repo_name": "b", "token": "ghp_hunter2", "install_command": "make",
        });
        let plain = json!({ "repo_owner": "a", "repo_name": "c", "token": "" });
        let made = asked(json!({ "code_mounts": [plain, mount] })).expect("legal");
        assert_eq!(made.more.setup.once.len(), 3);
        let env = &made.setup_secrets[&1];
        assert_eq!(env.values()["PINFOLD_GIT_TOKEN"], "ghp_hunter2");
        assert_eq!(made.setup_secrets.len(), 1);
        let json = serde_json::to_string(&made).expect("plain data");
        assert!(!format!("{made:?}{json}").contains("hunter2"));
        for bad in ["hunter2\nb", " hunter2", "hunter2\0"] {
            let mount = json!({ "repo_owner": "a", "repo_name": "b", "token": bad });
            let refused = asked(json!({ "code_mounts": [mount] })).expect_err("no token");
            assert!(!format!("{refused:?}").contains("hunter2"), "{bad:?}");
        }
    }

    #[test]
    fn all_is_cloned_before_anything_of_it_is_run() {
        let mount = |name: &str| {
            json!({
                "repo_owner": "a", "repo_name": name, "token": format!("of-{name}"),
                "install_command": "make",
            })
        };
        let named = json!({ "type": "code_mount", "repo_owner": "a", "repo_name": "z" });
        let code = [mount("b"), mount("c")];
        let made = asked(json!({ "mounts": [named], "code_mounts": code })).expect("legal");
        let once = &made.more.setup.once;
        let is_clone = |program: &Program| matches!(program, Program::Argv(argv) if argv.contains(&CLONE.to_owned()));
        let clones: Vec<_> = once.iter().map(is_clone).collect();
        assert_eq!(clones, [true, true, true, false, false]);
        let tokens = made.setup_secrets.iter();
        let tokens = tokens.map(|(place, env)| (*place, env.values()[TOKEN].clone()));
        let tokens: Vec<_> = tokens.collect();
        assert_eq!(tokens, [(1, "of-b".to_owned()), (2, "of-c".to_owned())]);
    }

    #[test]
    fn a_line_of_a_shell_says_what_its_arguments_say() {
        let program = Program::Argv(
            ["printf", "%s|", "a b", "it's", "$x", ""]
                .map(str::to_owned)
                .into(),
        );
        let line = shell_line(&program);
        assert_eq!(line, r"'printf' '%s|' 'a b' 'it'\''s' '$x' ''");
    }
}
