//! Pyroscope's tree and trie.

use cairn_formats::{Format, Unit};
use cairn_model::Limits;
use proptest::prelude::*;
use std::collections::BTreeMap;

use crate::{decode, one, pairs, refused, singles};

/// The bytes of a node, without those of its children.
fn node(name: &[u8], value: u64, children: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(name.len() as u64, &mut bytes);
    bytes.extend_from_slice(name);
    varint(value, &mut bytes);
    varint(children, &mut bytes);
    bytes
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[test]
fn a_tree_has_a_frame_per_node() {
    let bytes = b"\x00\x00\x01\x01a\x00\x02\x01b\x01\x00\x01c\x02\x00";
    let (profile, decoded) = one(Format::Tree, bytes);
    assert_eq!(singles(&profile), pairs(&[("a;b", 1), ("a;c", 2)]));
    assert!(decoded.skipped.is_empty());
    let bytes = [
        node(b"", 5, 2),
        node(b"main", 300, 2),
        node(b"one;two", 1, 0),
        node(b"", 2, 1),
        node(b"leaf", 4, 0),
        node(b"other", 0, 1),
        node(b"\xff", 8, 0),
    ];
    let (profile, decoded) = one(Format::Tree, bytes.concat());
    let expected = [
        ("", 5),
        ("main", 302),
        ("main;leaf", 4),
        ("main;one;two", 1),
        ("other;\u{fffd}", 8),
    ];
    assert_eq!(singles(&profile), pairs(&expected));
    assert_eq!(profile.stack(2).len(), 2, "a node is one frame");
    assert_eq!(decoded.skipped, [("frames without a name", 1)]);
    assert_eq!(decoded.replaced_strings, 1);
}

#[test]
fn a_trie_has_pieces_of_folded_stacks() {
    let bytes = b"\x00\x00\x01\x02ab\x00\x02\x01c\x01\x00\x01d\x02\x00";
    let (profile, _) = one(Format::Trie, bytes);
    assert_eq!(singles(&profile), pairs(&[("abc", 1), ("abd", 2)]));
    let bytes = [
        node(b"", 0, 2),
        node(b"foo;ba", 0, 2),
        node(b"r", 1, 2),
        node(b";ba", 0, 2),
        node(b"r", 2, 0),
        node(b"z;a;b\xc3", 4, 1),
        node(b"\xa9", 8, 0),
        node(b"s;", 16, 0),
        node(b"x", 32, 0),
        node(b"zoo", 64, 0),
    ];
    let (profile, decoded) = one(Format::Trie, bytes.concat());
    let expected = [
        ("foo;bar", 1),
        ("foo;bar;bar", 2),
        ("foo;bar;baz;a;b\u{e9}", 8),
        ("foo;bar;baz;a;b\u{fffd}", 4),
        ("foo;bars", 16),
        ("foo;bax", 32),
        ("zoo", 64),
    ];
    assert_eq!(singles(&profile), pairs(&expected));
    assert_eq!(decoded.skipped, [("frames without a name", 1)]);
    assert_eq!(decoded.replaced_strings, 1);
}

#[test]
fn nothing_is_an_empty_trie_but_no_tree() {
    let (profile, _) = one(Format::Trie, b"");
    assert_eq!(profile.samples.len(), 0);
    for format in [Format::Tree, Format::Trie] {
        let (profile, _) = one(format, b"\0\0\0");
        assert_eq!(profile.samples.len(), 0);
    }
    assert_eq!(
        refused(Format::Tree, b""),
        "failed to parse profile: it ends within a node, after 0 bytes"
    );
}

#[test]
fn bytes_that_are_no_tree_are_refused() {
    for format in [Format::Tree, Format::Trie] {
        for (bytes, reason) in [
            (
                &b"\x00\x00"[..],
                "failed to parse profile: it ends within a node, after 2 bytes",
            ),
            (
                b"\x00\x00\x01",
                "failed to parse profile: it ends within a node, after 3 bytes",
            ),
            (
                b"\x00\x00\x00\x00",
                "failed to parse profile: the tree ends at byte 3, but there are 4",
            ),
            (
                b"\x00\x00\x01\x7fabc\x00\x00",
                "failed to parse profile: the name of the node at byte 3 is longer than what is left",
            ),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "failed to parse profile: the name of the node at byte 0 is longer than what is left",
            ),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                "failed to parse profile: the number at byte 0 has more than 64 bits",
            ),
            (
                b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
                "invalid profile: the value of the node at byte 0 is too large",
            ),
            (
                b"\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "failed to parse profile: it ends within a node, after 12 bytes",
            ),
        ] {
            assert_eq!(refused(format, bytes), reason);
        }
    }
}

