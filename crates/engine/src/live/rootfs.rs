//! From an image to directories that a driver can mount.

use pinfold_model::Image;
use pinfold_runtime::driver::{BootError, RootFs};

use crate::engine::Shared;

pub(super) fn root_fs(shared: &Shared, image: &Image) -> Result<RootFs, BootError> {
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
