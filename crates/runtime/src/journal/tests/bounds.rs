//! The cap, in bytes of output and in bytes of file.

use std::fs;

use pinfold_model::journal::{RecordBody, Stream};
use pinfold_model::{CommandState, Time};
use proptest::prelude::*;

use super::super::writer::Taken;
use super::super::{Collected, OpenError, RECORD_MAX_BYTES};
use super::{OK, Place, assert_no_gap, drain, now, numbered, output, pipe, source, write};

#[test]
fn at_the_cap_one_mark_stands_for_all_that_is_dropped() {
    let mut place = Place::new();
    let mut writer = place.create(10);
    let (out, mut writing) = pipe();
    write(&mut writing, &numbered(0, 7));
    drain(&mut writer, Stream::Stdout, &out);
    write(&mut writing, &numbered(7, 50));
    drain(&mut writer, Stream::Stdout, &out);
    write(&mut writing, b"still taken from the pipe");
    drain(&mut writer, Stream::Stdout, &out);
    assert_eq!(source(&out).available().unwrap(), 0);
    writer.append(Stream::Stderr, b"dropped too");
    writer.end(OK).unwrap();
    drop(writer);
    place.restart();

    let records = now(place.journal().reader(0));
    assert_no_gap(&records, 1);
    assert_eq!(output(&records, Stream::Stdout), numbered(0, 10));
    assert_eq!(output(&records, Stream::Stderr), b"");
    assert_eq!(records[2].body, RecordBody::Truncated);
    assert_eq!(records[3].body, RecordBody::End { state: OK });
    assert_eq!(records.len(), 4);
    assert!(place.journal().status().truncated);
    let collected = place.journal().collect(Stream::Stdout, 100).unwrap();
    assert_eq!(
        collected,
        Collected {
            bytes: numbered(0, 10),
            truncated: true
        }
    );
}

#[test]
fn output_of_exactly_the_cap_is_whole() {
    let place = Place::new();
    let mut writer = place.create(10);
    writer.append(Stream::Stdout, &numbered(0, 10));
    writer.end(OK).unwrap();
    let collected = place.journal().collect(Stream::Stdout, 10).unwrap();
    assert_eq!(
        collected,
        Collected {
            bytes: numbered(0, 10),
            truncated: false
        }
    );
}

#[test]
fn a_restarted_server_keeps_to_the_cap_and_makes_no_second_mark() {
    let mut place = Place::new();
    let mut writer = place.create(10);
    writer.append(Stream::Stdout, &[1; 8]);
    drop(writer);
    for _ in 0..2 {
        place.restart();
        let mut writer = place.journals.reopen(&place.id, 10).unwrap();
        writer.append(Stream::Stdout, &[2; 8]);
        drop(writer);
    }
    let records = now(place.journal().reader(0));
    assert_eq!(
        output(&records, Stream::Stdout),
        [1, 1, 1, 1, 1, 1, 1, 1, 2, 2]
    );
    assert_eq!(
        records
            .iter()
            .filter(|r| r.body == RecordBody::Truncated)
            .count(),
        1
    );
}

#[test]
fn the_first_ending_stays_and_only_endings_are_taken() {
    use pinfold_model::{CommandState, ExitStatus};
    let mut place = Place::new();
    let mut writer = place.create(10);
    assert!(writer.end(CommandState::Running).is_err());
    let seq = writer
        .end(CommandState::Exited(ExitStatus::Signal(9)))
        .unwrap();
    assert_eq!(writer.end(CommandState::Lost).unwrap(), seq);
    drop(writer);
    place.restart();
    let mut writer = place.journals.reopen(&place.id, 10).unwrap();
    assert_eq!(writer.end(CommandState::Lost).unwrap(), seq);
    let end = place.journal().status().end.unwrap();
    assert_eq!(end.state, CommandState::Exited(ExitStatus::Signal(9)));
}

#[test]
fn single_bytes_cannot_make_a_file_longer_than_its_bound() {
    let place = Place::new();
    let cap = 16 << 10;
    let mut writer = place.create(cap);
    for _ in 0..cap {
        writer.append(Stream::Stdout, b"x");
    }
    assert!(
        !writer.status().truncated,
        "40 bytes of file each are within the bound of this cap"
    );
    drop(writer);

    let place = Place::new();
    let cap = 1 << 20;
    let mut writer = place.create(cap);
    while !writer.status().truncated {
        writer.append(Stream::Stdout, b"x");
    }
    writer.end(OK).unwrap();
    let len = fs::metadata(place.file()).unwrap().len();
    let bound = 4 * cap + (1 << 20);
    assert!(
        (bound - 100..=bound + 100).contains(&len),
        "{len} of {bound}"
    );
}

#[test]
fn no_record_is_longer_than_its_bound() {
    let place = Place::new();
    let mut writer = place.create(u64::MAX);
    let bytes = numbered(0, 3 * RECORD_MAX_BYTES + 1);
    writer.append(Stream::Stdout, &bytes);
    let records = now(place.journal().reader(0));
    assert_eq!(records.len(), 4);
    assert!(output(&records, Stream::Stdout) == bytes);
}

