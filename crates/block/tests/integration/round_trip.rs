//! What was put in comes out, of one block or of several made one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cairn_block::{
    Block, Loaded, LogName, MergeError, Options, Origins, RowRange, SampleColumns, Stretch, merge,
    write,
};
use cairn_model::Labels;
use futures::executor::block_on;
use proptest::prelude::*;

use crate::model::{Model, Sent, any_sent, extend, head, options, read, sample_sent, stretch};

fn block(sent: &[Sent], level: u8) -> Option<Bytes> {
    let head = head(sent);
    let built = write(&head, options(level));
    if head.is_empty() {
        assert!(built.is_err(), "no profiles make no block");
        return None;
    }
    let built = built.expect("written");
    assert_eq!(built.info.bytes, built.bytes.len() as u64);
    let opened = Block::from_bytes(built.bytes.clone()).expect("opened");
    assert_eq!(opened.info(), built.info);
    Some(built.bytes)
}

fn of_log(incarnation: u64, sent: &[Sent]) -> Bytes {
    let options = Options {
        origins: vec![stretch(incarnation, 1, 40)],
        ..options(0)
    };
    write(&head(sent), options).expect("written").bytes
}

fn loaded(bytes: &Bytes) -> Loaded {
    let block = Block::from_bytes(bytes.clone()).expect("opened");
    block_on(block.load()).expect("read")
}

fn merged(blocks: &[Bytes], level: u8) -> Bytes {
    let inputs: Vec<Loaded> = blocks.iter().map(loaded).collect();
    merge(&inputs, level, usize::MAX).expect("merged").bytes
}

/// Without batch hashes nothing counts as sent twice.
fn unmarked(mut sent: Vec<Sent>) -> Vec<Sent> {
    for sent in &mut sent {
        sent.batch = 0;
    }
    sent
}

