//! Where a copy takes its files.

use pinfold_images::Selection;
use pinfold_model::Image;

pub(super) enum Source {
    /// The Dockerfile holds them, or it is no copy.
    None,
    Context(Box<Selection>),
    /// An earlier stage of the plan.
    Stage(usize),
    Image(Box<Image>),
}
