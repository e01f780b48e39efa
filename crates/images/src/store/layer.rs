//! What the store remembers of one layer beside its tree.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use pinfold_model::Digest;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::unpack::Report;

const FILE_NAME: &str = "layer.json";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) diff_id: Digest,
    pub(crate) report: Report,
}

impl LayerRecord {
    pub(super) fn read(layer_dir: &Path) -> Result<Option<Self>, StoreError> {
        let failed = "reading a layer's record";
        match fs::read(layer_dir.join(FILE_NAME)) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|error| StoreError::new(failed)(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::new(failed)(error)),
        }
    }

    pub(super) fn write(&self, layer_dir: &Path) -> io::Result<()> {
        let mut file = File::create_new(layer_dir.join(FILE_NAME))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()
    }
}