#[test]
fn a_file_is_made_with_the_first_byte_and_for_nobody_else_to_read() {
    let place = Place::new();
    let mut writer = place.create(100);
    let (out, mut writing) = pipe();
    assert_eq!(
        writer.take(Stream::Stdout, source(&out), 100),
        Taken::Nothing
    );
    assert!(!place.file().exists());
    write(&mut writing, b"x");
    drain(&mut writer, Stream::Stdout, &out);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        fs::metadata(place.file()).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_command_that_wrote_nothing_has_no_file_and_its_end_is_found_by_the_next_server() {
    let mut place = Place::new();
    let mut writer = place.create(100);
    assert_eq!(writer.end(OK).unwrap(), 1);
    let seen = now(place.journal().reader(0));
    assert_eq!(seen.len(), 1);
    drop(writer);
    assert!(!place.file().exists());
    assert!(matches!(
        place.journals.create(&place.id, 100),
        Err(OpenError::Exists(_))
    ));
    place.restart();
    assert!(!place.file().exists());
    assert_eq!(
        now(place.journal().reader(0)),
        seen,
        "number, time and state"
    );
    assert!(now(place.journal().reader(1)).is_empty());
    assert_eq!(place.journal().page(0, 10, None).unwrap().records, seen);
    place.journals.remove(&place.id).unwrap();
    assert!(matches!(
        place.journals.get(&place.id),
        Err(OpenError::NotFound(_))
    ));
}

#[test]
fn what_follows_the_end_of_a_silent_command_stands_behind_it() {
    for restarts in [false, true] {
        let mut place = Place::new();
        let mut writer = place.create(100);
        writer.end(OK).unwrap();
        if restarts {
            drop(writer);
            place.restart();
            writer = place.journals.reopen(&place.id, 100).unwrap();
        }
        assert_eq!(
            writer.end(CommandState::Lost).unwrap(),
            1,
            "the first stays"
        );
        writer.append(Stream::Stdout, b"late");
        drop(writer);
        place.restart();
        let records = now(place.journal().reader(0).past_end());
        assert_no_gap(&records, 1);
        assert_eq!(records[0].body, RecordBody::End { state: OK });
        assert_eq!(output(&records, Stream::Stdout), b"late");
        assert_eq!(now(place.journal().reader(0)).len(), 1);
    }
}

#[test]
fn a_file_that_was_not_begun_with_the_end_does_not_hide_it() {
    let whole = {
        let place = Place::new();
        let mut writer = place.create(100);
        writer.end(OK).unwrap();
        writer.append(Stream::Stdout, b"late");
        drop(writer);
        fs::read(place.file()).unwrap()
    };
    for cut in 0..40 {
        let mut place = Place::new();
        let mut writer = place.create(100);
        writer.end(OK).unwrap();
        drop(writer);
        // A server that was killed as late output came, or met a full disk.
        fs::write(place.file(), &whole[..cut]).unwrap();
        for of_record in [false, true] {
            if of_record {
                fs::remove_file(place.dir.path().join("silent")).unwrap();
                place.restart();
                assert!(matches!(
                    place.journals.get(&place.id),
                    Err(OpenError::NotFound(_))
                ));
                place.journals.silent(&place.id, Time::now(), OK);
            } else {
                place.restart();
            }
            let records = now(place.journal().reader(0));
            assert_eq!(records.len(), 1, "cut at {cut}");
            assert_eq!(records[0].body, RecordBody::End { state: OK });
        }
        let mut writer = place.journals.reopen(&place.id, 100).unwrap();
        assert_eq!(writer.end(CommandState::Lost).unwrap(), 1);
        writer.append(Stream::Stdout, b"later");
        drop(writer);
        place.restart();
        let records = now(place.journal().reader(0).past_end());
        assert_no_gap(&records, 1);
        assert_eq!(records[0].body, RecordBody::End { state: OK });
        assert_eq!(output(&records, Stream::Stdout), b"later", "cut at {cut}");
    }
}

#[test]
fn a_silent_command_of_long_ago_is_told_of_by_its_record() {
    let place = Place::new();
    let at = Time::from_microsecond(5).unwrap();
    let journal = place.journals.silent(&place.id, at, OK);
    let records = now(journal.reader(0));
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].seq, records[0].time), (1, at));
    assert_eq!(records[0].body, RecordBody::End { state: OK });
    assert!(!place.file().exists());
}

proptest! {
    #[test]
    fn any_cap_keeps_exactly_the_first_bytes(cap in 0..100_u64, parts in prop::collection::vec(1..40_usize, 0..8)) {
        let place = Place::new();
        let mut writer = place.create(cap);
        let (out, mut writing) = pipe();
        let mut sent = 0;
        for len in parts {
            write(&mut writing, &numbered(sent, len));
            sent += len as u64;
            drain(&mut writer, Stream::Stdout, &out);
        }
        writer.end(OK).unwrap();
        let kept = usize::try_from(sent.min(cap)).unwrap();
        let collected = place.journal().collect(Stream::Stdout, usize::MAX).unwrap();
        prop_assert_eq!(collected, Collected { bytes: numbered(0, kept), truncated: sent > cap });
        assert_no_gap(&now(place.journal().reader(0)), 1);
    }
}
