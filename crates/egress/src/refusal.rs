//! Why a connection was not made, and how its sandbox hears of it.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use pinfold_model::network::Refusal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::opening::Opening;

/// How long the first bytes are waited for that say in which language to refuse.
const PATIENCE: Duration = Duration::from_secs(1);
/// A fatal alert `access_denied` of TLS 1.2, which both sides of a hello understand.
const TLS_ACCESS_DENIED: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 49];

/// Why there is no connection to the outside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    /// The policy has no way for it.
    #[error("{why}")]
    Refused { host: String, why: Refusal },
    /// It may, and cannot.
    #[error("{0}")]
    Unreachable(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl NoWay {
    pub(crate) fn refused(host: impl ToString, why: Refusal) -> Self {
        Self::Refused {
            host: host.to_string(),
            why,
        }
    }

    pub(crate) fn unreachable(address: IpAddr, error: &io::Error) -> Self {
        Self::Unreachable(format!("{address}: {error}"))
    }

    /// For the body of an answer.
    pub(crate) fn words(&self, port: u16) -> String {
        match self {
            Self::Refused { host, why } => format!(
                "pinfold: {host}:{port} is not allowed by this sandbox's network policy: {why}\n"
            ),
            other => format!("pinfold: no connection to the outside: {other}\n"),
        }
    }
}

/// Ends a connection with a reason, where its language has one.
pub(crate) async fn tell(
    mut client: TcpStream,
    opening: Option<Opening>,
    no_way: &NoWay,
    port: u16,
) {
    let opening = match opening {
        Some(opening) => Some(opening),
        None => {
            let read = tokio::time::timeout(PATIENCE, Opening::read(&mut client)).await;
            read.ok().and_then(Result::ok).map(|(opening, _)| opening)
        }
    };
    let written = match opening {
        Some(Opening::Tls(_)) => client.write_all(&TLS_ACCESS_DENIED).await,
        Some(Opening::Http(_)) => {
            let body = no_way.words(port);
            let status = match no_way {
                NoWay::Refused { .. } => "403 Forbidden",
                NoWay::Unreachable(_) | NoWay::Io(_) => "502 Bad Gateway",
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
            client.write_all(answer.as_bytes()).await
        }
        Some(Opening::Other) | None => return,
    };
    if written.is_ok() {
        let _ = client.shutdown().await;
        settle(&client);
    }
}

/// A connection that is dropped after this ends with a reset, not as if all had been said: also when
/// it is we who are killed.
pub(crate) fn reset(stream: impl AsFd) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// All has been said, and is delivered before the connection ends.
pub(crate) fn settle(stream: impl AsFd) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, None);
}
