//! Images.

use pinfold_engine::{Credentials, ImagePull, PullImage, PullPhase, Share, TakeSnapshot};
use pinfold_model::{Error, Image, ImageSource, Result};
use pinfold_wire as wire;

use super::quantity::time;

/// An image as the native API shows it.
#[must_use]
pub fn to_wire(image: Image) -> wire::Image {
    let config = image.config;
    let (mut reference, mut manifest_digest) = (None, None);
    let (mut sandbox_id, mut base_id, mut build_id) = (None, None, None);
    let source = match image.source {
        ImageSource::Host => wire::ImageSource::Host,
        ImageSource::Tar => wire::ImageSource::Tar,
        ImageSource::OciLayout => wire::ImageSource::OciLayout,
        ImageSource::Registry {
            reference: pulled,
            digest,
            ..
        } => {
            reference = Some(pulled);
            manifest_digest = Some(digest.into());
            wire::ImageSource::Registry
        }
        ImageSource::Snapshot { sandbox, base, .. } => {
            sandbox_id = Some(sandbox.into());
            base_id = Some(base.into());
            wire::ImageSource::Snapshot
        }
        ImageSource::Build { build, base, .. } => {
            build_id = Some(build.into());
            base_id = base.map(Into::into);
            wire::ImageSource::Build
        }
    };
    wire::Image {
        id: image.id.into(),
        project_id: image.project.map(Into::into),
        names: image.names.into_iter().map(Into::into).collect(),
        source,
        reference,
        manifest_digest,
        sandbox_id,
        build_id,
        base_id,
        layers: image.layers.into_iter().map(Into::into).collect(),
        config: wire::ImageConfig {
            env: config.env,
            user: config.user,
            workdir: config.workdir,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            labels: config.labels,
            exposed_ports: config.exposed_ports,
        },
        size_bytes: image.size_bytes,
        created_at: time(image.created_at),
    }
}

pub(crate) fn snapshot_from_wire(request: wire::TakeSnapshot) -> Result<TakeSnapshot> {
    Ok(TakeSnapshot {
        name: request.name.map(|name| name.parse()).transpose()?,
        labels: request.labels,
    })
}

pub(crate) fn pull_from_wire(pull: wire::PullImage) -> Result<PullImage> {
    let credentials = match (pull.username, pull.password, pull.token) {
        (None, None, None) => None,
        (Some(username), Some(password), None) => Some(Credentials::Basic { username, password }),
        (None, None, Some(token)) => Some(Credentials::Bearer(token)),
        _ => {
            return Err(Error::invalid(
                "username",
                "give username and password, or token, or none of them",
            ));
        }
    };
    Ok(PullImage {
        reference: pull.reference,
        name: pull.name.map(|name| name.parse()).transpose()?,
        platform: pull.platform,
        credentials,
        insecure: pull.insecure,
        share: match pull.shared {
            true => Share::Everyone,
            false => Share::Project,
        },
    })
}

pub(crate) fn pull_to_wire(pull: ImagePull) -> wire::ImagePull {
    let layers = pull
        .progress
        .layers
        .into_iter()
        .map(|layer| wire::LayerProgress {
            digest: layer.digest.into(),
            downloaded_bytes: layer.downloaded_bytes,
            total_bytes: layer.total_bytes,
        });
    let (state, image, error) = match pull.ending {
        None => (phase(pull.progress.phase), None, None),
        Some(Ok(image)) => (wire::PullState::Done, Some(to_wire(image)), None),
        Some(Err(failure)) => {
            let error = wire::PullFailure {
                code: failure.code.as_str().to_owned(),
                message: failure.message,
            };
            (wire::PullState::Failed, None, Some(error))
        }
    };
    wire::ImagePull {
        id: pull.id.into(),
        reference: pull.reference,
        name: pull.name.into(),
        state,
        layers: layers.collect(),
        unpacked_bytes: pull.progress.unpacked_bytes,
        image,
        error,
    }
}

fn phase(phase: PullPhase) -> wire::PullState {
    match phase {
        PullPhase::Resolving => wire::PullState::Resolving,
        PullPhase::Downloading => wire::PullState::Downloading,
        PullPhase::Unpacking => wire::PullState::Unpacking,
    }
}
