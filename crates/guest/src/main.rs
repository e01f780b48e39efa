//! `pinfold-guest`: the guest as a program of its own, for whatever boots one by executing it. The spawner
//! does not: its child becomes the guest. See the library for what it does.

use std::process::ExitCode;

use pinfold_guest::Sockets;
use pinfold_sys::process::SingleThreaded;
use pinfold_sys::spawn::Sharing;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinfold-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> std::io::Result<()> {
    let sockets = Sockets::inherited()?;
    pinfold_guest::serve(SingleThreaded::claim()?, Sharing::found(), sockets)
}
