//! The tree of commands and options. What they do stands in `commands`.

use std::cell::Cell;
use std::path::PathBuf;

use clap::error::Error as ParseError;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    audit, completion, doctor, images, keys, objects, pipeline, preview, projects, run, sandbox,
    secrets, serve, templates, usage, version,
};

/// Isolated Linux sandboxes for AI agents, on machines that you own.
#[derive(Debug, Parser)]
#[command(
    name = "pinfold",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where things are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where things are")]
pub(crate) struct Global {
    /// What an installation keeps [default: /var/lib/pinfold as root, else in the XDG data directory]
    #[arg(long, global = true, value_name = "DIR", env = "PINFOLD_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// The server to talk to [default: that of the data directory, else http://127.0.0.1:7070]
    #[arg(long, global = true, value_name = "URL", env = "PINFOLD_URL")]
    pub(crate) url: Option<String>,

    /// PostgreSQL in place of the data directory's SQLite file
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "PINFOLD_DATABASE",
        hide_env_values = true
    )]
    pub(crate) database: Option<String>,
}

/// A part of the tree that is made when somebody goes there: the whole of it takes longer than a short
/// command.
#[derive(Debug)]
pub(crate) struct Late<T>(pub(crate) T);

thread_local! {
    static WHOLE: Cell<bool> = const { Cell::new(false) };
}

/// The whole tree, for those who look at all of it.
pub(crate) fn whole() -> clap::Command {
    WHOLE.set(true);
    let tree = Cli::command();
    WHOLE.set(false);
    tree
}

fn late(command: clap::Command, make: fn(clap::Command) -> clap::Command) -> clap::Command {
    match WHOLE.get() {
        true => make(command),
        false => command.defer(make),
    }
}

/// What a command is for is said where it stands in the tree, and not by the parts that it is made of.
fn named(command: clap::Command, make: fn(clap::Command) -> clap::Command) -> clap::Command {
    let about = command.get_about().cloned().unwrap_or_default();
    let long_about = command.get_long_about().cloned();
    let made = make(command).about(about);
    match long_about {
        Some(long_about) => made.long_about(long_about),
        None => made.long_about(None),
    }
}

impl<T: FromArgMatches> FromArgMatches for Late<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, ParseError> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, ParseError> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), ParseError> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Late<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        late(command, |command| named(command, T::augment_args))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Subcommand> Subcommand for Late<T> {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        late(command, |command| named(command, T::augment_subcommands))
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        T::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one command in a sandbox of its own; no server needed
    Run(Late<run::RunArgs>),
    /// Serve the HTTP API
    Serve(Late<serve::ServeArgs>),
    /// Sandboxes of a server
    #[command(subcommand, visible_alias = "sandboxes")]
    Sandbox(Late<sandbox::SandboxCommand>),
    /// Runs of markdown documents with bash steps
    #[command(subcommand, visible_alias = "pipelines")]
    Pipeline(Late<pipeline::PipelineCommand>),
    /// Addresses outside that reach a port inside
    #[command(subcommand, visible_alias = "previews")]
    Preview(Late<preview::PreviewCommand>),
    /// What sandboxes boot from
    #[command(subcommand, visible_alias = "image")]
    Images(Late<images::ImagesCommand>),
    /// Named recipes for sandboxes
    #[command(subcommand, visible_alias = "template")]
    Templates(Late<templates::TemplatesCommand>),
    /// Named blobs that outlive their sandbox
    #[command(subcommand, visible_alias = "object")]
    Objects(Late<objects::ObjectsCommand>),
    /// Values that sandboxes use and never see
    #[command(subcommand, visible_alias = "secret")]
    Secrets(Late<secrets::SecretsCommand>),
    /// API keys
    #[command(subcommand, visible_alias = "key")]
    Keys(Late<keys::KeysCommand>),
    /// Projects and their quotas
    #[command(subcommand, visible_alias = "project")]
    Projects(Late<projects::ProjectsCommand>),
    /// Serve an MCP client over stdin and stdout with the tools of a server
    Mcp,
    /// What the project has used
    Usage(Late<usage::UsageArgs>),
    /// Who did what
    Audit(Late<audit::AuditArgs>),
    /// What this machine can enforce, and what is weaker
    #[command(visible_alias = "isolation")]
    Doctor(Late<doctor::DoctorArgs>),
    /// A completion script for a shell
    Completion(Late<completion::CompletionArgs>),
    /// The version of this program, and of the server if one answers
    Version(Late<version::VersionArgs>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
        whole().debug_assert();
    }

    #[test]
    fn a_command_keeps_its_own_options() {
        let cli = Cli::try_parse_from(["pinfold", "run", "--memory", "1g", "--", "ls", "--memory"])
            .expect("valid");
        let Command::Run(Late(run)) = cli.command else {
            panic!("not run")
        };
        assert_eq!(run.command, ["ls", "--memory"]);
        let cli = Cli::try_parse_from(["pinfold", "run", "ls", "-la"]).expect("valid");
        let Command::Run(Late(run)) = cli.command else {
            panic!("not run")
        };
        assert_eq!(run.command, ["ls", "-la"]);
    }
}
