//! The pump: real pipes, a terminal and a socket, readers beside it.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use pinfold_model::journal::{RecordBody, Stream};

use super::super::Pump;
use super::{CAP, OK, Place, all, assert_no_gap, now, numbered, output, pipe, soon, write};

fn sh(script: &str, out: File, err: File) -> std::process::Child {
    Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn what_a_command_wrote_stands_before_its_end_and_bytes_are_not_text() {
    let place = Place::new();
    let ((out, out_writing), (err, err_writing)) = (pipe(), pipe());
    let reader = place.create_and_read();
    let pump = Pump::start(reader.0, out, Some(err)).unwrap();
    let script = r"printf 'a\000\377\nb'; printf 'oops\200' >&2";
    let mut child = sh(script, out_writing, err_writing);
    let follower = tokio::spawn(all(reader.1));
    child.wait().unwrap();
    let seq = pump.finish(OK).unwrap();
    let records = soon(follower).await.unwrap();
    assert_no_gap(&records, 1);
    assert_eq!(output(&records, Stream::Stdout), b"a\0\xff\nb");
    assert_eq!(output(&records, Stream::Stderr), b"oops\x80");
    let last = records.last().unwrap();
    assert_eq!(
        (last.seq, &last.body),
        (seq, &RecordBody::End { state: OK })
    );
    soon(pump.closed()).await;
    assert_eq!(pump.status().last_seq, seq);
}

impl Place {
    fn create_and_read(&self) -> (super::JournalWriter, super::JournalReader) {
        (self.create(CAP), self.journal().reader(0))
    }
}

#[tokio::test]
async fn finish_takes_what_waits_even_if_the_pump_never_ran() {
    let place = Place::new();
    let ((out, mut out_writing), (err, mut err_writing)) = (pipe(), pipe());
    let pump = Pump::start(place.create(CAP), out, Some(err)).unwrap();
    write(&mut out_writing, b"out");
    write(&mut err_writing, b"err");
    // No await so far: this runtime has one thread, so the pump's task has not run.
    assert_eq!(pump.finish(OK).unwrap(), 3);
    assert_eq!(pump.finish(OK).unwrap(), 3);
    let records = now(place.journal().reader(0));
    assert_eq!(output(&records, Stream::Stdout), b"out");
    assert_eq!(output(&records, Stream::Stderr), b"err");
}

#[tokio::test]
async fn late_output_follows_the_end_for_those_who_ask() {
    let place = Place::new();
    let ((out, mut background), (err, err_writing)) = (pipe(), pipe());
    let pump = Pump::start(place.create(CAP), out, Some(err)).unwrap();
    drop(err_writing);
    write(&mut background, b"early");
    let end = pump.finish(OK).unwrap();
    let stops = tokio::spawn(all(place.journal().reader(0)));
    let goes_on = tokio::spawn(all(place.journal().reader(0).past_end()));
    let records = soon(stops).await.unwrap();
    assert_eq!(records.last().unwrap().seq, end);
    write(&mut background, b"late");
    drop(background);
    let records = soon(goes_on).await.unwrap();
    assert_no_gap(&records, 1);
    assert_eq!(output(&records, Stream::Stdout), b"earlylate");
    assert!(records.last().unwrap().seq > end);
    soon(pump.closed()).await;
    let collected = place.journal().collect(Stream::Stdout, 100).unwrap();
    assert_eq!(
        collected.bytes, b"early",
        "an answer holds what was there at the end"
    );
}

#[tokio::test]
async fn late_output_is_capped_and_never_blocks() {
    let place = Place::new();
    let (out, mut background) = pipe();
    let pump = Pump::start(place.create(1000), out, None).unwrap();
    let end = pump.finish(OK).unwrap();
    let child = std::thread::spawn(move || write(&mut background, &numbered(0, 4 << 20)));
    soon(pump.closed()).await;
    child.join().unwrap();
    let records = now(place.journal().reader(0).past_end());
    assert_eq!(records[0].seq, end);
    assert_eq!(output(&records, Stream::Stdout), numbered(0, 1000));
    assert_eq!(records.last().unwrap().body, RecordBody::Truncated);
}

#[tokio::test]
async fn a_stopped_pump_leaves_the_rest_in_the_pipe_for_the_next_one() {
    let mut place = Place::new();
    let (out, mut writing) = pipe();
    let spare = out.try_clone().unwrap();
    let pump = Pump::start(place.create(CAP), out, None).unwrap();
    let mut reader = place.journal().reader(0);
    write(&mut writing, b"one");
    soon(reader.next()).await.unwrap().unwrap();
    pump.stop().await;
    write(&mut writing, b"two");
    place.restart();
    let writer = place.journals.reopen(&place.id, CAP).unwrap();
    let pump = Pump::start(writer, spare, None).unwrap();
    drop(writing);
    soon(pump.closed()).await;
    pump.finish(OK).unwrap();
    let records = now(place.journal().reader(0));
    assert_no_gap(&records, 1);
    assert_eq!(output(&records, Stream::Stdout), b"onetwo");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_floods_are_drained_side_by_side_past_the_cap() {
    let place = Place::new();
    let ((out, mut out_writing), (err, mut err_writing)) = (pipe(), pipe());
    // Both have begun, so that it is the pump alone that decides whose turn it is.
    write(&mut out_writing, &numbered(0, 1 << 16));
    write(&mut err_writing, &numbered(0, 1 << 16));
    let floods = [out_writing, err_writing]
        .map(|mut pipe| std::thread::spawn(move || write(&mut pipe, &numbered(1 << 16, 6 << 20))));
    let pump = Pump::start(place.create(3 << 20), out, Some(err)).unwrap();
    soon(pump.closed()).await;
    for flood in floods {
        flood.join().unwrap();
    }
    let status = pump.status();
    assert!(status.truncated);
    let kept = [Stream::Stdout, Stream::Stderr].map(|stream| status.stream_bytes(stream));
    assert_eq!(kept[0] + kept[1], 3 << 20);
    assert!(
        kept[0] > 0 && kept[1] > 0,
        "{kept:?}: neither waits for the other's end"
    );
    let records = now(place.journal().reader(0));
    for (stream, kept) in [(Stream::Stdout, kept[0]), (Stream::Stderr, kept[1])] {
        assert!(output(&records, stream) == numbered(0, usize::try_from(kept).unwrap()));
    }
}

#[tokio::test]
async fn a_terminal_works_in_place_of_a_pipe() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let place = Place::new();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let path = std::path::PathBuf::from(name.into_string().unwrap());
    let mut inside = File::options().read(true).write(true).open(path).unwrap();
    let pump = Pump::start(place.create(CAP), terminal, None).unwrap();
    write(&mut inside, b"hello\n");
    drop(inside);
    soon(pump.closed()).await;
    pump.finish(OK).unwrap();
    assert_eq!(
        place.journal().collect(Stream::Stdout, 100).unwrap().bytes,
        b"hello\r\n"
    );
}

#[tokio::test]
async fn a_socket_works_in_place_of_a_pipe() {
    let place = Place::new();
    let (socket, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let pump = Pump::start(place.create(150_000), OwnedFd::from(socket), None).unwrap();
    let sender = std::thread::spawn(move || far.write_all(&numbered(0, 400_000)).unwrap());
    soon(pump.closed()).await;
    sender.join().unwrap();
    pump.finish(OK).unwrap();
    let collected = place.journal().collect(Stream::Stdout, usize::MAX).unwrap();
    assert!(collected.truncated);
    assert!(collected.bytes == numbered(0, 150_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_with_a_follower_costs_little_memory() {
    const FLOOD: u64 = 256 << 20;
    let place = Place::new();
    let (out, writing) = pipe();
    let reader = place.create_and_read();
    let pump = Pump::start(reader.0, out, None).unwrap();
    let script = format!("head -c {FLOOD} /dev/zero");
    let before = resident_kib();
    let mut child = sh(
        &script,
        writing,
        File::options().write(true).open("/dev/null").unwrap(),
    );
    let follower = tokio::spawn(async move {
        let mut reader = reader.1;
        let (mut bytes, mut most) = (0, 0);
        while let Some(record) = soon(reader.next()).await.unwrap() {
            if let RecordBody::Output { bytes: more, .. } = record.body {
                bytes += more.len() as u64;
            }
            most = most.max(resident_kib());
        }
        (bytes, most)
    });
    soon(pump.closed()).await;
    child.wait().unwrap();
    pump.finish(OK).unwrap();
    let (bytes, most) = soon(follower).await.unwrap();
    assert_eq!(bytes, CAP);
    assert!(most - before < 16 << 10, "{} KiB more", most - before);
}

/// Anonymous memory of this process: the page cache of the journal does not count.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
