//! Images.

use pinfold_model::{Image, ImageSource};
use pinfold_wire as wire;

use super::quantity::time;

pub(crate) fn to_wire(image: Image) -> wire::Image {
    let config = image.config;
    wire::Image {
        id: image.id.into(),
        project_id: image.project.map(Into::into),
        names: image.names.into_iter().map(Into::into).collect(),
        source: match image.source {
            ImageSource::Host => wire::ImageSource::Host,
            ImageSource::Tar => wire::ImageSource::Tar,
            ImageSource::OciLayout => wire::ImageSource::OciLayout,
        },
        layers: image.layers.into_iter().map(Into::into).collect(),
        config: wire::ImageConfig {
            env: config.env,
            user: config.user,
            workdir: config.workdir,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            labels: config.labels,
        },
        size_bytes: image.size_bytes,
        created_at: time(image.created_at),
    }
}
