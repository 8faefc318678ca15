//! Answers on the wire.

use arrow_array::{Array, RecordBatch};
use cairn_engine::codec::{DecodeError, DecodeLimits, decode, encode, schema};
use cairn_engine::{Answer, GroupBy, Question, Scanned, Source, scan_head};
use proptest::prelude::*;

use crate::model;
use crate::scan::{answer, group_by, many, queries, query};

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        group_by().prop_map(Question::Stacks),
        Just(Question::Series {
            step: 3,
            sum_by: None
        }),
        Just(Question::LabelNames),
        Just(Question::LabelValues("c".into())),
        Just(Question::ProfileTypes),
    ]
}

proptest! {
    #[test]
    fn answers_read_back_as_they_were(all in many(), query in queries(question())) {
        let scanned = answer(&all, &query);
        let batches = encode(&scanned);
        prop_assert!(batches.iter().all(|batch| batch.schema() == schema() && batch.num_rows() == 1));
        prop_assert_eq!(decode(&batches, DecodeLimits::default()), Ok(scanned));
    }

    #[test]
    fn answers_of_one_source_read_back(all in many(), query in queries(question())) {
        let scanned = scan_head(&model::heads(&all)[0], 0, &query, Source::ALONE);
        prop_assert_eq!(decode(&encode(&scanned), DecodeLimits::default()), Ok(scanned));
    }

    /// Columns of one answer beside those of another: mostly nonsense, never a panic.
    #[test]
    fn mixed_columns_are_refused_or_make_sense(
        (a, b) in (many(), many()),
        (by_a, by_b) in (group_by(), group_by()),
        take in prop::collection::vec(any::<bool>(), 64),
    ) {
        let batch = |all, by| {
            let mut batches = encode(&answer(all, &query(Question::Stacks(by))));
            batches.remove(0)
        };
        let (a, b) = (batch(&a, by_a), batch(&b, by_b));
        let pairs = a.columns().iter().zip(b.columns()).zip(take);
        let columns = pairs.map(|((a, b), take)| if take { a.clone() } else { b.clone() });
        let mixed = RecordBatch::try_new(schema(), columns.collect()).expect("one row each");
        if let Ok(Scanned { answer: Answer::Stacks(partial), .. }) = decode(&[mixed], DecodeLimits::default()) {
            let flame = cairn_engine::Flame::build(&partial, Default::default());
            prop_assert_eq!(flame.nodes[0].cumulative, partial.total());
        }
    }
}

#[test]
fn what_is_not_an_answer_is_refused() {
    let limits = DecodeLimits::default();
    assert_eq!(
        decode(&[], limits),
        Err(DecodeError::Invalid("figures are missing"))
    );
    let names = query(Question::LabelNames);
    let batches = encode(&answer(&[], &names));
    assert_eq!(
        decode(&[batches[0].slice(0, 0)], limits),
        Err(DecodeError::Invalid("a batch is not one row"))
    );
    assert_eq!(
        decode(&[batches[0].project(&[0, 1]).expect("columns")], limits),
        Err(DecodeError::Invalid("columns are missing"))
    );
    let stacks = encode(&answer(&[], &query(Question::Stacks(GroupBy::Nothing))));
    let both = [batches[0].clone(), stacks[0].clone()];
    assert_eq!(
        decode(&both, limits),
        Err(DecodeError::Invalid("batches of different kinds"))
    );
}

#[test]
fn large_answers_become_many_batches_and_limits_hold() {
    let names = (0..40_000).map(|at| format!("name-{at:0100}"));
    let scanned = Scanned {
        answer: Answer::Names(names.collect()),
        stats: Default::default(),
        told: Default::default(),
    };
    let batches = encode(&scanned);
    let largest = batches.iter().map(RecordBatch::get_array_memory_size).max();
    assert!(batches.len() > 4 && largest.is_some_and(|bytes| bytes < 2 << 20));
    assert_eq!(
        decode(&batches, DecodeLimits::default()).as_ref(),
        Ok(&scanned)
    );
    let limits = DecodeLimits { bytes_max: 100_000 };
    assert_eq!(
        decode(&batches, limits),
        Err(DecodeError::TooLarge(100_000))
    );
    assert!(batches[0].column(0).len() == 1);
}
