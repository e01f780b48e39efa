//! Between the wire's structs and the domain's: pure functions, one module per thing.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod build;
pub(crate) mod code;
pub(crate) mod command;
pub(crate) mod file;
pub(crate) mod image;
pub(crate) mod journal;
pub(crate) mod network_policy;
pub(crate) mod object;
pub(crate) mod pipeline;
pub(crate) mod preview;
pub(crate) mod quantity;
pub(crate) mod sandbox;
pub(crate) mod secret;
pub(crate) mod ssh_key;
pub(crate) mod template;
pub(crate) mod usage;
