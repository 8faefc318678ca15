//! Blocks answer as the heads that they were written from.

use std::collections::BTreeSet;

use cairn_block::{Block, Options, write};
use cairn_engine::{Answer, Query, Question, Scanned, Source, scan_block, scan_head};
use futures::executor::block_on;
use proptest::prelude::*;

use crate::model::{self, Made, rows, sums};
use crate::scan::{check_names, group_by, many, matching, queries};

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
        let scanned = block_on(scan_block(&block, &query, Source::ALONE)).expect("a good block");
        check(&here, &query, (scanned, scan_head(head, 0, &query, Source::ALONE)))?;
    }
}

/// Compiles only if scans can run on any thread.
#[expect(dead_code, reason = "its signature is the test")]
fn scan<'a>(block: &'a Block, query: &'a Query) -> impl Future<Output: Send> + Send + 'a {
    scan_block(block, query, Source::ALONE)
}
