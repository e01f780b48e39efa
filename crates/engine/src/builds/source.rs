//! Where a copy takes its files.

use std::sync::Arc;

use pinfold_images::Context;
use pinfold_model::Image;

pub(super) enum Source {
    /// The Dockerfile holds them, or it is no copy.
    None,
    /// What it selects of this is found out again when it is made: a build may hold thousands of
    /// copies, and each may select all of it.
    Context(Arc<Context>),
    /// An earlier stage of the plan.
    Stage(usize),
    Image(Box<Image>),
}
