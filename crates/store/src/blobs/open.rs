//! Which storage, and the way to it.

use std::collections::HashSet;
use std::path::Path as FsPath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};

use super::{BlobError, Blobs, Inner, Place};

/// Callers wait meanwhile, so a store that does not answer is given up soon.
const RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

impl Blobs {
    /// Files in a directory, which is made with the first of them. Nobody else may write there.
    pub fn directory(directory: &FsPath) -> Result<Self, BlobError> {
        let unusable = |error: String| {
            BlobError::Unusable(format!("cannot use {}: {error}", directory.display()))
        };
        let absolute = std::path::absolute(directory).map_err(|e| unusable(e.to_string()))?;
        let prefix = Path::from_absolute_path(&absolute).map_err(|e| unusable(e.to_string()))?;
        // A record must not outlive the content it speaks of, also when the power fails.
        let storage = LocalFileSystem::new().with_fsync(true);
        Ok(Self::over(
            Arc::new(storage),
            prefix,
            Place::Directory(absolute),
        ))
    }

    /// `s3://BUCKET[/PREFIX]`, with the access key, region and endpoint of the usual environment
    /// variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`).
    /// An endpoint of another maker may be plain HTTP; its address says so.
    pub fn s3(url: &str) -> Result<Self, BlobError> {
        let (bucket, prefix) = parse_s3(url)?;
        let builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: RETRY_TIMEOUT,
                ..RetryConfig::default()
            });
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let builder = match plain {
            true => builder.with_allow_http(true),
            false => builder,
        };
        let storage = builder
            .build()
            .map_err(|error| BlobError::Unusable(format!("cannot use {url}: {error}")))?;
        Ok(Self::over(Arc::new(storage), prefix, Place::Remote))
    }

    /// Whether the storage answers and lets us look at it.
    pub async fn check(&self) -> Result<(), BlobError> {
        if matches!(self.0.place, Place::Directory(_)) {
            return Ok(());
        }
        match self.0.storage.list(Some(&self.0.prefix)).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(BlobError::at("the first look", error)),
        }
    }

    fn over(storage: Arc<dyn ObjectStore>, prefix: Path, place: Place) -> Self {
        Self(Arc::new(Inner {
            storage,
            prefix,
            place,
            writing: Mutex::new(HashSet::new()),
        }))
    }
}

fn parse_s3(url: &str) -> Result<(&str, Path), BlobError> {
    let unusable = || {
        BlobError::Unusable(format!(
            "{url:?} is no address of an object storage: use s3://BUCKET or s3://BUCKET/PREFIX"
        ))
    };
    let rest = url.strip_prefix("s3://").ok_or_else(unusable)?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if bucket.is_empty() || !bucket.bytes().all(plain) || rest.contains(['?', '#']) {
        return Err(unusable());
    }
    let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|_| unusable())?;
    Ok((bucket, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_buckets_are_read_exactly() {
        for (url, bucket, prefix) in [
            ("s3://b", "b", ""),
            ("s3://my.bucket/", "my.bucket", ""),
            ("s3://b/pinfold/objects/", "b", "pinfold/objects"),
        ] {
            let read = parse_s3(url).expect(url);
            assert_eq!((read.0, read.1.as_ref()), (bucket, prefix));
        }
        for bad in [
            "",
            "b",
            "s3://",
            "s3:///p",
            "https://b",
            "s3://b?x",
            "s3://b/p//q",
            "s3://b c",
        ] {
            assert!(parse_s3(bad).is_err(), "{bad}");
        }
    }
}
