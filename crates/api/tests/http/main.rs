//! The native API over a real engine and store. No sandbox boots here: what is checked is the edge
//! (who may, what is refused, what is described), with sandboxes and commands as an earlier server
//! left them.

mod access;
mod document;
mod objects;
mod requests;
mod scopes;
mod secrets;
mod world;
