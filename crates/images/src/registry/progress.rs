//! How far a pull is. Readers see the latest state, never a queue of them.

use std::sync::Arc;

use pinfold_model::Digest;
use tokio::sync::watch;

/// Bytes of a layer between two reports.
const REPORT_EVERY_BYTES: u64 = 256 << 10;

/// What a pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPhase {
    /// Waiting for its turn, or asking the registry what the reference means.
    #[default]
    Resolving,
    Downloading,
    /// Checking and unpacking what was downloaded.
    Unpacking,
}

/// The state of a pull.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PullProgress {
    pub phase: PullPhase,
    /// Lowest first; empty until the manifest is known.
    pub layers: Vec<LayerProgress>,
    /// Compressed bytes that are unpacked.
    pub unpacked_bytes: u64,
}

/// One layer's download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProgress {
    /// Of the compressed layer.
    pub digest: Digest,
    pub downloaded_bytes: u64,
    pub total_bytes: u64,
}

/// Where a pull reports to. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reporter(pub(super) Arc<watch::Sender<PullProgress>>);

impl Reporter {
    pub(super) fn phase(&self, phase: PullPhase) {
        self.0.send_modify(|progress| progress.phase = phase);
    }

    pub(super) fn layers(&self, layers: Vec<LayerProgress>) {
        self.0.send_modify(|progress| progress.layers = layers);
    }

    pub(super) fn unpacked(&self, bytes: u64) {
        self.0
            .send_modify(|progress| progress.unpacked_bytes = bytes);
    }

    /// Of the layer at that place.
    pub(super) fn layer(&self, place: usize) -> LayerReporter {
        LayerReporter {
            reporter: self.clone(),
            place,
            told: 0,
        }
    }
}

/// Where the download of one blob reports to.
#[derive(Debug)]
pub(super) struct LayerReporter {
    reporter: Reporter,
    place: usize,
    told: u64,
}

impl LayerReporter {
    /// Tells where the download is, unless it was there a moment ago.
    pub(super) fn at(&mut self, bytes: u64, total: u64) {
        if bytes < total && bytes.abs_diff(self.told) < REPORT_EVERY_BYTES {
            return;
        }
        self.told = bytes;
        let place = self.place;
        self.reporter.0.send_modify(|progress| {
            if let Some(layer) = progress.layers.get_mut(place) {
                layer.downloaded_bytes = bytes;
            }
        });
    }
}
