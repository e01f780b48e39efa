//! Pages without gaps, both ends without lies.

use pinfold_sdk::Encoding;

use super::*;

fn record(seq: u64, stream: StreamName, bytes: &[u8]) -> Record {
    let (encoding, data) = Encoding::encode(bytes.to_vec());
    Record::Output {
        seq,
        time: String::new(),
        stream,
        encoding,
        data,
    }
}

#[test]
fn what_does_not_fit_is_read_on_without_gap_and_overlap() {
    let records: Vec<_> = (1..=5u64)
        .map(|n| {
            let text = "äx".repeat(10_000 + usize::try_from(n).expect("small"));
            record(n, StreamName::Stdout, text.as_bytes())
        })
        .collect();
    let whole: Vec<u8> = records.iter().flat_map(bytes_of).collect();
    let (mut read, mut position) = (String::new(), Position::default());
    for _ in 0..20 {
        let mut gathered = Gathered::page(position);
        for record in records.iter().filter(|record| record.seq() > position.seq) {
            gathered.push(record);
        }
        let text = gathered.text();
        assert!(text.len() <= TEXT_MAX_BYTES);
        read.push_str(&text);
        position = gathered.next().to_string().parse().expect("its own form");
        if !gathered.is_full() {
            break;
        }
    }
    assert_eq!(read.as_bytes(), whole);
}

#[test]
fn the_beginning_and_the_end_of_much_are_kept_and_the_gap_is_told() {
    let mut gathered = Gathered::both_ends();
    for n in 1..=10_000u64 {
        let stream = if n % 2 == 0 {
            StreamName::Stdout
        } else {
            StreamName::Stderr
        };
        gathered.push(&record(n, stream, format!("line {n} grün\n").as_bytes()));
    }
    let text = gathered.text();
    assert!(text.starts_with("line 1 grün\n") && text.ends_with("line 10000 grün\n"));
    assert!(text.len() <= TEXT_MAX_BYTES + 64, "{}", text.len());
    let told = format!("[... {} bytes left out here ...]", gathered.left_out());
    assert!(text.contains(&told) && gathered.left_out() > 0);
    assert!(!text.contains('\u{FFFD}'), "no character is cut");
    assert!(
        gathered
            .of(StreamName::Stdout)
            .ends_with("line 10000 grün\n")
    );
    assert!(!gathered.of(StreamName::Stdout).contains("line 9999 "));
}

#[test]
fn what_fits_is_whole_and_a_character_in_two_records_is_one() {
    let mut gathered = Gathered::both_ends();
    gathered.push(&record(1, StreamName::Stdout, b"gr\xC3"));
    gathered.push(&record(2, StreamName::Stdout, b"\xBCn\n"));
    gathered.push(&record(3, StreamName::Stderr, b"oh\n"));
    assert_eq!(gathered.text(), "grün\noh\n");
    assert_eq!(gathered.of(StreamName::Stderr), "oh\n");
    assert_eq!(gathered.left_out(), 0);
}

#[test]
fn what_fits_into_beginning_and_end_is_whole_and_read_on_behind_it() {
    let mut gathered = Gathered::both_ends();
    let text = "x".repeat(TEXT_MAX_BYTES / 2 + 1000);
    gathered.push(&record(1, StreamName::Stdout, text.as_bytes()));
    assert_eq!(gathered.left_out(), 0);
    assert_eq!(gathered.text(), text);
    assert_eq!(gathered.next().to_string(), "1");
}

#[test]
fn places_do_not_cut_characters_and_bytes_that_are_no_text_go_on() {
    let text = "aä€𝄞".as_bytes();
    let starts = [0, 1, 3, 6, 10];
    for at in 1..=text.len() {
        let place = boundary(text, at);
        assert!(
            starts.contains(&place) && place <= at && at - place < 4,
            "{at}"
        );
    }
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\x80\x80\x80\x80\x80", b"\xf0ab"] {
        assert_eq!(boundary(bytes, bytes.len()), bytes.len());
    }
}

#[test]
fn positions_that_are_none_are_told() {
    for text in ["", "x", "1+", "-1", "1+2+3"] {
        assert!(text.parse::<Position>().is_err(), "{text:?}");
    }
}
