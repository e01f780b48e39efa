//! Importing one tar of a root filesystem.

use std::io::Read;

use pinfold_model::{ImageConfig, ImageSource};

use crate::codec::decompressed;
use crate::error::ImportError;
use crate::import::{Imported, Importer};
use crate::progress::{Meter, Metered};
use crate::unpack::Kind;

const BUFFER_BYTES: usize = 1 << 20;

pub(crate) fn import(
    importer: &Importer<'_>,
    source: impl Read,
    meter: &mut Meter<'_>,
) -> Result<Imported, ImportError> {
    let lease = importer.store.lease()?;
    meter.report().map_err(ImportError::read)?;
    let counted = Metered::new(source, &mut *meter);
    let buffered = std::io::BufReader::with_capacity(BUFFER_BYTES, counted);
    let layer = importer.unpack_layer(decompressed(buffered)?, Kind::Rootfs)?;
    meter.report().map_err(ImportError::read)?;
    let record = importer.keep(layer)?;
    Ok(Imported {
        source: ImageSource::Tar,
        layers: vec![record.diff_id],
        config: ImageConfig::default(),
        size_bytes: record.report.size_bytes,
        report: record.report,
        lease,
    })
}
