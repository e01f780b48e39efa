//! The sandbox's name server. It knows the names that the policy allows and no others.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{DNSClass, RData, Record, RecordType};
use pinfold_model::network::{HostName, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::gate::Inner;
use crate::outside::NoAnswer;
use crate::tally::add;

/// Seconds for which a program may remember an answer. What it remembers allows nothing.
const TTL: u32 = 30;
/// What fits without EDNS (RFC 1035, 2.3.4).
const PLAIN_MAX: usize = 512;
/// What we send over UDP at most, whatever the other side says it takes.
const UDP_MAX: usize = 4096;
/// Before the next question is read where one could not be.
const AFTER_FAULT: Duration = Duration::from_millis(10);
/// For a question over TCP, and between two.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers questions over UDP, for ever. Beyond the bound of questions at once they are dropped, and
/// asked again by those who asked.
pub(crate) async fn serve(inner: Arc<Inner>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut packet = vec![0; UDP_MAX];
    loop {
        let (length, from) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                // Such as an answer that came back as unreachable.
                tracing::debug!(%error, "a question that cannot be read");
                tokio::time::sleep(AFTER_FAULT).await;
                continue;
            }
        };
        let Ok(turn) = Arc::clone(&inner.questions).try_acquire_owned() else {
            continue;
        };
        let (inner, socket) = (Arc::clone(&inner), Arc::clone(&socket));
        let question = packet[..length].to_vec();
        tokio::spawn(async move {
            reply(&inner, &socket, &question, from).await;
            drop(turn);
        });
    }
}

async fn reply(inner: &Inner, socket: &UdpSocket, question: &[u8], from: SocketAddr) {
    let Ok(question) = Message::from_vec(question) else {
        return;
    };
    let room = match &question.edns {
        Some(edns) => usize::from(edns.max_payload()).clamp(PLAIN_MAX, UDP_MAX),
        None => PLAIN_MAX,
    };
    let answer = answer(inner, &question).await;
    let whole = answer.to_vec().unwrap_or_default();
    let bytes = match whole.len() <= room {
        true => whole,
        false => answer.truncate().to_vec().unwrap_or_default(),
    };
    let _ = socket.send_to(&bytes, from).await;
}

/// Answers the questions of one TCP connection, one after the other.
pub(crate) async fn serve_stream(inner: &Inner, mut stream: TcpStream) {
    let talk = async {
        loop {
            let mut question = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut question).await?;
            let Ok(question) = Message::from_vec(&question) else {
                return Ok(());
            };
            let bytes = answer(inner, &question).await.to_vec().unwrap_or_default();
            let Ok(length) = u16::try_from(bytes.len()) else {
                return Ok(());
            };
            stream.write_u16(length).await?;
            stream.write_all(&bytes).await?;
        }
    };
    let _: Result<std::io::Result<()>, _> = tokio::time::timeout(PATIENCE, talk).await;
}

async fn answer(inner: &Inner, question: &Message) -> Message {
    add(&inner.tally.questions, 1);
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_queries(question.queries.iter().cloned());
    let [query] = question.queries.as_slice() else {
        answer.metadata.response_code = ResponseCode::FormErr;
        return answer;
    };
    if question.metadata.op_code != OpCode::Query || query.query_class != DNSClass::IN {
        answer.metadata.response_code = ResponseCode::NotImp;
        return answer;
    }
    match records(inner, query).await {
        Ok(records) => {
            answer.add_answers(records);
        }
        Err(NoAnswer::Nothing) => {}
        Err(NoAnswer::NoName) => answer.metadata.response_code = ResponseCode::NXDomain,
        Err(NoAnswer::Failed) => answer.metadata.response_code = ResponseCode::ServFail,
    }
    answer
}

async fn records(inner: &Inner, query: &Query) -> Result<Vec<Record>, NoAnswer> {
    let asked = query.name.to_ascii();
    let Ok(name) = asked.parse::<HostName>() else {
        return Err(NoAnswer::NoName);
    };
    if !inner.policy().knows(&name) {
        inner.tally.refuse(&name, None, Refusal::NotAllowed);
        return Err(NoAnswer::NoName);
    }
    let is_ours = inner.gateways_at(&name).is_some();
    match query.query_type {
        RecordType::A => {
            if !is_ours {
                inner.outside.addresses(&name).await?;
            }
            let address: Ipv4Addr = inner.address_of(&name).ok_or(NoAnswer::Failed)?;
            let data = RData::A(A(address));
            Ok(vec![Record::from_rdata(query.name.clone(), TTL, data)])
        }
        _ if is_ours => Err(NoAnswer::Nothing),
        // Addresses, and what would lead around the name, stay with us.
        RecordType::AAAA
        | RecordType::HTTPS
        | RecordType::SVCB
        | RecordType::CNAME
        | RecordType::ANY => {
            inner.outside.addresses(&name).await?;
            Err(NoAnswer::Nothing)
        }
        kind => inner.outside.records(&name, kind).await,
    }
}
