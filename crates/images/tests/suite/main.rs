//! The crate as its callers see it, on real files. Tests that need root say so in what they do:
//! they check the other behaviour where they run as an ordinary user.

mod archive;
mod export;
mod host;
mod hostile;
mod layout;
mod oci;
mod overlay;
mod pull;
mod pull_hostile;
mod real_registry;
mod registry;
mod rootfs;
mod store;
mod world;
