//! Random histories against the simplest possible journal: two byte strings.

use pinfold_model::journal::{RecordBody, Stream};
use proptest::prelude::*;

use super::super::{JournalWriter, PAGE_MAX_RECORDS};
use super::{CAP, OK, Place, assert_no_gap, drain, now, output, pipe, source, write};

#[derive(Debug, Clone)]
enum Step {
    Write(Stream, Vec<u8>),
    Drain(Stream),
    /// A turn that may take only so much.
    Take(Stream, usize),
    /// Bytes that come without a pipe.
    Append(Stream, Vec<u8>),
    /// Read from after this part (of 255) of the numbers.
    Read(u8),
    /// Read a stream from this part (of 255) of its bytes.
    ReadStream(Stream, u8),
    Tail(usize),
    /// The writer is gone without a word, and another one takes over, in the same process or not.
    Reopen,
    Restart,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let stream = || prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        6 => (stream(), bytes()).prop_map(|(stream, bytes)| Step::Write(stream, bytes)),
        4 => stream().prop_map(Step::Drain),
        3 => (stream(), 1..50usize).prop_map(|(stream, limit)| Step::Take(stream, limit)),
        1 => (stream(), bytes()).prop_map(|(stream, bytes)| Step::Append(stream, bytes)),
        2 => any::<u8>().prop_map(Step::Read),
        2 => (stream(), any::<u8>()).prop_map(|(stream, part)| Step::ReadStream(stream, part)),
        1 => (1..20usize).prop_map(Step::Tail),
        1 => Just(Step::Reopen),
        1 => Just(Step::Restart),
        1 => Just(Step::End),
    ]
}

/// What the streams have to be: bytes still in the pipe, and bytes in the journal.
#[derive(Default)]
struct Model {
    waiting: [Vec<u8>; 2],
    kept: [Vec<u8>; 2],
}

impl Model {
    fn take(&mut self, stream: Stream, limit: usize) {
        let waiting = &mut self.waiting[stream as usize];
        let taken: Vec<u8> = waiting.drain(..limit.min(waiting.len())).collect();
        self.kept[stream as usize].extend(taken);
    }
}

fn check(place: &Place, model: &Model, writer: &JournalWriter) {
    let records = now(place.journal().reader(0).past_end());
    assert_no_gap(&records, 1);
    assert_eq!(records.len() as u64, writer.status().last_seq);
    for stream in [Stream::Stdout, Stream::Stderr] {
        let kept = &model.kept[stream as usize];
        assert_eq!(&output(&records, stream), kept);
        assert_eq!(writer.status().stream_bytes(stream), kept.len() as u64);
    }
    let ends = records
        .iter()
        .filter(|record| matches!(record.body, RecordBody::End { .. }));
    assert_eq!(ends.count(), usize::from(writer.status().end.is_some()));
}

fn part(of: u64, part: u8) -> u64 {
    of * u64::from(part) / 255
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_history_keeps_every_byte_once_and_numbers_without_gaps(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut place = Place::new();
        let mut writer = place.create(CAP);
        let (out, mut out_writing) = pipe();
        let (err, mut err_writing) = pipe();
        let mut model = Model::default();
        for step in steps {
            let end = |stream| if stream == Stream::Stdout { &out } else { &err };
            match step {
                Step::Write(stream, bytes) => {
                    let writing = if stream == Stream::Stdout { &mut out_writing } else { &mut err_writing };
                    write(writing, &bytes);
                    model.waiting[stream as usize].extend(bytes);
                }
                Step::Drain(stream) => {
                    drain(&mut writer, stream, end(stream));
                    model.take(stream, usize::MAX);
                }
                Step::Take(stream, limit) => {
                    writer.take(stream, source(end(stream)), limit);
                    model.take(stream, limit);
                }
                Step::Append(stream, bytes) => {
                    writer.append(stream, &bytes);
                    model.kept[stream as usize].extend(bytes);
                }
                Step::Read(at) => {
                    let after = part(writer.status().last_seq, at);
                    let records = now(place.journal().reader(0).past_end());
                    let rest = now(place.journal().reader(after).past_end());
                    prop_assert_eq!(&rest[..], &records[usize::try_from(after).unwrap()..]);
                    let page = place.journal().page(after, PAGE_MAX_RECORDS, None).unwrap();
                    prop_assert_eq!(page.records, rest);
                }
                Step::ReadStream(stream, at) => {
                    let kept = &model.kept[stream as usize];
                    let from = part(kept.len() as u64, at);
                    let reader = place.journal().stream_reader(stream, from).past_end();
                    let bytes = output(&now(reader), stream);
                    prop_assert_eq!(&bytes[..], &kept[usize::try_from(from).unwrap()..]);
                }
                Step::Tail(limit) => {
                    let records = now(place.journal().reader(0).past_end());
                    let tail = place.journal().tail(limit, None).unwrap();
                    prop_assert_eq!(&tail.records[..], &records[records.len().saturating_sub(limit)..]);
                }
                Step::Reopen => {
                    drop(writer);
                    writer = place.journals.reopen(&place.id, CAP).unwrap();
                }
                Step::Restart => {
                    drop(writer);
                    place.restart();
                    writer = place.journals.reopen(&place.id, CAP).unwrap();
                }
                Step::End => {
                    let seq = writer.end(OK).unwrap();
                    prop_assert_eq!(writer.end(OK).unwrap(), seq);
                }
            }
        }
        check(&place, &model, &writer);
        for stream in [Stream::Stdout, Stream::Stderr] {
            drain(&mut writer, stream, if stream == Stream::Stdout { &out } else { &err });
            model.take(stream, usize::MAX);
        }
        check(&place, &model, &writer);
        drop(writer);
        place.restart();
        writer = place.journals.reopen(&place.id, CAP).unwrap();
        check(&place, &model, &writer);
    }
}
