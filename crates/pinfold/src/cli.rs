//! The tree of commands and options. What they do stands in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one command in a sandbox of its own; no server needed
    Run(run::RunArgs),
    /// Serve the HTTP API
    Serve(serve::ServeArgs),
    /// Sandboxes of a server
    #[command(subcommand, visible_alias = "sandboxes")]
    Sandbox(sandbox::SandboxCommand),
    /// Runs of markdown documents with bash steps
    #[command(subcommand, visible_alias = "pipelines")]
    Pipeline(pipeline::PipelineCommand),
    /// Addresses outside that reach a port inside
    #[command(subcommand, visible_alias = "previews")]
    Preview(preview::PreviewCommand),
    /// What sandboxes boot from
    #[command(subcommand, visible_alias = "image")]
    Images(images::ImagesCommand),
    /// Named recipes for sandboxes
    #[command(subcommand, visible_alias = "template")]
    Templates(templates::TemplatesCommand),
    /// Named blobs that outlive their sandbox
    #[command(subcommand, visible_alias = "object")]
    Objects(objects::ObjectsCommand),
    /// Values that sandboxes use and never see
    #[command(subcommand, visible_alias = "secret")]
    Secrets(secrets::SecretsCommand),
    /// API keys
    #[command(subcommand, visible_alias = "key")]
    Keys(keys::KeysCommand),
    /// Projects and their quotas
    #[command(subcommand, visible_alias = "project")]
    Projects(projects::ProjectsCommand),
    /// Serve an MCP client over stdin and stdout with the tools of a server
    Mcp,
    /// What the project has used
    Usage(usage::UsageArgs),
    /// Who did what
    Audit(audit::AuditArgs),
    /// What this machine can enforce, and what is weaker
    #[command(visible_alias = "isolation")]
    Doctor(doctor::DoctorArgs),
    /// A completion script for a shell
    Completion(completion::CompletionArgs),
    /// The version of this program, and of the server if one answers
    Version(version::VersionArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_keeps_its_own_options() {
        let cli = Cli::try_parse_from(["pinfold", "run", "--memory", "1g", "--", "ls", "--memory"])
            .expect("valid");
        let Command::Run(run) = cli.command else {
            panic!("not run")
        };
        assert_eq!(run.command, ["ls", "--memory"]);
        let cli = Cli::try_parse_from(["pinfold", "run", "ls", "-la"]).expect("valid");
        let Command::Run(run) = cli.command else {
            panic!("not run")
        };
        assert_eq!(run.command, ["ls", "-la"]);
    }
}
