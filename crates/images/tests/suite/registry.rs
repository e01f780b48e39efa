//! A registry on loopback that serves a layout's blobs, and misbehaves where a test wants it to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oci_spec::image::Descriptor;

/// One request as the registry saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    /// How many requests of this path came before.
    pub(crate) before: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }
}

type Hook = Box<dyn Fn(&Seen) -> Option<Response> + Send + Sync>;

pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<Shelf>,
    serving: tokio::task::JoinHandle<()>,
}

struct Shelf {
    /// By digest.
    blobs: HashMap<String, Vec<u8>>,
    /// Manifests by tag and digest: media type and bytes.
    manifests: HashMap<String, (String, Vec<u8>)>,
    seen: Mutex<Vec<Seen>>,
    hook: Hook,
}

impl Registry {
    /// Serves every blob of the layout, `tags` by name.
    pub(crate) async fn of(layout: &Path, tags: &[(&str, &Descriptor)]) -> Self {
        Self::with(layout, tags, |_| None).await
    }

    /// The same; the hook answers first where it wants to.
    pub(crate) async fn with(
        layout: &Path,
        tags: &[(&str, &Descriptor)],
        hook: impl Fn(&Seen) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let blobs = blobs_of(layout);
        let mut manifests = HashMap::new();
        for (digest, bytes) in &blobs {
            if let Some(media_type) = manifest_type(bytes) {
                manifests.insert(digest.clone(), (media_type, bytes.clone()));
            }
        }
        for (tag, descriptor) in tags {
            let bytes = blobs[descriptor.digest().as_ref()].clone();
            let media_type = descriptor.media_type().as_ref().to_owned();
            manifests.insert((*tag).to_owned(), (media_type, bytes));
        }
        let state = Arc::new(Shelf {
            blobs,
            manifests,
            seen: Mutex::default(),
            hook: Box::new(hook),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind");
        let address = listener.local_addr().expect("address");
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&state));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serve");
        });
        Self {
            address,
            state,
            serving,
        }
    }

    /// `127.0.0.1:PORT/REST`.
    pub(crate) fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("test").clone()
    }

    pub(crate) fn blobs_asked_for(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_blob()).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn blobs_of(layout: &Path) -> HashMap<String, Vec<u8>> {
    std::fs::read_dir(layout.join("blobs/sha256"))
        .expect("a layout")
        .map(|entry| {
            let entry = entry.expect("entry");
            let name = entry.file_name().into_string().expect("hex");
            (
                format!("sha256:{name}"),
                std::fs::read(entry.path()).expect("blob"),
            )
        })
        .collect()
}

fn manifest_type(bytes: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let media_type = |name: &str| Some(format!("application/vnd.oci.image.{name}.v1+json"));
    match (value.get("manifests"), value.get("layers")) {
        (Some(_), _) => media_type("index"),
        (_, Some(_)) => media_type("manifest"),
        _ => None,
    }
}

async fn answer(State(shelf): State<Arc<Shelf>>, request: Request) -> Response {
    let seen = {
        let mut all = shelf.seen.lock().expect("test");
        let path = request.uri().path().to_owned();
        let seen = Seen {
            before: all.iter().filter(|other| other.path == path).count(),
            path,
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
        };
        all.push(seen.clone());
        seen
    };
    // A hook may wait: not on a thread that others need, who are waited for perhaps.
    let (asked, by) = (seen.clone(), Arc::clone(&shelf));
    let hooked = tokio::task::spawn_blocking(move || (by.hook)(&asked)).await;
    if let Some(response) = hooked.expect("the hook of a test") {
        return response;
    }
    let name = seen.path.rsplit('/').next().unwrap_or_default();
    if seen.is_blob() {
        return match shelf.blobs.get(name) {
            Some(bytes) => part(bytes, seen.header("range")),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    match shelf.manifests.get(name) {
        Some((media_type, bytes)) => {
            ([(header::CONTENT_TYPE, media_type.clone())], bytes.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The bytes, from where `range` begins.
fn part(bytes: &[u8], range: Option<&str>) -> Response {
    let from = range
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0usize);
    let body = bytes[from..].to_vec();
    if from == 0 {
        return body.into_response();
    }
    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    (
        StatusCode::PARTIAL_CONTENT,
        [(header::CONTENT_RANGE, range)],
        body,
    )
        .into_response()
}

/// An answer that breaks off behind `bytes`, though it promised `length`.
pub(crate) fn broken_off(bytes: &[u8], length: usize) -> Response {
    let piece = Bytes::copy_from_slice(bytes);
    let begin = futures::stream::iter([Ok(piece)]);
    let end = futures::stream::once(async {
        // Else the server drops what it has not sent yet, and nothing at all arrives.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        Err(std::io::Error::other("broken off"))
    });
    let body = Body::from_stream(futures::StreamExt::chain(begin, end));
    ([(header::CONTENT_LENGTH, length.to_string())], body).into_response()
}

/// An answer that never ends.
pub(crate) fn endless() -> Response {
    let pieces =
        futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65536])));
    Body::from_stream(pieces).into_response()
}
