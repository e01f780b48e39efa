//! `pinfold-guest`: the guest as a program of its own, for whatever boots one by executing it. The spawner
//! does not: its child becomes the guest. See the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    match pinfold_guest::Sockets::inherited().and_then(pinfold_guest::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinfold-guest: {error}");
            ExitCode::FAILURE
        }
    }
}
