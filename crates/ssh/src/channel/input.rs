//! What a client sends on a channel, ahead of what takes it inside.
//!
//! The library reads nothing of a connection while one of its channels cannot take what came for it:
//! neither what is for the others, nor the client's goodbye. So bytes have room here, and are one
//! stream whatever packets they came in; requests pass them by; and a channel whose other end takes
//! nothing at all for long is given up.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use pinfold_model::WindowSize;
use russh::{ChannelMsg, ChannelReadHalf};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep_until, timeout};

use super::Place;
use super::requests::window;
use super::signals::signal_number;
use crate::gateway::{CHANNEL_PACKETS, PACKET_BYTES, WINDOW_BYTES};

/// On their way to what takes them, beside those that wait.
const PIPE_BYTES: usize = 64 << 10;
/// How long there is no room before a goodbye is looked for behind what waits.
const LOOK: Duration = Duration::from_secs(10);
/// How long what came before a goodbye may take to be handed on.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Behind as much it may stand: what a client may send before it hears that there is more room, and
/// what the library holds of it.
const BEHIND_BYTES: usize = WINDOW_BYTES as usize + (CHANNEL_PACKETS + 1) * PACKET_BYTES;

/// What a client asks of what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Signal(i32),
    Size(WindowSize),
}

/// Why nothing more is awaited from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It has closed the channel, or is gone.
    Closed,
    /// Nobody inside took anything for too long.
    Stuck,
}

/// What comes on a channel: its bytes up to their end, and what fetches them, which completes when the
/// channel has to end. It hands requests to `asked` at once; `room_bytes` may wait.
pub(crate) fn input<A: FnMut(Request) + Send>(
    place: &Place,
    reader: ChannelReadHalf,
    room_bytes: usize,
    asked: A,
) -> (DuplexStream, impl Future<Output = End> + Send + use<A>) {
    let connection = place.connection.clone();
    let limits = connection.shared.limits;
    let patience = move || match connection.channels_open() {
        0 | 1 => limits.stall_alone,
        _ => limits.stall,
    };
    let arrivals = stream::unfold(reader, |mut reader| async move {
        let message = reader.wait().await?;
        Some((arrival(message), reader))
    });
    let (bytes, into) = duplex(PIPE_BYTES);
    let relay = relay(Box::pin(arrivals), into, room_bytes, patience, asked);
    (bytes, relay)
}

enum Arrival {
    Bytes(Bytes),
    Asked(Request),
    Eof,
    Close,
    /// What nobody reads, once something runs.
    Nothing,
}

fn arrival(message: ChannelMsg) -> Arrival {
    match message {
        ChannelMsg::Data { data } => Arrival::Bytes(data),
        ChannelMsg::Eof => Arrival::Eof,
        ChannelMsg::Close => Arrival::Close,
        ChannelMsg::Signal { signal } => signal_number(&signal)
            .map_or(Arrival::Nothing, |number| {
                Arrival::Asked(Request::Signal(number))
            }),
        ChannelMsg::WindowChange {
            col_width,
            row_height,
            ..
        } => Arrival::Asked(Request::Size(window(col_width, row_height))),
        _ => Arrival::Nothing,
    }
}

async fn relay(
    mut arrivals: impl Stream<Item = Arrival> + Unpin,
    into: DuplexStream,
    room_bytes: usize,
    patience: impl Fn() -> Duration,
    mut asked: impl FnMut(Request),
) -> End {
    let mut into = Some(into);
    let mut waiting = BytesMut::new();
    let mut room = room_bytes;
    let mut ended = false;
    // Since when nothing has gone on, if there is no room.
    let mut since = Instant::now();
    loop {
        let full = waiting.len() >= room;
        let looked = room > room_bytes;
        let patience = if looked { patience() } else { LOOK };
        tokio::select! {
            written = write(&mut into, &mut waiting), if !waiting.is_empty() => {
                since = Instant::now();
                if waiting.len() < room_bytes {
                    room = room_bytes;
                }
                if written.is_err() {
                    // Nobody takes it any more; what comes is thrown away.
                    into = None;
                    waiting.clear();
                }
            }
            arrived = arrivals.next(), if !full => {
                since = Instant::now();
                match arrived {
                    Some(Arrival::Bytes(bytes)) if into.is_some() && !ended => {
                        waiting.extend_from_slice(&bytes);
                    }
                    Some(Arrival::Asked(request)) => asked(request),
                    Some(Arrival::Eof) => ended = true,
                    Some(Arrival::Bytes(_) | Arrival::Nothing) => {}
                    Some(Arrival::Close) | None => break,
                }
            }
            () = sleep_until(since + patience), if full => {
                if looked {
                    return End::Stuck;
                }
                room += BEHIND_BYTES;
                since = Instant::now();
            }
        }
        if ended && waiting.is_empty() {
            into = None;
        }
    }
    let handed =
        async { while !waiting.is_empty() && write(&mut into, &mut waiting).await.is_ok() {} };
    // Whoever takes none of it is not waited for.
    let _ = timeout(LAST_WORDS, handed).await;
    End::Closed
}