fn sents(max: usize) -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec(any_sent(), 0..max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_block_holds_what_the_head_held(sent in sents(8), level in 0u8..2) {
        let sent = unmarked(sent);
        if let Some(bytes) = block(&sent, level) {
            prop_assert_eq!(Model::of_bytes(bytes).expect("read"), Model::of_sent(&sent));
        }
    }

    #[test]
    fn stacks_are_numbered_alike_whatever_came_first(sent in sents(8), level in 0u8..2) {
        let sent = unmarked(sent);
        let turned: Vec<Sent> = sent.iter().rev().cloned().collect();
        let stacks = |sent: &[Sent]| block(sent, level).map(|bytes| loaded(&bytes).stacks.unpack().expect("read"));
        prop_assert_eq!(stacks(&sent), stacks(&turned));
    }

    #[test]
    fn a_merged_block_holds_what_all_held(parts in prop::collection::vec(sents(5), 1..5), level in 0u8..2) {
        let parts: Vec<Vec<Sent>> = parts.into_iter().map(unmarked).collect();
        let blocks: Vec<Bytes> = parts.iter().filter_map(|sent| block(sent, 0)).collect();
        prop_assume!(!blocks.is_empty());
        let all: Vec<Sent> = parts.into_iter().flatten().collect();
        let model = Model::of_sent(&all);
        let once = merged(&blocks, level);
        prop_assert_eq!(&Model::of_bytes(once.clone()).expect("read"), &model);
        let backwards: Vec<Bytes> = blocks.iter().rev().cloned().collect();
        prop_assert_eq!(&Model::of_bytes(merged(&backwards, level)).expect("read"), &model);
        let (front, back) = blocks.split_at(blocks.len() / 2);
        let halves: Vec<Bytes> = [front, back]
            .into_iter()
            .filter(|half| !half.is_empty())
            .map(|half| merged(half, 1))
            .collect();
        prop_assert_eq!(&Model::of_bytes(merged(&halves, level)).expect("read"), &model);
        prop_assert_eq!(&Model::of_bytes(merged(&[once], 1)).expect("read"), &model);
    }

    #[test]
    fn a_merge_for_which_memory_is_short_says_how_many_inputs_it_can_take(
        parts in prop::collection::vec(sents(5), 2..6), room in prop_oneof![1 => Just(0usize), 9 => 0usize..200_000]
    ) {
        let blocks: Vec<Bytes> = parts.iter().filter_map(|sent| block(sent, 0)).collect();
        let inputs: Vec<Loaded> = blocks.iter().map(loaded).collect();
        let mut taken = inputs.len();
        while taken > 0 {
            match merge(&inputs[..taken], 1, room) {
                Ok(built) => {
                    prop_assert!(room > 0, "nothing takes no memory");
                    prop_assert_eq!(built.bytes, merged(&blocks[..taken], 1));
                    break;
                }
                Err(MergeError::TooLarge { fit, .. }) => {
                    prop_assert!(fit < taken);
                    taken = fit;
                }
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }

    #[test]
    fn a_batch_that_was_stored_twice_counts_once(sent in sents(5), others in sents(5), again in 0u64..3) {
        let deliver = |sent: &[Sent], lsn: u64| -> Vec<Sent> {
            sent.iter().map(|sent| Sent { lsn, batch: 77, ..sent.clone() }).collect()
        };
        let others = unmarked(others);
        let first = [deliver(&sent, 9), others.clone()].concat();
        prop_assume!(!sent.is_empty());
        let expected = Model::of_sent(&first).rows;
        let rows = |bytes| Model::of_bytes(bytes).expect("read").rows;
        let a = block(&first, 0).expect("there are profiles");
        // The same position of another log is another delivery.
        let b = of_log(4, &deliver(&sent, 9 + again));
        prop_assert_eq!(&rows(merged(&[a.clone(), b.clone()], 1)), &expected);
        prop_assert_eq!(&rows(merged(&[b.clone(), a.clone(), b], 1)), &expected);
        let within = [first, deliver(&sent, 100)].concat();
        prop_assert_eq!(&rows(block(&within, 0).expect("there are profiles")), &expected);
    }

    #[test]
    fn links_say_whose_profiles_they_are(parts in prop::collection::vec(sents(5), 1..3)) {
        let blocks: Vec<Bytes> = parts.iter().filter_map(|sent| block(sent, 0)).collect();
        prop_assume!(!blocks.is_empty());
        for bytes in blocks.iter().cloned().chain([merged(&blocks, 1)]) {
            let opened = Block::from_bytes(bytes).expect("opened");
            let (index, _, rows) = block_on(read(&opened)).expect("read");
            let links = block_on(opened.links()).expect("read");
            let mut expected = vec![BTreeSet::new(); links.list.len()];
            for (at, profile) in (0u32..).zip(&index.profiles) {
                for row in profile.rows.start..profile.rows.start + u64::from(profile.rows.len) {
                    expected[rows.link(row as usize) as usize].insert(at);
                }
            }
            expected[0].clear();
            let has_links = links.has_profiles();
            prop_assert_eq!(has_links, links.list.len() > 1);
            for (link, expected) in expected.iter().enumerate().filter(|_| has_links) {
                prop_assert!(links.profiles(link).iter().eq(expected));
            }
        }
    }

    #[test]
    fn any_rows_can_be_read_alone(
        sent in prop::collection::vec(any_sent(), 1..8),
        asked in prop::collection::vec((0u64..100, 0u32..30), 0..6),
    ) {
        let opened = Block::from_bytes(block(&sent, 0).expect("there are profiles")).expect("opened");
        let (_, _, all) = block_on(read(&opened)).expect("read");
        let total = all.len() as u64;
        let asked: Vec<RowRange> = asked
            .into_iter()
            .map(|(start, len)| (start.min(total), len))
            .map(|(start, len)| RowRange { start, len: len.min((total - start) as u32) })
            .collect();
        let mut expected = SampleColumns::default();
        let mut found = SampleColumns::default();
        for row in 0..total {
            if asked.iter().any(|range| row >= range.start && row < range.start + u64::from(range.len)) {
                extend(&mut expected, &slice(&all, row as usize));
            }
        }
        let mut next = 0;
        block_on(opened.samples(&asked, &mut |first, run| {
            assert!(first >= next, "rows come in order");
            next = first + run.len() as u64;
            extend(&mut found, run);
        })).expect("read");
        prop_assert_eq!(found, expected);
    }
}

fn slice(rows: &SampleColumns, row: usize) -> SampleColumns {
    let cut = |column: &Vec<u32>| column.get(row).into_iter().copied().collect();
    SampleColumns {
        stacks: cut(&rows.stacks),
        values: vec![rows.values[row]],
        attrs: cut(&rows.attrs),
        links: cut(&rows.links),
        times: cut(&rows.times),
    }
}

/// How often each log is named, by a block's profiles.
fn logs(bytes: &Bytes) -> BTreeMap<Option<LogName>, usize> {
    let block = Block::from_bytes(bytes.clone()).expect("opened");
    let (names, index) = (block.origins().logs(), block_on(block.index()));
    let mut counts = BTreeMap::new();
    for profile in &index.expect("read").profiles {
        *counts
            .entry(names.get(profile.log as usize).cloned())
            .or_default() += 1;
    }
    counts
}

#[test]
fn a_merged_block_says_which_log_each_profile_came_from() {
    let sent = unmarked(sample_sent());
    let unnamed = Options {
        origins: Vec::new(),
        ..options(0)
    };
    let unnamed = write(&head(&sent), unnamed).expect("written").bytes;
    let blocks = [of_log(4, &sent), unnamed, of_log(3, &sent)];
    let name = |incarnation| {
        let Stretch { writer, .. } = stretch(incarnation, 1, 1);
        Some(LogName(writer, incarnation))
    };
    let each = logs(&blocks[0])[&name(4)];
    assert_eq!(logs(&blocks[1]), BTreeMap::from([(None, each)]));
    let first = merged(&blocks[..2], 1);
    assert_eq!(
        logs(&first),
        BTreeMap::from([(name(4), each), (None, each)])
    );
    let all = merged(&[first, blocks[2].clone(), blocks[0].clone()], 2);
    let expected = [(name(3), each), (name(4), 2 * each), (None, each)];
    assert_eq!(logs(&all), BTreeMap::from(expected));
}

#[test]
fn a_merged_block_says_where_the_rows_of_all_inputs_came_from() {
    let sent = sample_sent();
    let of = |origins: Vec<Stretch>| {
        let options = Options {
            origins,
            ..options(0)
        };
        write(&head(&sent), options).expect("written").bytes
    };
    let from = |bytes: &Bytes| Block::from_bytes(bytes.clone()).expect("opened").origins();
    let blocks = [
        of(vec![stretch(3, 41, 50)]),
        of(vec![stretch(3, 61, 70)]),
        of(vec![stretch(4, 1, 5)]),
        of(vec![stretch(3, 1, 40)]),
    ];
    assert_eq!(from(&blocks[0]).siblings, 2);
    let first = merged(&blocks[..2], 1);
    let both = merged(&[first, blocks[2].clone(), blocks[3].clone()], 2);
    let expected = Origins {
        stretches: vec![stretch(3, 1, 50), stretch(3, 61, 70), stretch(4, 1, 5)],
        unknown: vec![],
        siblings: 0,
    };
    assert_eq!(from(&both), expected);
    let unnamed = of(vec![]);
    let origins = from(&merged(&[unnamed, both], 3));
    assert_eq!(origins.stretches, expected.stretches);
    assert_eq!(origins.unknown.len(), 1);
}

#[test]
fn rows_beyond_the_last_are_refused() {
    let sent: Vec<Sent> = sample_sent();
    let opened = Block::from_bytes(block(&sent, 0).expect("profiles")).expect("opened");
    for (start, len) in [(0, u32::MAX), (u64::MAX, 1), (u64::MAX, u32::MAX)] {
        let asked = [RowRange { start, len }];
        let read = block_on(opened.samples(&asked, &mut |_, _| {}));
        assert!(read.is_err(), "{asked:?} was read");
    }
}

#[test]
fn real_profiles_come_back() {
    let decode = |(at, pprof): (i64, cairn_testkit::corpus::Pprof)| {
        let decoded = cairn_pprof::decode(&pprof.bytes, &Default::default(), &Default::default());
        let labels = Labels::from_pairs([("service_name", pprof.name)]).expect("valid");
        Some(Sent {
            profile: decoded.ok()?.profile,
            labels,
            time: at,
            lsn: 1,
            batch: 0,
        })
    };
    let sent: Vec<Sent> = (0..)
        .zip(cairn_testkit::corpus::pprofs())
        .filter_map(decode)
        .collect();
    assert!(sent.len() > 50, "the corpus holds {} profiles", sent.len());
    let (front, back) = sent.split_at(sent.len() / 2);
    let halves = [front, back].map(|sent| block(sent, 0).expect("there are profiles"));
    let model = Model::of_sent(&sent);
    assert!(
        Model::of_bytes(merged(&halves, 1)).expect("read") == model,
        "a merge differs"
    );
    let whole = block(&sent, 1).expect("there are profiles");
    assert!(
        Model::of_bytes(whole).expect("read") == model,
        "a block differs"
    );
}
