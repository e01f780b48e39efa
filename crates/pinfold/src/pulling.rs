//! A pull as people see it: a bar for each layer on stderr, where that is a terminal.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pinfold_engine::{Engine, PullImage, PullPhase, PullProgress};
use pinfold_model::{Ctx, Image};

/// Between two looks at a pull.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Characters of a digest that tell layers apart.
const DIGEST_SHOWN_CHARS: usize = 12;

/// How far a pull is.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) layers: Vec<Layer>,
    /// Compressed bytes, while it unpacks.
    pub(crate) unpacked: Option<u64>,
}

/// One layer's download, in bytes.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) digest: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// What is drawn.
pub(crate) struct Bars {
    all: MultiProgress,
    title: ProgressBar,
    layers: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    pub(crate) fn new(reference: &str) -> Self {
        let all = MultiProgress::with_draw_target(match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        let title = all.add(ProgressBar::new_spinner());
        title.set_message(format!("pulling {reference}"));
        title.enable_steady_tick(LOOK_EVERY);
        Self {
            all,
            title,
            layers: Mutex::default(),
        }
    }

    pub(crate) fn show(&self, state: &State) {
        let mut bars = self.layers.lock().expect("no panic under this lock");
        for layer in &state.layers {
            let bar = bars
                .entry(layer.digest.clone())
                .or_insert_with(|| self.all.add(layer_bar(layer)));
            bar.set_position(layer.done);
        }
        if let Some(unpacked) = state.unpacked {
            self.title
                .set_message(format!("unpacking ({})", crate::output::bytes(unpacked)));
        }
    }

    pub(crate) fn clear(&self) {
        // What cannot be cleared stays on the screen and harms nothing.
        let _ = self.all.clear();
    }
}

fn layer_bar(layer: &Layer) -> ProgressBar {
    let template = "{msg}  {bar:30}  {bytes} of {total_bytes}";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let bar = ProgressBar::new(layer.total).with_style(style);
    let hex = layer.digest.rsplit(':').next().unwrap_or_default();
    bar.with_message(hex.chars().take(DIGEST_SHOWN_CHARS).collect::<String>())
}

/// Pulls with an engine of this process.
pub(crate) async fn watched(engine: &Engine, ctx: &Ctx, pull: PullImage) -> Result<Image> {
    let bars = Bars::new(&pull.reference);
    let mut state = engine.start_pull(ctx, pull).await?;
    let ending = loop {
        bars.show(&of_engine(&state.progress));
        match state.ending {
            Some(ending) => break ending,
            None => state = engine.get_pull(ctx, &state.id, LOOK_EVERY).await?,
        }
    };
    bars.clear();
    Ok(ending.map_err(pinfold_model::Error::from)?)
}

fn of_engine(progress: &PullProgress) -> State {
    let layers = progress.layers.iter().map(|layer| Layer {
        digest: layer.digest.to_string(),
        done: layer.downloaded_bytes,
        total: layer.total_bytes,
    });
    State {
        layers: layers.collect(),
        unpacked: (progress.phase == PullPhase::Unpacking).then_some(progress.unpacked_bytes),
    }
}
