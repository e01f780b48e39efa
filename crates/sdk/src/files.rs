//! Files of one sandbox.

use std::time::Duration;

use futures::StreamExt;
use pinfold_wire::{
    ArchiveQuery, Chmod, DeleteQuery, DirectoryList, FileEntry, ListQuery, MakeDirectory, MoveFile,
    PathQuery, SignFile, SignedUrl, WatchEvent, WatchQuery, WriteQuery,
};
use reqwest::{Method, Response};

use crate::body::{ByteStream, Upload};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::sse::Parser;
use crate::transport::{Call, milliseconds};

/// How a file is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Permission bits, such as `0o644`; an existing file keeps its own when `None`.
    pub mode: Option<u32>,
    /// Make missing directories above it.
    pub parents: bool,
}

#[derive(Debug, Clone)]
pub struct Files {
    client: Client,
    sandbox_id: String,
}

impl Files {
    pub(crate) fn new(client: Client, sandbox_id: &str) -> Self {
        Self {
            client,
            sandbox_id: sandbox_id.to_owned(),
        }
    }

    fn call(&self, method: Method, rest: &[&str]) -> Call {
        let mut segments = vec!["sandboxes", &*self.sandbox_id, "files"];
        segments.extend(rest);
        self.client.call(method, &segments)
    }

    fn at(path: &str) -> PathQuery {
        PathQuery {
            path: path.to_owned(),
        }
    }

    /// A whole file as it is read.
    pub async fn read(&self, path: &str) -> Result<ByteStream> {
        let call = self.call(Method::GET, &[]).query(&Self::at(path))?;
        let response = self.client.send(call.unbounded()).await?;
        Ok(ByteStream::new(response, self.client.url()))
    }

    /// `length` bytes from `offset`, fewer where the file ends before.
    pub async fn read_range(&self, path: &str, offset: u64, length: u64) -> Result<ByteStream> {
        let last = offset.saturating_add(length.max(1)) - 1;
        let call = self.call(Method::GET, &[]).query(&Self::at(path))?;
        let call = call.range(format!("bytes={offset}-{last}"));
        let response = self.client.send(call.unbounded()).await?;
        Ok(ByteStream::new(response, self.client.url()))
    }

    /// Writes a file in one step: readers see the old content or the new, never a part.
    pub async fn write(
        &self,
        path: &str,
        body: Upload,
        options: &WriteOptions,
    ) -> Result<FileEntry> {
        let query = WriteQuery {
            path: path.to_owned(),
            mode: options.mode.map(|mode| format!("{mode:04o}")),
            parents: options.parents.then_some(true),
        };
        let call = self.call(Method::PUT, &[]).query(&query)?;
        self.put(call, body).await
    }

    async fn put<T: serde::de::DeserializeOwned>(&self, call: Call, body: Upload) -> Result<T> {
        let call = call.unbounded();
        match body.into_body() {
            Ok(bytes) => self.client.fetch(call.bytes(bytes)).await,
            Err(body) => {
                let what = format!("PUT {}", call.url().path());
                let response = self.client.send_stream(call, body).await?;
                let bytes = ByteStream::new(response, self.client.url());
                serde_json::from_slice(&bytes.collect().await?)
                    .map_err(|source| Error::Decode { what, source })
            }
        }
    }

    /// Removes a file, or a directory (only an empty one unless `recursive`).
    pub async fn remove(&self, path: &str, recursive: bool) -> Result<()> {
        let query = DeleteQuery {
            path: path.to_owned(),
            recursive: Some(recursive),
        };
        // Once only: a second try would find nothing and report that.
        let call = self.call(Method::DELETE, &[]).query(&query)?.once();
        self.client.done(call).await
    }

    /// Facts about a file, not following a final symlink.
    pub async fn stat(&self, path: &str) -> Result<FileEntry> {
        let call = self.call(Method::GET, &["stat"]).query(&Self::at(path))?;
        self.client.fetch(call).await
    }

    /// The entries of a directory in order of name: 10,000 at most unless `limit` says otherwise.
    pub async fn list(&self, path: &str, limit: Option<u32>) -> Result<DirectoryList> {
        let query = ListQuery {
            path: path.to_owned(),
            limit,
        };
        let call = self.call(Method::GET, &["list"]).query(&query)?;
        self.client.fetch(call).await
    }

