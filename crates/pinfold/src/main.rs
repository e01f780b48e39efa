//! `pinfold`: the composition root and the command line.
//!
//! The only place that knows every crate, and where errors end: each command either says on stderr
//! what went wrong or passes a sandboxed command's own ending through.

mod cli;
mod client;
mod commands;
mod compose;
mod download;
mod exit;
mod output;
mod paths;
mod planning;
mod pulling;
mod quota;
mod run;
mod serve;
mod ssh;
mod subnet;
mod telemetry;
mod values;

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use cli::{Cli, Command, Global, Late};
use exit::Ending;

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let own_failure = match command {
        Command::Run(_) => Ending::Ourselves,
        Command::Sandbox(Late(ref sandbox)) if sandbox.runs_a_command() => Ending::Ourselves,
        Command::Pipeline(Late(ref pipeline)) if pipeline.runs_steps() => Ending::Ourselves,
        _ => Ending::Failed,
    };
    match dispatch(&global, command) {
        Ok(ending) => ending.leave(),
        // Nobody reads us any more: not worth a word, and nobody would read it.
        Err(error) if output::is_broken_pipe(&error) => Ending::Failed.leave(),
        Err(error) => {
            output::complain(&error);
            own_failure.leave()
        }
    }
}

fn dispatch(global: &Global, command: Command) -> Result<Ending> {
    match command {
        Command::Run(Late(args)) => alone(commands::run::run(global, args)),
        Command::Serve(Late(args)) => commands::serve::run(global, args),
        Command::Sandbox(Late(command)) => alone(commands::sandbox::run(global, command)),
        Command::Pipeline(Late(command)) => alone(commands::pipeline::run(global, command)),
        Command::Preview(Late(command)) => alone(commands::preview::run(global, command)),
        Command::Images(Late(command)) => alone(commands::images::run(global, command)),
        Command::Templates(Late(command)) => alone(commands::templates::run(global, command)),
        Command::Objects(Late(command)) => alone(commands::objects::run(global, command)),
        Command::Secrets(Late(command)) => alone(commands::secrets::run(global, command)),
        Command::Keys(Late(command)) => alone(commands::keys::run(global, command)),
        Command::Mcp => alone(commands::mcp::run(global)),
        Command::Projects(Late(command)) => alone(commands::projects::run(global, command)),
        Command::Usage(Late(args)) => alone(commands::usage::run(global, args)),
        Command::Audit(Late(args)) => alone(commands::audit::run(global, args)),
        Command::Doctor(Late(args)) => alone(commands::doctor::run(global, args)),
        Command::Completion(Late(args)) => commands::completion::run(&args),
        Command::Version(Late(args)) => alone(commands::version::run(global, args)),
    }
}

/// One thread is enough for one task, and starts sooner.
fn alone(work: impl Future<Output = Result<Ending>>) -> Result<Ending> {
    telemetry::quiet();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(work);
    // Threads that read our stdin may be waiting for ever.
    runtime.shutdown_background();
    result
}
