//! Boots sandboxes and talks to their guests.
//!
//! A [`driver::Driver`] boots a guest and hands over a stream; [`guest::Guest`] is the host's end of
//! that stream; [`journal`] keeps what commands write. This crate knows nothing of databases,
//! tenants or HTTP.

pub mod driver;
pub mod guest;
pub mod journal;
pub mod namespace;

pub use pinfold_sys::default_path;
