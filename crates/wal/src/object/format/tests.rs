use proptest::prelude::*;

use super::*;

fn place(first: Lsn) -> Place {
    Place {
        writer: WriterId::parse("ingester-0").expect("valid"),
        incarnation: 3,
        first,
        nonce: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
        made: 1_700_000_000_000_000_000,
    }
}

fn payload(bytes: &[u8], hashes: &[u128]) -> Payload {
    Payload {
        bytes: bytes.to_vec(),
        hashes: hashes.to_vec(),
    }
}

fn golden() -> Bytes {
    let payloads = [
        payload(b"one", &[1, u128::MAX]),
        payload(b"", &[]),
        payload(b"three", &[3]),
    ];
    segment(&place(41), &payloads).expect("small")
}

/// Objects of version 1 lie in stores: this file never changes.
const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/segment-1");

#[test]
fn version_1_is_what_it_ever_was() {
    assert!(golden() == GOLDEN, "{:?}", golden().as_ref());
    let object = Object::decode(&Bytes::from_static(GOLDEN)).expect("valid");
    assert_eq!(object.header.place, place(41));
    assert_eq!(object.header.end(), 44);
    assert_eq!(object.payloads, ["one", "", "three"]);
    let hashes: Vec<_> = object
        .header
        .entries()
        .map(|(_, l)| l.hashes.len())
        .collect();
    assert_eq!(hashes, [2, 0, 1]);
}

#[test]
fn a_fence_is_no_segment_and_holds_nothing() {
    let fence = fence(&place(7));
    let object = Object::decode(&fence).expect("valid");
    assert!(object.header.is_fence());
    assert_eq!(object.header.end(), 7);
    assert!(object.payloads.is_empty());
}

#[test]
fn no_flipped_bit_and_no_cut_goes_unnoticed() {
    for whole in [golden(), fence(&place(1))] {
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.to_vec();
                flipped[at] ^= 1 << bit;
                Object::decode(&flipped.into()).expect_err("flipped");
            }
            Object::decode(&whole.slice(..at)).expect_err("cut");
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        Object::decode(&longer.into()).expect_err("too long");
    }
}

#[test]
fn a_header_is_read_alone_and_says_how_much_it_needs() {
    let whole = golden();
    let size = whole.len() as u64;
    let Err(Invalid::Short(prologue)) = Header::decode(&whole[..3], size) else {
        panic!("three bytes are no header");
    };
    let Err(Invalid::Short(len)) = Header::decode(&whole[..prologue], size) else {
        panic!("a prologue is no header");
    };
    let header = Header::decode(&whole[..len], size).expect("whole");
    assert_eq!(header, Object::decode(&whole).expect("valid").header);
    let other = Header::decode(&whole, size + 1).expect_err("of another object");
    assert!(matches!(other, Invalid::Damaged(_)), "{other:?}");
}

#[test]
fn groups_that_no_reader_would_take_are_not_written() {
    let many = vec![Payload::default(); ENTRIES_MAX + 1];
    assert_eq!(segment(&place(1), &many), Err(TooLarge));
    segment(&place(1), &many[1..]).expect("as many as there may be");
    let large = [Payload {
        bytes: vec![0; OBJECT_BYTES_MAX as usize],
        hashes: Vec::new(),
    }];
    assert_eq!(segment(&place(1), &large), Err(TooLarge));
}

#[test]
fn numbers_end_where_nothing_could_follow() {
    for first in [0, FIRST_MAX + 1, Lsn::MAX] {
        Object::decode(&fence(&place(first))).expect_err("no such number");
        let segment = segment(&place(first.min(FIRST_MAX + 1)), &[Payload::default()]);
        Object::decode(&segment.expect("small")).expect_err("no such number");
    }
    let last = segment(&place(FIRST_MAX), &[Payload::default()]).expect("small");
    let header = Object::decode(&last).expect("the last one").header;
    assert_eq!(header.entries().count(), 1);
    assert_eq!(header.end(), FIRST_MAX + 1);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        payloads in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..50), prop::collection::vec(any::<u128>(), 0..4)),
            1..20,
        ),
        first in 1..u64::MAX / 2,
    ) {
        let payloads = payloads.into_iter().map(|(bytes, hashes)| Payload { bytes, hashes });
        let payloads: Vec<_> = payloads.collect();
        let bytes = segment(&place(first), &payloads).expect("small");
        let object = Object::decode(&bytes).expect("valid");
        prop_assert_eq!(&object.header.place, &place(first));
        let read = object.header.entries().zip(&object.payloads);
        let read: Vec<_> = read.map(|((_, listed), bytes)| Payload {
            bytes: bytes.to_vec(),
            hashes: listed.hashes.clone(),
        }).collect();
        prop_assert_eq!(read, payloads);
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), seal in any::<bool>()) {
        if seal && bytes.len() > 20 {
            bytes[..8].copy_from_slice(MAGIC);
            bytes[10..12].fill(0);
        }
        let _ = Object::decode(&bytes.into());
    }
}
