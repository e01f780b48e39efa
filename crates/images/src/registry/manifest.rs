//! From a reference to one image manifest: fetched, verified, chosen by platform.

use std::collections::BTreeSet;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use pinfold_model::Digest;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::download::pause;
use super::error::PullError;
use super::platform::Platform;
use super::session::{Session, accept};
use crate::limits::Limits;
use crate::oci::{DescriptorKind, kind_of};
use crate::unpack::digest_of;

const MEDIA_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// Tries of one document, the first included.
const TRIES_MAX: u32 = 3;
/// Indexes within indexes that are followed.
const NESTING_MAX: usize = 4;
/// Platforms listed in an error.
const PLATFORMS_SHOWN_MAX: usize = 20;

/// The manifest of one image, verified.
pub(super) struct Found {
    pub(super) manifest: ImageManifest,
    pub(super) digest: Digest,
    pub(super) json: Vec<u8>,
}

/// What a document is, by its own words or its shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
}

pub(super) async fn find(
    session: &Session,
    platform: &Platform,
    limits: &Limits,
) -> Result<Found, PullError> {
    let mut wanted = session.reference().digest().cloned();
    let mut version = session.reference().version().to_owned();
    for _ in 0..=NESTING_MAX {
        let (json, headers) = document(session, &version, limits).await?;
        let digest = digest_of(&json);
        verify(session, &digest, wanted.as_ref(), &headers)?;
        if !is_index(session, &json, &headers)? {
            let manifest = parse(session, &json, "a manifest")?;
            return Ok(Found {
                manifest,
                digest,
                json,
            });
        }
        let index: ImageIndex = parse(session, &json, "an index")?;
        let next = choose(&index, platform, limits)?;
        let text = next.digest().as_ref().to_owned();
        let digest = text.parse::<Digest>();
        wanted = Some(digest.map_err(|_| not_sha256(session, "an index"))?);
        version = text;
    }
    Err(session.protocol("an index", format!("it nests deeper than {NESTING_MAX}")))
}

pub(super) fn not_sha256(session: &Session, what: &str) -> PullError {
    session.protocol(what, "it names content otherwise than by sha256".to_owned())
}

async fn document(
    session: &Session,
    version: &str,
    limits: &Limits,
) -> Result<(Vec<u8>, HeaderMap), PullError> {
    let part = format!("manifests/{version}");
    let mut tried = 0;
    loop {
        tried += 1;
        let outcome = async {
            let response = session.get(&part, &[accept(MEDIA_TYPES)]).await?;
            let headers = response.headers().clone();
            let body = session.body(response, limits.document_bytes, "a manifest");
            Ok((body.await?, headers))
        }
        .await;
        match outcome {
            Err(error) if PullError::is_passing(&error) && tried < TRIES_MAX => {
                pause(tried, &error).await;
            }
            outcome => return outcome,
        }
    }
}

/// The digest that was asked for decides; without one, the registry's own header is believed only
/// as far as it agrees with the content.
fn verify(
    session: &Session,
    actual: &Digest,
    wanted: Option<&Digest>,
    headers: &HeaderMap,
) -> Result<(), PullError> {
    let header = || {
        let text = headers.get("docker-content-digest")?.to_str().ok()?;
        text.parse::<Digest>().ok()
    };
    match wanted.cloned().or_else(header) {
        Some(expected) if expected != *actual => Err(PullError::Digest {
            registry: session.registry(),
            expected,
            actual: actual.clone(),
        }),
        _ => Ok(()),
    }
}

fn is_index(session: &Session, json: &[u8], headers: &HeaderMap) -> Result<bool, PullError> {
    let shape: Shape = parse(session, json, "a manifest")?;
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let header = header.map(|text| text.split(';').next().unwrap_or(text).trim());
    if shape.schema_version != 2 {
        let problem = format!(
            "its schema version {} is not supported",
            shape.schema_version
        );
        return Err(session.protocol("a manifest", problem));
    }
    match kind_of(shape.media_type.as_deref().or(header).unwrap_or_default()) {
        DescriptorKind::Index => Ok(true),
        DescriptorKind::Manifest => Ok(false),
        DescriptorKind::Other => Ok(shape.manifests.is_some()),
    }
}

fn parse<'j, T: Deserialize<'j>>(
    session: &Session,
    json: &'j [u8],
    what: &str,
) -> Result<T, PullError> {
    let shown = |error: serde_json::Error| {
        // Only where, since what may be the registry's words.
        session.protocol(what, format!("it is malformed at line {}", error.line()))
    };
    serde_json::from_slice(json).map_err(shown)
}

/// The first entry for the platform; one that names no platform may fit, its configuration tells.
fn choose<'i>(
    index: &'i ImageIndex,
    platform: &Platform,
    limits: &Limits,
) -> Result<&'i Descriptor, PullError> {
    let entries = || index.manifests().iter().take(limits.descriptors);
    let usable = |entry: &&Descriptor| {
        !matches!(kind_of(entry.media_type().as_ref()), DescriptorKind::Other)
    };
    let fitting = entries()
        .filter(usable)
        .find(|entry| match entry.platform() {
            Some(offered) => platform.fits(offered),
            None => true,
        });
    fitting.ok_or_else(|| PullError::NoSuchPlatform {
        wanted: platform.to_string(),
        present: platforms(entries()),
    })
}

fn platforms<'i>(entries: impl Iterator<Item = &'i Descriptor>) -> String {
    let names: BTreeSet<String> = entries
        .filter_map(|entry| entry.platform().as_ref())
        .filter(|platform| platform.os().to_string() != "unknown")
        .map(|platform| {
            let variant = platform.variant().as_deref();
            let variant = variant.map_or(String::new(), |variant| format!("/{variant}"));
            let name = format!("{}/{}{variant}", platform.os(), platform.architecture());
            name.chars().filter(|c| !c.is_control()).take(100).collect()
        })
        .take(PLATFORMS_SHOWN_MAX)
        .collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.into_iter().collect::<Vec<_>>().join(", "),
    }
}