    pub async fn make_directory(&self, request: &MakeDirectory) -> Result<FileEntry> {
        let call = self.call(Method::POST, &["mkdir"]).json(request)?;
        self.client.fetch(call).await
    }

    /// Moves or renames a file or directory; answers with what it is now.
    pub async fn rename(&self, request: &MoveFile) -> Result<FileEntry> {
        let call = self.call(Method::POST, &["move"]).json(request)?;
        self.client.fetch(call).await
    }

    /// Sets permission bits, such as `0o755`.
    pub async fn chmod(&self, path: &str, mode: u32) -> Result<FileEntry> {
        let request = Chmod {
            path: path.to_owned(),
            mode: format!("{mode:04o}"),
        };
        let call = self.call(Method::POST, &["chmod"]).json(&request)?;
        self.client.fetch(call).await
    }

    /// A directory or file as a tar.
    pub async fn archive(&self, path: &str) -> Result<ByteStream> {
        let call = self.call(Method::GET, &["archive"]).query(&ArchiveQuery {
            path: path.to_owned(),
        })?;
        let response = self.client.send(call.unbounded()).await?;
        Ok(ByteStream::new(response, self.client.url()))
    }

    /// Unpacks a tar into a directory, which is made where it is missing.
    pub async fn unpack(&self, path: &str, tar: Upload) -> Result<()> {
        let call = self.call(Method::PUT, &["archive"]).query(&ArchiveQuery {
            path: path.to_owned(),
        })?;
        let call = call.unbounded();
        match tar.into_body() {
            Ok(bytes) => self.client.done(call.bytes(bytes)).await,
            Err(body) => self.client.send_stream(call, body).await.map(drop),
        }
    }

    /// A URL for downloading a file without a key, as the file is at that time; for an hour unless
    /// said otherwise.
    pub async fn url(&self, path: &str, expires_in: Option<Duration>) -> Result<SignedUrl> {
        let request = SignFile {
            path: path.to_owned(),
            expires_in_ms: expires_in.map(milliseconds),
        };
        let segments = ["sandboxes", &*self.sandbox_id, "files", "url"];
        let call = self.client.repeatable_post(&segments).json(&request)?;
        self.client.fetch(call).await
    }

    /// Changes below a path from now on. Changes while no watch is open are not told later.
    pub async fn watch(&self, path: &str, recursive: bool) -> Result<WatchStream> {
        let query = WatchQuery {
            path: path.to_owned(),
            recursive: Some(recursive),
        };
        let call = self.call(Method::GET, &["watch"]).query(&query)?;
        let response = self.client.send(call.unbounded()).await?;
        Ok(WatchStream {
            response,
            parser: Parser::default(),
            ready: Vec::new(),
            url: self.client.url().to_owned(),
        })
    }
}

/// Changes of files as they happen.
#[derive(Debug)]
pub struct WatchStream {
    response: Response,
    parser: Parser,
    /// In reverse order; bounded by one chunk of the connection.
    ready: Vec<WatchEvent>,
    url: String,
}

impl WatchStream {
    /// The next change; `None` where the server closed the watch.
    ///
    /// # Errors
    /// `Error::Broken` where the connection was lost: watch again and look at the files anew.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Ok(Some(event));
            }
            let chunk = self.response.chunk().await.map_err(|error| Error::Broken {
                url: self.url.clone(),
                source: error.without_url().into(),
            })?;
            let Some(chunk) = chunk else {
                return Ok(None);
            };
            let events = self
                .parser
                .push(&chunk)
                .map_err(|error| Error::Protocol(error.to_string()))?;
            for event in events.into_iter().rev().filter(|e| e.name == "change") {
                let change = serde_json::from_str(&event.data);
                self.ready.push(change.map_err(|source| Error::Decode {
                    what: "a change of a file".into(),
                    source,
                })?);
            }
        }
    }

    /// The same as a `futures` stream.
    pub fn into_stream(self) -> impl futures::Stream<Item = Result<WatchEvent>> + Send {
        futures::stream::try_unfold(self, |mut stream| async move {
            let event = stream.next().await?;
            Ok(event.map(|event| (event, stream)))
        })
        .boxed()
    }
}
