//! What comes out of a sandbox with network mode `policy`.
//!
//! Such a sandbox has no link to the outside: everything it wants arrives at the two sockets of its
//! gate. Here questions for names are answered, connections are judged and made in its stead, and
//! nothing else happens, so what no rule allows has no way.
//!
//! ```text
//! question   allowed name -> an address of our own that stands for it; else: no such name
//! connection original destination -> name (or address) -> first bytes (TLS, HTTP: whom they name)
//!            -> resolve now -> judge the address -> dial it -> pass bytes
//! ```
//! Where a credential goes with requests to a host, the connection is opened on the way: the sandbox
//! trusts the certificates of its installation, and the host's own is checked here.
//!
//! Names of gateways are answered here and lead nowhere else: a call of one is made in the sandbox's
//! stead, with a secret that it never sees.
//!
//! A name is resolved when it is dialed, so no address that a program has kept or made up says where
//! a connection goes. When the policy changes, connections that it no longer allows are cut.

mod credentials;
mod dns;
mod gate;
mod gateways;
mod names;
mod opening;
mod outside;
mod refusal;
mod secure;
mod tally;
mod tunnel;
mod web;

pub use credentials::{Credentials, NoCredential};
pub use gate::{Added, Egress};
pub use gateways::{Call, Gateways, NoCall};
pub use outside::{Outside, OutsideError};
pub use secure::{Authority, AuthorityError};
pub use tally::{Counts, Refused};
