//! Live sandboxes: one owner task each, the view it publishes, and the commands in it.
//!
//! ```text
//! use case --Change--> mailbox --> Owner (one change at a time) --> Driver, Store
//!    |                               | publishes
//!    +------ reads without waiting --+-> View { sandbox, Link } <-- each command's task waits here
//! ```
//! The owner never waits for a command: commands hold a [`Lease`] of the guest and run beside it.

mod activity;
mod command;
mod early;
mod endings;
mod farewell;
mod follow;
mod lease;
mod main_command;
mod meter;
mod once;
mod owner;
mod pauses;
mod registry;
mod rootfs;
mod sandbox;
mod setup;
mod stdin;
mod supervise;
mod view;

pub(crate) use activity::{Activity, Use};
pub(crate) use command::{LiveCommand, has_ended};
pub(crate) use early::Early;
pub(crate) use endings::{Ending, endings};
pub(crate) use lease::Lease;
pub(crate) use owner::{Birth, adopt};
pub(crate) use registry::Registry;
pub(crate) use rootfs::boot_spec;
pub(crate) use sandbox::{Change, DiskCopy, LiveSandbox, Unwoken};
pub(crate) use supervise::{drop_input, supervise};
pub(crate) use view::{Link, View};
