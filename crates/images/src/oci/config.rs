//! An image's configuration (opencontainers/image-spec, config.md) in our words. No I/O.

use std::collections::BTreeMap;

use oci_spec::image::{Arch, Config, ImageConfiguration, Os};
use pinfold_model::{Digest, ImageConfig};

use crate::error::ImportError;

/// What an import needs of the configuration.
#[derive(Debug)]
pub(super) struct Configuration {
    /// Lowest layer first.
    pub(super) diff_ids: Vec<Digest>,
    pub(super) image: ImageConfig,
}

pub(super) fn parse(json: &[u8], architecture: &Arch) -> Result<Configuration, ImportError> {
    let parsed: ImageConfiguration =
        serde_json::from_slice(json).map_err(|error| problem(error.to_string()))?;
    if *parsed.os() != Os::Linux || parsed.architecture() != architecture {
        let shown = format!("{}/{}", parsed.os(), parsed.architecture());
        return Err(ImportError::OtherPlatform {
            wanted: format!("linux/{architecture}"),
            present: shown
                .chars()
                .filter(|c| !c.is_control())
                .take(100)
                .collect(),
        });
    }
    let diff_ids = parsed.rootfs().diff_ids().iter().map(|id| diff_id(id));
    Ok(Configuration {
        diff_ids: diff_ids.collect::<Result<_, _>>()?,
        image: parsed.config().as_ref().map(image).unwrap_or_default(),
    })
}

fn diff_id(text: &str) -> Result<Digest, ImportError> {
    text.parse()
        .map_err(|_| problem("a diff id is no sha256 digest".to_owned()))
}

fn image(config: &Config) -> ImageConfig {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ImageConfig {
        env: environment(config.env().as_deref().unwrap_or_default()),
        user: set(config.user()),
        workdir: set(config.working_dir()),
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        labels: config
            .labels()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
        exposed_ports: config.exposed_ports().clone().unwrap_or_default(),
    }
}

/// `NAME=VALUE` each; a name alone sets nothing, as container runtimes treat it.
fn environment(pairs: &[String]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn problem(problem: String) -> ImportError {
    ImportError::Layout {
        document: "the configuration".to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_absent_parts_are_defaults() {
        let arch = Arch::default();
        let json = format!(
            r#"{{"architecture":"{arch}","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},
                "config":{{"Env":null,"Cmd":null,"Labels":null,"User":"","Volumes":null,
                "ExposedPorts":null}}}}"#
        );
        let parsed = parse(json.as_bytes(), &Arch::default()).expect("valid");
        assert_eq!(parsed.image, ImageConfig::default());
    }

    #[test]
    fn other_systems_and_architectures_are_refused_by_name() {
        let json =
            r#"{"architecture":"s390x","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let error = parse(json.as_bytes(), &Arch::default()).expect_err("foreign");
        assert!(error.to_string().contains("linux/s390x"), "{error}");
    }

    #[test]
    fn values_may_hold_equals_signs() {
        let env = environment(&["A=b=c".to_owned(), "B".to_owned(), "=x".to_owned()]);
        assert_eq!(env, BTreeMap::from([("A".to_owned(), "b=c".to_owned())]));
    }
}
