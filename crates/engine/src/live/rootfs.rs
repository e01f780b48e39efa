//! From what a sandbox shall be to what a driver needs to boot it.

use pinfold_model::{Image, Sandbox};
use pinfold_runtime::driver::{BootError, BootSpec, RootFs};

use crate::Lifetime;
use crate::engine::Shared;

pub(crate) fn boot_spec(
    shared: &Shared,
    sandbox: &Sandbox,
    image: &Image,
) -> Result<BootSpec, BootError> {
    let spec = &sandbox.spec;
    Ok(BootSpec {
        id: sandbox.id.clone(),
        root: root_fs(shared, image)?,
        resources: spec.resources,
        network: spec.network,
        hostname: spec.hostname.clone(),
        mounts: spec.mounts.clone(),
        workdir: spec.workdir.clone(),
        user: spec.user.clone(),
        die_with_host: shared.config.lifetime == Lifetime::WithProcess,
    })
}

fn root_fs(shared: &Shared, image: &Image) -> Result<RootFs, BootError> {
    let below = match image.source.is_on_host() {
        true => host(shared)?,
        false => layers(shared, image)?,
    };
    Ok(RootFs {
        disk: image.disk().cloned(),
        ..below
    })
}

fn host(shared: &Shared) -> Result<RootFs, BootError> {
    let Some(root) = &shared.host else {
        return Err(BootError::BadImage(
            "this machine cannot offer the image \"host\"; import one".to_owned(),
        ));
    };
    let binds = root
        .binds
        .iter()
        .map(|bind| (bind.source.clone(), bind.target.clone()));
    Ok(RootFs {
        layers: vec![root.layer_dir.clone()],
        binds: binds.collect(),
        disk: None,
    })
}

fn layers(shared: &Shared, image: &Image) -> Result<RootFs, BootError> {
    let find = |digest| {
        let path = shared.layers.path(digest);
        path.ok_or_else(|| BootError::BadImage(format!("its layer {digest} is missing here")))
    };
    Ok(RootFs {
        layers: image.layers.iter().map(find).collect::<Result<_, _>>()?,
        binds: Vec::new(),
        disk: None,
    })
}
