//! Streams that nobody should have made. Those of the real tar are in host/local/archive.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn head(name: &[u8], kind: u8, size: &str) -> Vec<u8> {
    let mut head = vec![0u8; BLOCK];
    head[..name.len()].copy_from_slice(name);
    head[100..107].copy_from_slice(b"0000644");
    head[108..115].copy_from_slice(b"0000000");
    head[116..123].copy_from_slice(b"0000000");
    head[124..124 + size.len()].copy_from_slice(size.as_bytes());
    head[136..147].copy_from_slice(b"00000000000");
    head[156] = kind;
    head[257..263].copy_from_slice(b"ustar\0");
    head[148..156].copy_from_slice(b"        ");
    let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
    head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    head
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = parts.concat();
    out.extend([0; 2 * BLOCK]);
    out.resize(out.len().next_multiple_of(RECORD as usize), 0);
    out
}

pub type Read = Result<(Vec<(Entry, Vec<u8>)>, End), String>;

pub fn read_by(bytes: &[u8], piece: usize) -> Read {
    let (mut reader, mut all) = (Reader::default(), Vec::<(Entry, Vec<u8>)>::new());
    for piece in bytes.chunks(piece) {
        reader.push(piece, |part| {
            match part {
                Part::Entry(e) => all.push((e, Vec::new())),
                Part::Data(d) => all.last_mut().unwrap().1.extend_from_slice(d),
            }
            Ok(())
        })?;
    }
    reader.end().map(|end| (all, end))
}

/// Read whole and in odd pieces, which must make no difference.
pub fn read(bytes: &[u8]) -> Read {
    let whole = read_by(bytes, bytes.len().max(1));
    for piece in [1, 511, 513, 10_000] {
        assert_eq!(read_by(bytes, piece), whole, "in pieces of {piece}");
    }
    whole
}

#[test]
fn any_changed_byte_of_a_header_is_found() {
    let whole = ended(&[head(b"name", b'0', "00000000005"), padded(b"12345")]);
    for at in (0..148).chain(156..512) {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        assert!(read_by(&bad, 512).is_err(), "byte {at}");
    }
}

#[test]
fn hostile_streams_end_in_an_error_or_in_harmless_entries() {
    let record = |text: &str| {
        let all = format!("{} {text}\n", text.len() + 6);
        assert_eq!(all.len(), text.len() + 6);
        all
    };
    let pax = record(&format!("path={}", "/../".repeat(300)));
    let (all, _) = read(&ended(&[
        head(b"x", b'x', &format!("{:011o}", pax.len())),
        padded(pax.as_bytes()),
        head(b"plain", b'0', "00000000000"),
        head(b"tty", b'3', "00000000000"),
        head(b"why", b'Z', "00000000003"),
        padded(b"abc"),
    ]))
    .unwrap();
    assert_eq!(all[0].0.path.len(), 1200);
    assert_eq!(super::super::parts(&all[0].0.path), None);
    assert_eq!(all[1..].iter().map(|(e, d)| (e.kind, d.len())).collect::<Vec<_>>(), [(Kind::Device, 0), (Kind::Other, 3)]);
    for (stream, says) in [
        (vec![head(b"x", b'L', "77777777777")], "bytes"),
        (vec![head(b"x", b'0', "9999")], "no number"),
        (vec![head(b"x", b'x', "00000000004"), padded(b"9 a=")], "attributes"),
        (vec![head(b"x", b'x', "00000000010"), padded(b"7 size=-")], "attributes"),
        (vec![b"<html>".repeat(100)], "does not fit"),
        (vec![head(b"x", b'0', "77777777777")], "within x"),
    ] {
        let why = read(&ended(&stream)).unwrap_err();
        assert!(why.contains(says), "{says}: {why}");
    }
    // A size beyond all numbers, in bytes.
    let mut big = head(b"x", b'0', "0");
    big[124] = 0x80;
    big[125..136].fill(0xff);
    big[148..156].copy_from_slice(b"        ");
    let sum: u32 = big.iter().map(|b| u32::from(*b)).sum();
    big[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    assert!(read(&ended(&[big])).unwrap_err().contains("no number"));
}

#[test]
fn what_nobody_wants_is_left_out() {
    let whole = ended(&[head(b"a", b'0', "00000000777"), padded(&[b'a'; 511]), head(b"b", b'0', "00000000001"), padded(b"b")]);
    let (mut reader, mut names, mut at) = (Reader::default(), Vec::new(), 0);
    while at < whole.len() {
        let skip = reader.skippable() as usize;
        reader.skip(skip as u64);
        at += skip;
        let end = (at + BLOCK).min(whole.len());
        reader
            .push(&whole[at..end], |part| {
                match part {
                    Part::Entry(e) => names.push(e.path),
                    Part::Data(_) => panic!("it was left out"),
                }
                Ok(())
            })
            .unwrap();
        at = end;
    }
    assert_eq!((names, reader.end()), (vec![b"a".to_vec(), b"b".to_vec()], Ok(End::Whole)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..6000), at in 0usize..2000) {
        let _ = read_by(&bytes, 700);
        let mut whole = ended(&[head(b"a", b'x', "00000000777"), padded(&[b'a'; 511]), head(b"b", b'S', "00000000001"), padded(b"b")]);
        for (slot, b) in whole.iter_mut().skip(at).zip(&bytes) {
            *slot = *b;
        }
        let _ = read_by(&whole, 700);
    }
}
