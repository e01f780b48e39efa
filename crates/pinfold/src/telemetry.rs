//! Logs on stderr and metrics for Prometheus. No secret is ever logged.

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// What to log, in the form of `RUST_LOG`: `info`, `debug`, `pinfold_engine=trace`.
pub(crate) const LOG_VARIABLE: &str = "PINFOLD_LOG";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Human,
    /// One JSON object a line
    Json,
}

/// Libraries that are logged only by who names them, and how much else. The one of MCP tells whole
/// messages at `debug`: files, environments, tokens of previews. Those of SSH tell at `error` what any
/// client sends that is wrong.
const SILENT: [(&str, &str); 3] = [("rmcp", "error"), ("russh", "off"), ("russh_sftp", "off")];

fn filter(text: &str) -> Result<EnvFilter> {
    let filter = EnvFilter::try_new(text);
    let mut filter = filter.with_context(|| format!("{LOG_VARIABLE}={text:?} is no log filter"))?;
    for (library, level) in SILENT {
        if !text.contains(library) {
            let silent = format!("{library}={level}").parse().expect("a directive");
            filter = filter.add_directive(silent);
        }
    }
    Ok(filter)
}

/// Logs of a server.
pub(crate) fn log(format: LogFormat) -> Result<()> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) => filter(&text)?,
        Err(_) => filter("info,sqlx=warn,hyper=warn")?,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => builder.with_ansi(stderr_is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Logs of a command: nothing but warnings, unless asked.
pub(crate) fn quiet() {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(stderr_is_terminal());
    match std::env::var(LOG_VARIABLE)
        .ok()
        .and_then(|text| filter(&text).ok())
    {
        Some(filter) => builder.with_env_filter(filter).init(),
        None => builder
            .without_time()
            .with_target(false)
            .with_max_level(LevelFilter::WARN)
            .init(),
    }
}

/// Installs the recorder of metrics; what it returns renders them in Prometheus' text format.
pub(crate) fn metrics() -> Result<Arc<dyn Fn() -> String + Send + Sync>> {
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .context("cannot record metrics")?;
    Ok(Arc::new(move || {
        handle.run_upkeep();
        handle.render()
    }))
}

fn stderr_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
