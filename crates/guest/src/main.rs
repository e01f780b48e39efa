//! `pinfold-guest`: PID 1 of every sandbox. See the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    match pinfold_guest::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinfold-guest: {error}");
            ExitCode::FAILURE
        }
    }
}
