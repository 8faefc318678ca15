//! Blocks answer as the heads that they were written from.

use std::collections::BTreeSet;

use cairn_block::{Block, Options, merge, write};
use cairn_engine::{Alone, Answer, Query, Question, Scanned, Source, scan_block, scan_head};
use cairn_model::{MatchOp, Matcher};
use futures::executor::block_on;
use proptest::prelude::*;

use crate::model::{self, Made, rows, sums};
use crate::scan::{answer, check_names, group_by, many, matching, queries};

fn question() -> impl Strategy<Value = Question> {
    let sum_by = prop_oneof![
        Just(None),
        Just(Some(Vec::new())),
        Just(Some(vec!["a".to_owned(), "thread".to_owned()])),
    ];
    prop_oneof![
        group_by().prop_map(Question::Stacks),
        sum_by.prop_map(|sum_by| Question::Series { step: 3, sum_by }),
        Just(Question::LabelNames),
        Just(Question::LabelValues("thread".into())),
        Just(Question::ProfileTypes),
    ]
}

fn check(
    all: &[Made],
    query: &Query,
    (block, head): (Scanned, Scanned),
) -> Result<(), TestCaseError> {
    prop_assert_eq!(block.stats.profiles, head.stats.profiles);
    prop_assert_eq!(block.stats.range, head.stats.range);
    prop_assert_eq!(block.stats.blocks, 1);
    match (block.answer, head.answer) {
        (Answer::Stacks(block), Answer::Stacks(head)) => {
            prop_assert_eq!(sums(&block), sums(&head));
        }
        (Answer::Series(mut block), Answer::Series(mut head)) => {
            // Of the profile seen first, and the order differs.
            for series in [&mut block, &mut head] {
                let points = series.0.values_mut().flat_map(|points| points.values_mut());
                points.for_each(|point| point.period = 0);
            }
            prop_assert_eq!(block, head);
        }
        (Answer::Names(block), Answer::Names(_)) => {
            let rows = rows(all);
            let matching = matching(&rows, query).into_iter();
            let expected: BTreeSet<String> = match &query.question {
                Question::LabelValues(name) => matching
                    .flat_map(|row| row.label(name))
                    .map(|value| model::text(&value))
                    .filter(|text| !text.is_empty())
                    .collect(),
                _ => matching.flat_map(|row| row.names()).collect(),
            };
            check_names(block, expected, all)?;
        }
        (block, head) => prop_assert_eq!(block, head),
    }
    Ok(())
}

proptest! {
    #[test]
    fn blocks_answer_like_heads(
        all in many().prop_filter("a block has profiles", |all| !all.is_empty()),
        query in queries(question()),
        level in 0u8..2,
    ) {
        // Profiles at even positions are in the first head.
        let head = &model::heads(&all)[0];
        let here: Vec<Made> = all.iter().step_by(2).cloned().collect();
        let built = write(
            head,
            Options {
                level,
                ..Options::default()
            },
        ).expect("a head with profiles");
        let block = Block::from_bytes(built.bytes).expect("a block");
        let scanned = block_on(scan_block(&block, &query, Source::ALONE, &Alone)).expect("a good block");
        check(&here, &query, (scanned, scan_head(head, 0, &query, Source::ALONE)))?;
    }
}

/// A query with at least one matcher on an id, of links that are there and that are not.
fn traced(query: Query) -> impl Strategy<Value = Query> {
    let id = |digits: usize| {
        let ids = move |ids: Vec<u8>| {
            ids.into_iter()
                .map(move |id| format!("{id:02x}{}", "00".repeat(digits / 2 - 1)))
        };
        prop::sample::subsequence(vec![0, 1, 2, 3], 1..3)
            .prop_map(move |of| ids(of).collect::<Vec<String>>())
    };
    let matcher = |name: &'static str, ids: Vec<String>, shape: u8| {
        let (op, value) = match shape {
            0 => (MatchOp::Equal, ids[0].clone()),
            1 => (MatchOp::Regex, format!("^({})$", ids.join("|"))),
            2 => (MatchOp::Regex, ids[0][..4].to_owned()),
            3 => (MatchOp::NotEqual, ids[0].clone()),
            // What labels of profiles and samples say.
            4 => (MatchOp::Regex, "^(t|x)$".to_owned()),
            _ => (MatchOp::Regex, format!("^(|{})$", ids[0])),
        };
        Matcher::new(name, op, &value).expect("valid")
    };
    let of_trace = (id(32), 0u8..6).prop_map(move |(ids, shape)| matcher("trace_id", ids, shape));
    let of_span = (id(16), 0u8..6).prop_map(move |(ids, shape)| matcher("span_id", ids, shape));
    (of_trace, prop::option::weighted(0.3, of_span)).prop_map(move |(trace, span)| {
        let mut query = query.clone();
        query.matchers.truncate(1);
        query.matchers.push(trace);
        query.matchers.extend(span);
        query
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn traces_are_found_in_blocks_of_every_level(
        all in many().prop_filter("both blocks have profiles", |all| all.len() > 1),
        query in queries(question()).prop_flat_map(traced),
    ) {
        let heads = model::heads(&all);
        let blocks: Vec<Block> = heads.iter().map(|head| {
            let built = write(head, Options::default()).expect("a head with profiles");
            Block::from_bytes(built.bytes).expect("a block")
        }).collect();
        for (at, (block, head)) in blocks.iter().zip(&heads).enumerate() {
            let here: Vec<Made> = all.iter().skip(at).step_by(2).cloned().collect();
            let scanned = block_on(scan_block(block, &query, Source::ALONE, &Alone)).expect("a good block");
            check(&here, &query, (scanned, scan_head(head, 0, &query, Source::ALONE)))?;
        }
        let loaded: Vec<_> = blocks.iter().map(|block| block_on(block.load()).expect("read")).collect();
        let merged = merge(&loaded, 1, usize::MAX).expect("merged");
        let merged = Block::from_bytes(merged.bytes).expect("a block");
        let scanned = block_on(scan_block(&merged, &query, Source::ALONE, &Alone)).expect("a good block");
        check(&all, &query, (scanned, answer(&all, &query)))?;
    }
}

/// Compiles only if scans can run on any thread.
#[expect(dead_code, reason = "its signature is the test")]
fn scan<'a>(block: &'a Block, query: &'a Query) -> impl Future<Output: Send> + Send + 'a {
    scan_block(block, query, Source::ALONE, &Alone)
}
