//! The cap, in bytes of output and in bytes of file.

use std::fs;

use pinfold_model::journal::{RecordBody, Stream};
use proptest::prelude::*;

use super::super::writer::Taken;
use super::super::{Collected, RECORD_MAX_BYTES};
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
fn a_command_that_wrote_nothing_has_no_file_until_it_ends() {
    let place = Place::new();
    let mut writer = place.create(100);
    let (out, _writing) = pipe();
    assert_eq!(
        writer.take(Stream::Stdout, source(&out), 100),
        Taken::Nothing
    );
    assert!(!place.file().exists());
    writer.end(OK).unwrap();
    assert_eq!(fs::metadata(place.file()).unwrap().len(), 40);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        fs::metadata(place.file()).unwrap().permissions().mode() & 0o777,
        0o600
    );
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
