//! Readers: many, slow, resuming, of streams, pages and tails; and the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use pinfold_model::journal::{RecordBody, Stream};
use pinfold_model::{CommandId, Time};

use super::super::{Journals, OpenError, PAGE_MAX_BYTES, Pump, RECORD_MAX_BYTES, ReadError};
use super::{CAP, OK, Place, all, assert_no_gap, now, numbered, output, pipe, soon, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_that_drop_and_resume_all_see_the_same() {
    const BYTES: usize = 1 << 20;
    let place = Place::new();
    let (out, mut writing) = pipe();
    let pump = Pump::start(place.create(CAP), out, None).unwrap();
    let journal = place.journal();
    let readers: Vec<_> = (1..21_u64)
        .map(|patience| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                let mut records = Vec::new();
                loop {
                    // Each time from the last number that was seen, by a new reader.
                    let after = records.len() as u64;
                    let mut reader = journal.reader(after);
                    for _ in 0..patience {
                        match soon(reader.next()).await.unwrap() {
                            Some(record) => records.push(record),
                            None => return records,
                        }
                    }
                    assert_eq!(reader.position(), records.len() as u64);
                }
            })
        })
        .collect();
    let producer = std::thread::spawn(move || {
        for (at, part) in numbered(0, BYTES).chunks(3001).enumerate() {
            write(&mut writing, part);
            if at % 64 == 0 {
                std::thread::yield_now();
            }
        }
    });
    soon(pump.closed()).await;
    producer.join().unwrap();
    pump.finish(OK).unwrap();
    for reader in readers {
        let records = soon(reader).await.unwrap();
        assert_no_gap(&records, 1);
        assert!(output(&records, Stream::Stdout) == numbered(0, BYTES));
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nobody_up() {
    let place = Place::new();
    let (out, mut writing) = pipe();
    let pump = Pump::start(place.create(CAP), out, None).unwrap();
    let mut slow = place.journal().reader(0);
    write(&mut writing, &numbered(0, 8));
    let first = soon(slow.next()).await.unwrap().unwrap();
    assert_eq!(first.seq, 1);
    let producer = std::thread::spawn(move || write(&mut writing, &numbered(8, 6 << 20)));
    soon(pump.closed()).await;
    producer.join().unwrap();
    pump.finish(OK).unwrap();
    let rest = all(slow).await;
    assert_no_gap(&rest, 2);
    assert!(output(&rest, Stream::Stdout) == numbered(8, 6 << 20));
}

#[tokio::test]
async fn a_waiting_reader_can_be_dropped_and_asked_again() {
    let place = Place::new();
    let mut writer = place.create(CAP);
    let mut reader = place.journal().reader(0);
    for seq in 1..5 {
        // Gives up while it waits.
        tokio::select! {
            biased;
            record = reader.next() => panic!("{record:?} came from nowhere"),
            () = tokio::task::yield_now() => {}
        }
        writer.append(Stream::Stderr, b"x");
        assert_eq!(soon(reader.next()).await.unwrap().unwrap().seq, seq);
    }
}

#[tokio::test]
async fn a_reader_of_the_future_waits_for_it() {
    let place = Place::new();
    let mut writer = place.create(CAP);
    let reader = tokio::spawn(all(place.journal().reader(2)));
    for _ in 0..4 {
        writer.append(Stream::Stdout, b"x");
        tokio::task::yield_now().await;
    }
    writer.end(OK).unwrap();
    assert_no_gap(&soon(reader).await.unwrap(), 3);
}

#[tokio::test]
async fn readers_go_on_when_the_writer_is_replaced() {
    let place = Place::new();
    let mut writer = place.create(CAP);
    let reader = tokio::spawn(all(place.journal().reader(0)));
    writer.append(Stream::Stdout, b"one");
    drop(writer);
    tokio::task::yield_now().await;
    let mut writer = place.journals.reopen(&place.id, CAP).unwrap();
    writer.append(Stream::Stdout, b"two");
    writer.end(OK).unwrap();
    let records = soon(reader).await.unwrap();
    assert_no_gap(&records, 1);
    assert_eq!(output(&records, Stream::Stdout), b"onetwo");
}

/// Both streams, many records of many sizes; far more than one stride of the index.
fn long(place: &Place) -> (Vec<u8>, Vec<u8>) {
    let mut writer = place.create(CAP);
    let mut kept = (Vec::new(), Vec::new());
    for turn in 0..3000_usize {
        let bytes = numbered(turn as u64 * 1000, 1 + turn * 37 % 2000);
        let (stream, all) = match turn % 3 {
            0 => (Stream::Stderr, &mut kept.1),
            _ => (Stream::Stdout, &mut kept.0),
        };
        writer.append(stream, &bytes);
        all.extend(bytes);
    }
    writer.end(OK).unwrap();
    kept
}

#[test]
fn long_journals_are_entered_anywhere_live_or_from_the_file() {
    let mut place = Place::new();
    let (out, err) = long(&place);
    for restarted in [false, true] {
        if restarted {
            place.restart();
        }
        let journal = place.journal();
        let records = now(journal.reader(0));
        assert_eq!(records.len(), 3001);
        for after in [0, 1, 2, 499, 500, 1733, 2999, 3000, 3001, 9999] {
            let rest = now(journal.reader(after));
            assert_eq!(
                rest[..],
                records[records.len().min(usize::try_from(after).unwrap())..]
            );
        }
        for (stream, kept) in [(Stream::Stdout, &out), (Stream::Stderr, &err)] {
            for from in [
                0,
                1,
                1000,
                kept.len() / 2,
                kept.len() - 1,
                kept.len(),
                kept.len() + 5,
            ] {
                let rest = now(journal.stream_reader(stream, from as u64));
                assert!(output(&rest, stream) == kept[from.min(kept.len())..]);
                assert!(matches!(rest.last().unwrap().body, RecordBody::End { .. }));
            }
            let only = now(journal.reader(0).only(stream));
            assert!(output(&only, stream) == **kept);
            let tail = journal.tail(7, Some(stream)).unwrap();
            assert_eq!(tail.records[..], only[only.len() - 7..]);
        }
        assert_eq!(
            journal.tail(500, None).unwrap().records[..],
            records[3001 - 500..]
        );
    }
}

#[test]
fn a_stream_reader_goes_on_from_its_byte_position() {
    let place = Place::new();
    let (out, _) = long(&place);
    let journal = place.journal();
    let mut bytes = Vec::new();
    loop {
        let mut reader = journal.stream_reader(Stream::Stdout, bytes.len() as u64);
        let Some(record) = reader.try_next().unwrap() else {
            break;
        };
        bytes.extend(output(&[record], Stream::Stdout));
        assert!(reader.byte_position(Stream::Stdout) >= bytes.len() as u64);
        if reader.position() == 3001 {
            break;
        }
    }
    assert!(bytes == out);
}

#[test]
fn pages_follow_each_other_without_gap_and_stay_within_their_bounds() {
    let place = Place::new();
    let (out, _) = long(&place);
    let journal = place.journal();
    let (mut after, mut bytes, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = journal.page(after, 100, Some(Stream::Stdout)).unwrap();
        assert!(page.records.len() <= 100);
        bytes.extend(output(&page.records, Stream::Stdout));
        pages += 1;
        after = page.last_seq;
        if !page.more {
            break;
        }
    }
    assert_eq!((after, pages), (3001, 21));
    assert!(bytes == out);
}

#[test]
fn pages_of_large_records_are_cut_by_their_bytes() {
    let place = Place::new();
    let mut writer = place.create(CAP);
    for at in 0..10 {
        writer.append(Stream::Stdout, &numbered(at, RECORD_MAX_BYTES));
    }
    let fits = PAGE_MAX_BYTES / RECORD_MAX_BYTES;
    let page = place.journal().page(2, 100, None).unwrap();
    assert_eq!(
        (page.records.len(), page.last_seq, page.more),
        (fits, 2 + fits as u64, true)
    );
    let tail = place.journal().tail(100, None).unwrap();
    assert_no_gap(&tail.records, 11 - fits as u64);
    assert_eq!(tail.records.len(), fits);
}

#[test]
fn collecting_stops_at_its_bound_and_says_so() {
    let place = Place::new();
    let (out, err) = long(&place);
    let journal = place.journal();
    let collected = journal.collect(Stream::Stdout, 12_345).unwrap();
    assert!(collected.bytes == out[..12_345] && collected.truncated);
    let collected = journal.collect(Stream::Stderr, err.len()).unwrap();
    assert!(collected.bytes == err && !collected.truncated);
}

#[test]
fn collecting_looks_at_nothing_behind_its_bound() {
    use std::io::{Seek, SeekFrom, Write};
    let place = Place::new();
    let mut writer = place.create(CAP);
    for at in 0..3 {
        writer.append(Stream::Stdout, &numbered(at, RECORD_MAX_BYTES));
    }
    writer.end(OK).unwrap();
    let journal = place.journal();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(place.file())
        .unwrap();
    // The third record is found damaged by whoever comes to it.
    let third = 2 * RECORD_MAX_BYTES as u64 + 64;
    file.seek(SeekFrom::Start(third)).unwrap();
    file.write_all(&[0xff; RECORD_MAX_BYTES]).unwrap();
    let collected = journal.collect(Stream::Stdout, RECORD_MAX_BYTES).unwrap();
    assert!(collected.bytes.len() == RECORD_MAX_BYTES && collected.truncated);
    assert!(matches!(
        journal.collect(Stream::Stderr, 1),
        Err(ReadError::Damaged { .. })
    ));
}

#[tokio::test]
async fn a_stream_is_copied_as_it_is() {
    let place = Place::new();
    let (out, _) = long(&place);
    let mut copy = Vec::new();
    let reader = place.journal().stream_reader(Stream::Stdout, 77);
    let copied = soon(reader.copy_to(&mut copy)).await.unwrap();
    assert_eq!(copied, out.len() as u64 - 77);
    assert!(copy == out[77..]);
}

#[test]
fn times_come_from_the_clock_and_survive() {
    static NOW: AtomicI64 = AtomicI64::new(1_700_000_000_000_000);
    fn clock() -> Time {
        Time::from_microsecond(NOW.fetch_add(1, Ordering::Relaxed)).unwrap()
    }
    let dir = tempfile::tempdir().unwrap();
    let id = CommandId::generate();
    let mut writer = Journals::with_clock(dir.path(), clock)
        .unwrap()
        .create(&id, CAP)
        .unwrap();
    writer.append(Stream::Stdout, b"a");
    writer.end(OK).unwrap();
    drop(writer);
    let records = now(Journals::open(dir.path()).unwrap().reader(&id, 0).unwrap());
    let times: Vec<i64> = records
        .iter()
        .map(|record| record.time.as_microsecond())
        .collect();
    assert_eq!(times, [1_700_000_000_000_000, 1_700_000_000_000_001]);
}

#[tokio::test]
async fn a_journal_nobody_writes_ends_where_its_file_ends() {
    let mut place = Place::new();
    place
        .create(CAP)
        .append(Stream::Stdout, b"before the crash");
    place.restart();
    let records = all(place.journal().reader(0)).await;
    assert_eq!(output(&records, Stream::Stdout), b"before the crash");
    assert_eq!(records.len(), 1);
}

#[test]
fn the_registry_knows_one_writer_and_refuses_what_cannot_be() {
    let place = Place::new();
    let (journals, id) = (&place.journals, &place.id);
    assert!(matches!(journals.get(id), Err(OpenError::NotFound(_))));
    let mut writer = place.create(CAP);
    assert!(matches!(
        journals.create(id, CAP),
        Err(OpenError::Exists(_))
    ));
    assert!(matches!(journals.reopen(id, CAP), Err(OpenError::InUse(_))));
    assert!(matches!(journals.remove(id), Err(OpenError::InUse(_))));
    writer.append(Stream::Stdout, b"x");
    drop(writer);
    assert!(matches!(
        journals.create(id, CAP),
        Err(OpenError::Exists(_))
    ));
    assert_eq!(&journals.list().unwrap()[..], std::slice::from_ref(id));
    let mut reader = journals.reader(id, 0).unwrap();
    journals.remove(id).unwrap();
    journals.remove(id).unwrap();
    assert!(!place.file().exists());
    assert!(matches!(reader.try_next(), Err(ReadError::Removed)));
    assert!(matches!(journals.get(id), Err(OpenError::NotFound(_))));
    assert!(journals.list().unwrap().is_empty());
    place.create(CAP).append(Stream::Stdout, b"anew");
    assert_eq!(now(place.journal().reader(0)).len(), 1);
}

#[test]
fn a_file_of_another_version_is_left_alone() {
    let place = Place::new();
    place.create(CAP).append(Stream::Stdout, b"x");
    let mut bytes = std::fs::read(place.file()).unwrap();
    bytes[2] = 9;
    let check = crc32fast::hash(&bytes[..28]).to_le_bytes();
    bytes[28..32].copy_from_slice(&check);
    std::fs::write(place.file(), &bytes).unwrap();
    let later = Journals::open(place.dir.path()).unwrap();
    assert!(matches!(
        later.reopen(&place.id, CAP),
        Err(OpenError::Foreign(_))
    ));
    assert!(matches!(later.get(&place.id), Err(OpenError::Foreign(_))));
    assert_eq!(std::fs::read(place.file()).unwrap(), bytes);
}

#[test]
fn descriptors_and_indexes_of_ended_journals_are_not_hoarded() {
    let dir = tempfile::tempdir().unwrap();
    let journals = Journals::open(dir.path()).unwrap();
    let ids: Vec<CommandId> = (0..300).map(|_| CommandId::generate()).collect();
    for id in &ids {
        journals.create(id, CAP).unwrap().end(OK).unwrap();
    }
    for id in &ids {
        assert_eq!(now(journals.reader(id, 0).unwrap()).len(), 1);
    }
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter(|target| target.starts_with(dir.path()))
        .count();
    assert!(open <= 64, "{open} files open");
}