async fn write(into: &mut Option<DuplexStream>, waiting: &mut BytesMut) -> io::Result<()> {
    match into {
        Some(into) => into.write_buf(waiting).await.map(drop),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

#[cfg(test)]
mod tests {
    use futures::future::Either;
    use tokio::io::AsyncReadExt;

    use super::*;

    const ROOM: usize = 1 << 20;
    const SHORT: Duration = Duration::from_secs(30);
    const LONG: Duration = Duration::from_secs(600);

    fn bytes(count: usize) -> Arrival {
        Arrival::Bytes(vec![7; count].into())
    }

    /// A channel whose client sends that and then says nothing.
    fn channel(
        sent: impl Iterator<Item = Arrival> + Send + 'static,
        patience: Duration,
    ) -> (DuplexStream, impl Future<Output = End>) {
        let arrivals = stream::iter(sent).chain(stream::pending());
        let (bytes, into) = duplex(PIPE_BYTES);
        (bytes, relay(arrivals, into, ROOM, move || patience, |_| {}))
    }

    /// How long it takes to end.
    async fn ending(relay: impl Future<Output = End>) -> (End, Duration) {
        let began = Instant::now();
        (relay.await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_takes_nothing_for_long_is_given_up() {
        for patience in [SHORT, LONG] {
            for size in [100, PACKET_BYTES] {
                let endless = std::iter::repeat_with(move || bytes(size));
                let (mut taken, relay) = channel(endless, patience);
                tokio::pin!(relay);
                let mut chunk = vec![0; PIPE_BYTES];
                for _ in 0..100 {
                    let slow = timeout(SHORT - LOOK / 2, &mut relay).await;
                    assert!(slow.is_err(), "it waits");
                    taken.read_exact(&mut chunk).await.expect("bytes");
                }
                let (end, after) = ending(relay).await;
                assert_eq!(end, End::Stuck);
                let longest = patience + LOOK * 2;
                assert!((patience..=longest).contains(&after), "{after:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_little_may_wait_for_ever() {
        let (mut taken, relay) = channel([bytes(1000)].into_iter(), SHORT);
        tokio::pin!(relay);
        assert!(timeout(LONG * 9, &mut relay).await.is_err());
        let mut chunk = [0; 1000];
        assert_eq!(taken.read_exact(&mut chunk).await.expect("bytes"), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_is_heard_behind_all_that_a_client_may_have_sent() {
        let packets = (ROOM + BEHIND_BYTES) / PACKET_BYTES;
        let sent = (0..packets - 1).map(|_| bytes(PACKET_BYTES));
        let (_taken, relay) = channel(sent.chain([Arrival::Close]), LONG);
        let (end, after) = ending(relay).await;
        assert_eq!(end, End::Closed);
        assert!(after <= Duration::from_secs(15), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pass_bytes_by_and_what_nobody_reads_takes_no_room() {
        let size = WindowSize { rows: 9, cols: 9 };
        let sent = [bytes(ROOM - 1)]
            .into_iter()
            .chain((0..100_000).map(|_| Arrival::Nothing))
            .chain([Arrival::Asked(Request::Signal(2))])
            .chain([Arrival::Asked(Request::Size(size)), Arrival::Close]);
        let (_taken, into) = duplex(PIPE_BYTES);
        let mut asked = Vec::new();
        let relay = relay(
            stream::iter(sent),
            into,
            ROOM,
            || LONG,
            |request| {
                asked.push(request);
            },
        );
        assert_eq!(ending(relay).await, (End::Closed, LAST_WORDS));
        assert_eq!(asked, [Request::Signal(2), Request::Size(size)]);
    }

    #[tokio::test(start_paused = true)]
    async fn all_bytes_come_before_their_end_and_none_behind_it() {
        let sent = [bytes(ROOM / 2), bytes(ROOM), Arrival::Eof, bytes(9)];
        let (mut taken, relay) = channel(sent.into_iter(), LONG);
        let mut all = Vec::new();
        let read = std::pin::pin!(taken.read_to_end(&mut all));
        match futures::future::select(read, std::pin::pin!(relay)).await {
            Either::Left((read, _)) => assert_eq!(read.expect("bytes"), ROOM / 2 + ROOM),
            Either::Right((end, _)) => panic!("the channel ended: {end:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_a_goodbye_is_handed_on() {
        let sent = [bytes(ROOM / 2), bytes(9), Arrival::Close];
        let (mut taken, relay) = channel(sent.into_iter(), LONG);
        let mut all = Vec::new();
        let (end, read) = tokio::join!(relay, taken.read_to_end(&mut all));
        assert_eq!((end, read.expect("bytes")), (End::Closed, ROOM / 2 + 9));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_any_more_is_thrown_away() {
        let sent = (0..100).map(|_| bytes(ROOM)).chain([Arrival::Close]);
        let (taken, relay) = channel(sent, LONG);
        drop(taken);
        assert_eq!(ending(relay).await, (End::Closed, Duration::ZERO));
    }
}
