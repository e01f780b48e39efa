//! The first bytes of a connection: whom they say they are for.

use std::io;

use pinfold_model::network::HostName;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};

/// More than any hello or head that names its host so late is worth.
const OPENING_MAX: usize = 64 << 10;
/// Each is looked at from the beginning again.
const PIECES_MAX: usize = 256;
const TLS_HANDSHAKE: u8 = 0x16;
const METHOD_MAX: usize = 24;

/// What a connection begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A hello of TLS, for that host if it says so.
    Tls(Addressee),
    /// A request of HTTP/1.
    Http(Addressee),
    /// Something else, or silence up to the end.
    Other,
}

/// Whom an opening is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Addressee {
    Name(HostName),
    /// It does not say, or says an address.
    Unnamed,
    /// What it says is no name.
    Strange(String),
}

impl Opening {
    /// Reads until it is clear what this is; the bytes read belong to the connection still.
    pub(crate) async fn read(client: &mut (impl AsyncRead + Unpin)) -> io::Result<(Self, Vec<u8>)> {
        // It has begun as one of the two and hides whom it is for.
        let hides = || {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an opening without end",
            ))
        };
        let mut bytes = Vec::new();
        for _ in 0..PIECES_MAX {
            if client.read_buf(&mut bytes).await? == 0 {
                return match bytes.is_empty() {
                    true => Ok((Self::Other, bytes)),
                    false => hides(),
                };
            }
            if bytes.len() >= OPENING_MAX {
                break;
            }
            if let Some(opening) = Self::of(&bytes) {
                return Ok((opening, bytes));
            }
        }
        hides()
    }

    /// `None` when it takes more to say.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        match bytes.first()? {
            &TLS_HANDSHAKE => tls(bytes),
            first if first.is_ascii_uppercase() => http(bytes),
            // Empty lines before a request are passed over (RFC 9112, 2.2).
            first if is_break(first) => {
                let rest = &bytes[bytes.iter().position(|byte| !is_break(byte))?..];
                match rest[0].is_ascii_uppercase() {
                    true => http(rest),
                    false => Some(Self::Other),
                }
            }
            _ => Some(Self::Other),
        }
    }

    pub(crate) fn addressee(&self) -> Option<&Addressee> {
        match self {
            Self::Tls(addressee) | Self::Http(addressee) => Some(addressee),
            Self::Other => None,
        }
    }
}

fn tls(bytes: &[u8]) -> Option<Opening> {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return Some(Opening::Tls(Addressee::Strange(
                "a hello without end".into(),
            )));
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let named = hello.server_name().map_or(Addressee::Unnamed, addressee);
                return Some(Opening::Tls(named));
            }
            Ok(None) => {}
            Err(_) => {
                return Some(Opening::Tls(Addressee::Strange(
                    "an unreadable hello".into(),
                )));
            }
        }
    }
    None
}

fn http(bytes: &[u8]) -> Option<Opening> {
    let method_ends = bytes
        .iter()
        .position(|byte| !byte.is_ascii_uppercase() && *byte != b'-');
    match method_ends {
        None if bytes.len() <= METHOD_MAX => return None,
        Some(end) if bytes[end] == b' ' && end <= METHOD_MAX => {}
        _ => return Some(Opening::Other),
    }
    // Other protocols have words and spaces too; only this one has its version in the first line.
    let line_ends = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes[..line_ends].trim_ascii_end();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    if version.starts_with(b"HTTP/") && !version.starts_with(b"HTTP/1.") {
        // Whom its requests are for stands in frames that nobody here reads.
        let version = String::from_utf8_lossy(version).into_owned();
        return Some(Opening::Http(Addressee::Strange(version)));
    }
    if !version.starts_with(b"HTTP/1.") {
        return Some(Opening::Other);
    }
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => None,
        Ok(httparse::Status::Complete(_)) => {
            let mut hosts = request
                .headers
                .iter()
                .filter(|h| h.name.eq_ignore_ascii_case("host"));
            let host = hosts
                .next()
                .map(|header| String::from_utf8_lossy(header.value));
            let named = match (host, hosts.next()) {
                (_, Some(_)) => Addressee::Strange("two hosts".to_owned()),
                (Some(host), None) => addressee(without_port(host.trim())),
                (None, None) => Addressee::Unnamed,
            };
            Some(Opening::Http(named))
        }
        Err(_) => Some(Opening::Http(Addressee::Strange(
            "an unreadable head".to_owned(),
        ))),
    }
}

