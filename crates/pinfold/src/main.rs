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

use cli::{Cli, Command, Global};
use exit::Ending;

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let own_failure = match command {
        Command::Run(_) => Ending::Ourselves,
        Command::Sandbox(ref sandbox) if sandbox.runs_a_command() => Ending::Ourselves,
        Command::Pipeline(ref pipeline) if pipeline.runs_steps() => Ending::Ourselves,
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
        Command::Run(args) => alone(commands::run::run(global, args)),
        Command::Serve(args) => commands::serve::run(global, args),
        Command::Sandbox(command) => alone(commands::sandbox::run(global, command)),
        Command::Pipeline(command) => alone(commands::pipeline::run(global, command)),
        Command::Preview(command) => alone(commands::preview::run(global, command)),
        Command::Images(command) => alone(commands::images::run(global, command)),
        Command::Templates(command) => alone(commands::templates::run(global, command)),
        Command::Objects(command) => alone(commands::objects::run(global, command)),
        Command::Secrets(command) => alone(commands::secrets::run(global, command)),
        Command::Keys(command) => alone(commands::keys::run(global, command)),
        Command::Mcp => alone(commands::mcp::run(global)),
        Command::Projects(command) => alone(commands::projects::run(global, command)),
        Command::Usage(args) => alone(commands::usage::run(global, args)),
        Command::Audit(args) => alone(commands::audit::run(global, args)),
        Command::Doctor(args) => alone(commands::doctor::run(global, args)),
        Command::Completion(args) => commands::completion::run(&args),
        Command::Version(args) => alone(commands::version::run(global, args)),
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
