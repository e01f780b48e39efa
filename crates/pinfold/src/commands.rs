//! One file for each command: its options, and what it does with them.

pub(crate) mod audit;
pub(crate) mod completion;
pub(crate) mod doctor;
pub(crate) mod images;
pub(crate) mod keys;
pub(crate) mod mcp;
pub(crate) mod objects;
pub(crate) mod pipeline;
pub(crate) mod preview;
pub(crate) mod projects;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod templates;
pub(crate) mod usage;
pub(crate) mod version;
