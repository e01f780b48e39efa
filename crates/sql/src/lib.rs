//! SQLite databases whose SQL is brought by others, one file each.
//!
//! Owns what such SQL may do, and what it may take: time, memory, disk, stack and room in an answer. Knows
//! neither whose a file is nor who asks.
//!
//! ```text
//! Database::query, ::batch --> a thread of its own --> Allowance (memory, time)
//!                                   |                       Guard (authorizer: what may be done)
//!                                   +--> a connection of its own, with limits --> the file
//! ```
//! A connection lives for one request, so nothing of a request is left but what it committed; and a process
//! that is killed amid one leaves a journal, which the next request rolls back.

mod bounds;
mod database;
mod error;
mod functions;
mod guard;
mod value;

pub use bounds::Bounds;
pub use database::{Answer, Column, Database, Statement};
pub use error::{Denied, SqlError};
pub use pinfold_sys::sqlite::{TooLate, bound_memory};
pub use value::Value;
