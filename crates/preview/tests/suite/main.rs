//! Previews over real sockets: SDK, native API, both kinds of addresses, and an application in a real
//! sandbox on the image `host` (python3).

mod access;
mod addresses;
mod client;
mod endings;
mod hostile_inside;
mod hostile_outside;
mod traffic;
mod websocket;
mod world;
