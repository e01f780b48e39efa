//! The addresses of previews: `SLUG.DOMAIN` and `/p/SLUG/`, and their traffic to ports inside.
//!
//! ```text
//! request -> route: whose is it? -> API router
//!              | a preview's
//!            access: credentials judged by the engine, and taken out -> 401, 403, a browser's session
//!              | may
//!            exchange: visit (sandbox runs, in use) -> pooled or dialed connection -> head -> bodies
//! ```
//! Both ends are hostile: the caller outside and the application inside. Neither sees what is not
//! meant for it (platform credentials here, other previews' cookies there), heads have bounds and
//! deadlines, bodies flow without being held. Who may use a preview is the engine's to say.

mod access;
mod address;
mod body;
mod cookie;
mod exchange;
mod failure;
mod limits;
mod pool;
mod proxy;
mod request;
mod response;
mod route;
mod tunnel;

pub use limits::Limits;
pub use route::serve_with_previews;