/// What a host header or an authority names.
pub(crate) fn addressee(text: &str) -> Addressee {
    let inside = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if inside.unwrap_or(text).parse::<std::net::IpAddr>().is_ok() || text.is_empty() {
        return Addressee::Unnamed;
    }
    match text.parse() {
        Ok(name) => Addressee::Name(name),
        Err(()) => Addressee::Strange(text.chars().take(100).collect()),
    }
}

pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn named(text: &str) -> Addressee {
        Addressee::Name(text.parse().expect("name"))
    }

    #[test]
    fn requests_tell_their_host_wherever_they_are_cut() {
        let request = b"GET /x HTTP/1.1\r\nAccept: */*\r\nHOST: Example.com:8080\r\n\r\nrest";
        let head = request.len() - 4;
        for cut in 1..head {
            assert_eq!(Opening::of(&request[..cut]), None, "{cut}");
        }
        assert_eq!(
            Opening::of(request),
            Some(Opening::Http(named("example.com")))
        );
    }

    #[test]
    fn hosts_that_are_no_names_or_are_two_are_strange_and_addresses_are_unnamed() {
        let host = |host: &str| Opening::of(format!("GET / HTTP/1.1\r\n{host}\r\n").as_bytes());
        let strange = |opening| matches!(opening, Some(Opening::Http(Addressee::Strange(_))));
        assert!(strange(host("Host: a\r\nHost: b\r\n")));
        assert!(strange(host("Host: exa mple\r\n")));
        assert!(strange(host("Host: 127.1\r\n")));
        assert!(strange(host("Host : a\r\n")));
        for unnamed in ["Host: 203.0.113.1:80\r\n", "Host: [2001:db8::1]:80\r\n", ""] {
            assert_eq!(
                host(unnamed),
                Some(Opening::Http(Addressee::Unnamed)),
                "{unnamed}"
            );
        }
    }

    #[test]
    fn other_protocols_are_told_apart() {
        for other in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "EHLO me\r\n",
            "GET key\r\n",
            "\0\0\0\x08",
            "*1\r\n",
            "\r\nhello",
        ] {
            assert_eq!(
                Opening::of(other.as_bytes()),
                Some(Opening::Other),
                "{other}"
            );
        }
        assert_eq!(Opening::of(b"HELLO"), None);
        assert_eq!(Opening::of(b"\r\n"), None);
        let http = |text: &str| Opening::of(text.as_bytes());
        let strange = |opening| matches!(opening, Some(Opening::Http(Addressee::Strange(_))));
        assert!(strange(http("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")));
        let late = http("\r\n\nGET / HTTP/1.1\r\nhost: late.test\r\n\r\n");
        assert_eq!(late, Some(Opening::Http(named("late.test"))));
    }

    #[test]
    fn hellos_tell_their_server_wherever_they_are_cut() {
        let config = rustls::ClientConfig::builder_with_provider(
            rustls::crypto::aws_lc_rs::default_provider().into(),
        )
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
        let name = "www.example.com".try_into().expect("name");
        let mut client = rustls::ClientConnection::new(config.into(), name).expect("client");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("hello");
        for cut in 1..hello.len() {
            assert_eq!(Opening::of(&hello[..cut]), None, "{cut}");
        }
        assert_eq!(
            Opening::of(&hello),
            Some(Opening::Tls(named("www.example.com")))
        );
        hello[5] = 99;
        assert!(matches!(
            Opening::of(&hello),
            Some(Opening::Tls(Addressee::Strange(_)))
        ));
    }

    #[tokio::test]
    async fn an_opening_that_never_tells_whom_it_is_for_is_none() {
        let mut cut: &[u8] = b"GET / HTTP/1.1\r\nAccept: */*\r\n";
        assert!(Opening::read(&mut cut).await.is_err());
        let mut silent: &[u8] = b"";
        let (opening, _) = Opening::read(&mut silent).await.expect("silence");
        assert_eq!(opening, Opening::Other);
        // A hello in so many small records that nobody can say whom it is for.
        let records = [0x16, 3, 1, 0, 1, 1].repeat(20_000);
        let mut many = records.as_slice();
        assert!(!matches!(
            Opening::read(&mut many).await,
            Ok((Opening::Other, _))
        ));
        // One byte at a time.
        let (mut ours, mut theirs) = tokio::io::duplex(1);
        let dribble = async {
            let _ = ours.write_all(b"GET / HTTP/1.1\r\nx: ").await;
            while ours.write_all(b"x").await.is_ok() {}
        };
        tokio::select! {
            read = Opening::read(&mut theirs) => assert!(read.is_err()),
            () = dribble => panic!("it is read for ever"),
        }
    }
}
