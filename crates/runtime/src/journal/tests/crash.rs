//! A writer that dies: at every byte of its last record, and by SIGKILL at any moment.

use std::fs::{self, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pinfold_model::CommandId;
use pinfold_model::journal::{Record, Stream};

use super::super::{Journals, Pump};
use super::{CAP, OK, Place, assert_no_gap, drain, now, numbered, output, pipe, write};

/// Which last record to cut.
#[derive(Debug, Clone, Copy)]
enum Last {
    Output,
    Truncated,
    End,
}

/// A journal with a few records, the last one of the wanted kind; its file offset.
fn with_last(place: &Place, last: Last) -> u64 {
    let mut writer = place.create(100);
    writer.append(Stream::Stdout, b"first");
    writer.append(Stream::Stderr, b"second, not a multiple of eight");
    let before = fs::metadata(place.file()).unwrap().len();
    match last {
        Last::Output => writer.append(Stream::Stdout, &numbered(0, 43)),
        Last::Truncated => {
            writer.append(Stream::Stdout, &[0; 64]);
            let before = fs::metadata(place.file()).unwrap().len();
            writer.append(Stream::Stdout, &[0; 1]);
            return before;
        }
        Last::End => {
            writer.end(OK).unwrap();
        }
    }
    before
}

#[test]
fn a_file_cut_at_any_byte_of_its_last_record_goes_on_without_gap_or_foreign_bytes() {
    for last in [Last::Output, Last::Truncated, Last::End] {
        let whole = Place::new();
        let before = with_last(&whole, last);
        let records = now(whole.journal().reader(0));
        let bytes = fs::read(whole.file()).unwrap();
        for cut in before..=bytes.len() as u64 {
            let mut place = Place::new();
            fs::write(place.file(), &bytes[..usize::try_from(cut).unwrap()]).unwrap();
            let kept = cut_records(&records, last, before, cut, bytes.len() as u64);

            // A reader of the unrepaired file sees the same and repairs nothing.
            assert_eq!(
                now(place.journal().reader(0)),
                kept,
                "{last:?} cut at {cut}"
            );
            assert_eq!(fs::metadata(place.file()).unwrap().len(), cut);

            place.restart();
            let mut writer = place.journals.reopen(&place.id, CAP).unwrap();
            assert_eq!(
                now(place.journal().reader(0)),
                kept,
                "{last:?} recovered at {cut}"
            );
            writer.append(Stream::Stderr, b"later");
            drop(writer);
            place.restart();
            let all = now(place.journal().reader(0).past_end());
            assert_no_gap(&all, 1);
            let dropped = writer_had_given_up(&kept);
            assert_eq!(&all[..kept.len()], &kept[..]);
            assert_eq!(all.len(), kept.len() + usize::from(!dropped));
        }
    }
}

fn writer_had_given_up(records: &[Record]) -> bool {
    use pinfold_model::journal::RecordBody;
    records
        .iter()
        .any(|record| record.body == RecordBody::Truncated)
}

/// What has to be left of `records` in a file of `cut` bytes.
fn cut_records(all: &[Record], last: Last, before: u64, cut: u64, whole: u64) -> Vec<Record> {
    use pinfold_model::journal::RecordBody;
    let mut kept = all.to_vec();
    let payload = (before.next_multiple_of(8)) + 32;
    if cut == whole {
        return kept;
    }
    match (last, kept.last_mut().map(|record| &mut record.body)) {
        (Last::Output, Some(RecordBody::Output { bytes, .. })) if cut > payload => {
            bytes.truncate(usize::try_from(cut - payload).unwrap());
        }
        _ => {
            kept.pop();
        }
    }
    kept
}

#[test]
fn dying_within_recovery_is_harmless() {
    let whole = Place::new();
    let before = with_last(&whole, Last::Output);
    let bytes = fs::read(whole.file()).unwrap();
    let cut = usize::try_from(before).unwrap().next_multiple_of(8) + 32 + 20;
    // The two states between which recovery can die: nothing done, length put right.
    let mut place = Place::new();
    fs::write(place.file(), &bytes[..cut]).unwrap();
    for _ in 0..3 {
        drop(place.journals.reopen(&place.id, CAP).unwrap());
        place.restart();
        assert_eq!(fs::metadata(place.file()).unwrap().len(), cut as u64);
        let records = now(place.journal().reader(0));
        assert_eq!(output(&records[2..], Stream::Stdout), numbered(0, 20));
    }
}

#[test]
fn a_header_without_bytes_gives_no_stream_what_is_not_its_own() {
    let mut place = Place::new();
    let mut writer = place.create(CAP);
    let (out, mut out_writing) = pipe();
    let (err, mut err_writing) = pipe();
    write(&mut out_writing, b"out");
    write(&mut err_writing, b"err");
    drain(&mut writer, Stream::Stdout, &out);
    drop(writer);
    // Killed between the header of stdout's next record and the splice; then stderr comes first.
    let end = fs::metadata(place.file()).unwrap().len();
    let header = fs::read(place.file()).unwrap()[..32].to_vec();
    let file = OpenOptions::new().write(true).open(place.file()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &header, end.next_multiple_of(8)).unwrap();
    place.restart();
    let mut writer = place.journals.reopen(&place.id, CAP).unwrap();
    drain(&mut writer, Stream::Stderr, &err);
    let records = now(place.journal().reader(0));
    assert_no_gap(&records, 1);
    assert_eq!(output(&records, Stream::Stdout), b"out");
    assert_eq!(output(&records, Stream::Stderr), b"err");
}

#[test]
fn damage_in_the_middle_is_not_taken_for_records() {
    let mut place = Place::new();
    let before = with_last(&place, Last::Output);
    let mut bytes = fs::read(place.file()).unwrap();
    bytes[usize::try_from(before.next_multiple_of(8)).unwrap() + 9] ^= 0x40;
    fs::write(place.file(), bytes).unwrap();
    place.restart();
    drop(place.journals.reopen(&place.id, CAP).unwrap());
    assert_eq!(now(place.journal().reader(0)).len(), 2);
}

const CHILD: &str = "PINFOLD_TEST_JOURNAL_CHILD";
const ROUNDS: usize = 24;
const TOTAL: u64 = 20 << 20;

/// In the child process: stdin is the reading end of stdout's pipe, stderr that of stderr's.
fn be_the_writer(spec: &str) {
    let (dir, id) = spec.split_once('|').expect("directory and id");
    let id: CommandId = id.parse().unwrap();
    let journals = Journals::open(dir.as_ref()).unwrap();
    let writer = journals.reopen(&id, u64::MAX).unwrap();
    let out = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let err = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let pump = Pump::start(writer, out, Some(err)).unwrap();
        pump.closed().await;
    });
}

