//! Environment of single commands of a setup, such as the token that a clone needs: sealed from the
//! sandbox's record on, opened for that command alone, forgotten when the setup is over.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinfold_model::{Error, Result, Sandbox, SecretEnv};
use zeroize::Zeroizing;

use crate::engine::Shared;

/// Puts what is sealed into the record that is about to be written. The sandbox has the id it keeps.
pub(crate) fn seal_setup(
    shared: &Shared,
    sandbox: &mut Sandbox,
    secrets: &BTreeMap<usize, SecretEnv>,
) -> Result<()> {
    for (&place, env) in secrets {
        let plain = serde_json::to_vec(env.values()).map_err(Error::internal)?;
        let sealed = shared
            .vault
            .seal(&about(sandbox, place), &Zeroizing::new(plain))?;
        let text = STANDARD.encode(sealed);
        sandbox.spec.more.setup.sealed.insert(place, text);
    }
    Ok(())
}

/// What the command at this place of `once` has in its environment beside what is recorded.
///
/// # Errors
/// `secrets_locked` without the key it was sealed under, `internal` where it was tampered with.
pub(crate) fn setup_env(shared: &Shared, sandbox: &Sandbox, place: usize) -> Result<SecretEnv> {
    let Some(text) = sandbox.spec.more.setup.sealed.get(&place) else {
        return Ok(SecretEnv::default());
    };
    let sealed = STANDARD.decode(text).map_err(Error::internal)?;
    let plain = shared.vault.open_sealed(&about(sandbox, place), &sealed)?;
    let values = serde_json::from_slice(&plain).map_err(Error::internal)?;
    Ok(SecretEnv::new(values))
}

/// Ids have no NUL. Nothing that is sealed for another purpose begins like this.
fn about(sandbox: &Sandbox, place: usize) -> Vec<u8> {
    let (id, project) = (sandbox.id.as_str(), sandbox.project.as_str());
    format!("pinfold setup 1\0{id}\0{project}\0{place}").into_bytes()
}
