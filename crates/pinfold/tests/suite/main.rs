//! The program as people and scripts use it: the real binary, real sandboxes, as root.

mod bad_input;
mod client;
mod leftovers;
mod pipeline;
mod rootless;
mod run_ending;
mod run_network;
mod run_stdio;
mod run_terminal;
mod run_view;
mod secrets;
mod server;
mod world;