#[test]
fn values_are_scaled() {
    let unit = Unit {
        scale: 10,
        ..Unit::default()
    };
    for format in [Format::Tree, Format::Trie] {
        let bytes = [node(b"", 0, 1), node(b"a", 7, 0)].concat();
        let decoded = cairn_formats::decode(format, &bytes, &unit, &Limits::default());
        let profile = &decoded.expect("it is valid").profiles[0].profile;
        assert_eq!(singles(profile), pairs(&[("a", 70)]));
        let bytes = [node(b"", 0, 1), node(b"a", i64::MAX as u64, 0)].concat();
        let error = cairn_formats::decode(format, &bytes, &unit, &Limits::default());
        let error = error.expect_err("too large").to_string();
        assert_eq!(
            error,
            "invalid profile: the value of the node at byte 3 is too large"
        );
    }
}

#[test]
fn depth_costs_no_stack() {
    for (format, name) in [(Format::Tree, &b"a"[..]), (Format::Trie, b"a;")] {
        let mut bytes = node(b"", 0, 1);
        for _ in 0..200_000 {
            bytes.extend(node(name, 0, 1));
        }
        bytes.extend(node(b"leaf", 1, 0));
        let (profile, decoded) = one(format, bytes);
        assert_eq!(decoded.truncated_stacks, 1);
        assert_eq!(profile.stack(0).len(), 2_048);
    }
}

/// Writes stacks as a radix tree, in the simplest way.
fn radix(stacks: &BTreeMap<Vec<u8>, u64>, done: usize, bytes: &mut Vec<u8>) {
    let mut groups: BTreeMap<u8, BTreeMap<Vec<u8>, u64>> = BTreeMap::new();
    for (stack, value) in stacks.iter().filter(|(stack, _)| stack.len() > done) {
        let group = groups.entry(stack[done]).or_default();
        group.insert(stack.clone(), *value);
    }
    varint(groups.len() as u64, bytes);
    for group in groups.values() {
        let first = group.keys().next().expect("groups have stacks");
        let shares = |len: &usize| group.keys().all(|stack| stack.starts_with(&first[..*len]));
        let end = (done + 1..=first.len()).take_while(shares).last();
        let end = end.expect("they share a byte");
        varint((end - done) as u64, bytes);
        bytes.extend_from_slice(&first[done..end]);
        varint(group.get(&first[..end]).copied().unwrap_or_default(), bytes);
        radix(group, end, bytes);
    }
}

proptest! {
    #[test]
    fn a_trie_means_what_its_folded_stacks_mean(
        stacks in prop::collection::btree_map("[ab;]{1,8}", 1_u64..1_000, 0..12)
    ) {
        let folded: String = stacks.iter().map(|(stack, count)| format!("{stack} {count}\n")).collect();
        let (expected, _) = one(Format::Folded, folded);
        let stacks = stacks.into_iter().map(|(stack, count)| (stack.into_bytes(), count));
        let mut bytes = vec![0, 0];
        radix(&stacks.collect(), 0, &mut bytes);
        let (profile, _) = one(Format::Trie, bytes);
        prop_assert_eq!(singles(&profile), singles(&expected));
    }

    #[test]
    fn noise_is_no_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(Format::Tree, &bytes);
        let _ = decode(Format::Trie, &bytes);
    }
}