#[test]
fn a_writer_killed_again_and_again_loses_and_doubles_nothing() {
    if let Ok(spec) = std::env::var(CHILD) {
        return be_the_writer(&spec);
    }
    let place = Place::new();
    let (out, out_writing) = pipe();
    let (err, err_writing) = pipe();
    let producers = [(out_writing, 1), (err_writing, 3)].map(|(mut pipe, pace)| {
        std::thread::spawn(move || {
            let mut sent = 0;
            let mut turn = pace;
            while sent < TOTAL {
                turn = (turn * 7919) % 130_003;
                let len = turn.min(usize::try_from(TOTAL - sent).unwrap());
                write(&mut pipe, &numbered(sent, len));
                sent += len as u64;
            }
        })
    });
    for round in 0..ROUNDS {
        kill_one_writer(&place, &out, &err, round);
    }
    // The last one is not killed.
    let mut last = start_writer(&place, &out, &err);
    for producer in producers {
        producer.join().unwrap();
    }
    assert!(last.wait().unwrap().success());

    let mut writer = place.journals.reopen(&place.id, u64::MAX).unwrap();
    writer.end(OK).unwrap();
    let journal = place.journal();
    let mut reader = journal.reader(0);
    let mut seen = [0_u64; 2];
    let mut seq = 0;
    while let Some(record) = reader.try_next().unwrap() {
        seq += 1;
        assert_eq!(record.seq, seq);
        if let pinfold_model::journal::RecordBody::Output { stream, bytes } = record.body {
            let seen = &mut seen[stream as usize];
            assert!(
                bytes == numbered(*seen, bytes.len()),
                "{stream:?} differs after {seen}"
            );
            *seen += bytes.len() as u64;
        }
    }
    assert_eq!(seen, [TOTAL, TOTAL]);
}

fn start_writer(place: &Place, out: &OwnedFd, err: &OwnedFd) -> std::process::Child {
    let name = "journal::tests::crash::a_writer_killed_again_and_again_loses_and_doubles_nothing";
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(
            CHILD,
            format!("{}|{}", place.dir.path().display(), place.id),
        )
        .stdin(Stdio::from(out.try_clone().unwrap()))
        .stderr(Stdio::from(err.try_clone().unwrap()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a writer do some of its work, more or less of it each round, and kills it.
fn kill_one_writer(place: &Place, out: &OwnedFd, err: &OwnedFd, round: usize) {
    let size = || fs::metadata(place.file()).map_or(0, |file| file.len());
    let goal = size() + 1 + (round as u64 * 104_729) % 300_000;
    let mut writer = start_writer(place, out, err);
    let deadline = Instant::now() + Duration::from_secs(60);
    while size() < goal {
        assert!(Instant::now() < deadline, "the writer does not write");
        assert_eq!(
            writer.try_wait().unwrap(),
            None,
            "the writer is still needed"
        );
        std::hint::spin_loop();
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
}
