//! Builds that an earlier engine left.
//!
//! ```text
//! queued                 -> begins, as whoever asked for it
//! queued, with secrets   -> failed(lost): their values were recorded nowhere
//! queued, its key is no longer valid -> failed(lost)
//! building               -> failed(lost); the next build takes over what it did
//! ```

use pinfold_model::build::BuildState;
use pinfold_model::{Build, Ctx, Principal, Result};

use super::owner;
use crate::Engine;
use crate::keys::principal;

pub(crate) async fn recover(engine: &Engine) -> Result<()> {
    for build in engine.store().builds().list_unfinished().await? {
        match asked_by(engine, &build).await? {
            Some(principal) if may_begin(&build) => {
                owner::start(engine, Ctx::new(principal), build);
            }
            _ => owner::lose(engine.shared(), build),
        }
    }
    Ok(())
}

fn may_begin(build: &Build) -> bool {
    build.state == BuildState::Queued && !build.spec.is_withheld()
}

async fn asked_by(engine: &Engine, build: &Build) -> Result<Option<Principal>> {
    let Some(key) = &build.spec.key else {
        return Ok(Some(Principal {
            org: build.org.clone(),
            project: build.project.clone(),
            ..engine.system_principal()
        }));
    };
    let key = engine.store().keys().get(key).await?;
    let found = key.and_then(|key| principal(&key, engine.now()).ok());
    // A key's project is the one that it builds for.
    Ok(found.filter(|found| found.project == build.project))
}
