//! Scanning and merging.

use std::collections::{BTreeMap, BTreeSet};

use cairn_engine::repeats::{Ask, SourceId};
use cairn_engine::{
    Answer, GroupBy, Merge, Point, Query, Question, Scanned, Series, Source, VALUES_MAX, scan_head,
};
use cairn_model::{Labels, Matcher, ProfileType, TimeRange};
use proptest::prelude::*;

use crate::model::{self, Made, Row, expected_sums, made, matchers, rows, sums};

/// Some samples are in the step after their profile's.
const STEP: i64 = 2_000_000;

pub(crate) fn group_by() -> impl Strategy<Value = GroupBy> {
    let names = || {
        let names = vec![
            "a", "thread", "size", "span_id", "trace_id", "__name__", "absent",
        ];
        let names = prop::sample::subsequence(names, 0..4);
        names.prop_map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    prop_oneof![
        Just(GroupBy::Nothing),
        Just(GroupBy::SampleLabels),
        names().prop_map(GroupBy::Labels),
        (0i64..3, names()).prop_map(|(step, labels)| GroupBy::Times {
            step: step * STEP,
            labels
        }),
        (0i64..3, names()).prop_map(|(step, labels)| GroupBy::Profiles {
            step: step * STEP,
            labels
        }),
    ]
}

pub(crate) fn query(question: Question) -> Query {
    Query {
        profile_type: None,
        matchers: Vec::new(),
        range: TimeRange::ALL,
        weights: None,
        question,
    }
}

fn filters() -> impl Strategy<Value = (Option<ProfileType>, Vec<Matcher>, TimeRange)> {
    let profile_type = prop::option::of(prop::sample::select(vec![
        "cpu:count:ns:time:ns",
        "mem:time:ns:time:ns:delta",
    ]));
    let profile_type = profile_type.prop_map(|text| text.map(|text| text.parse().expect("valid")));
    let range = (0i64..12, 15i64..40).prop_map(|(start, end)| TimeRange { start, end });
    (
        profile_type,
        matchers(),
        prop_oneof![Just(TimeRange::ALL), range],
    )
}

pub(crate) fn queries(question: impl Strategy<Value = Question>) -> impl Strategy<Value = Query> {
    (filters(), question).prop_map(|((profile_type, matchers, range), question)| Query {
        profile_type,
        matchers,
        range,
        weights: None,
        question,
    })
}

pub(crate) fn many() -> impl Strategy<Value = Vec<Made>> {
    prop::collection::vec(made(), 0..7)
}

/// The merged answer of both heads.
pub(crate) fn answer(all: &[Made], query: &Query) -> Scanned {
    let mut merge = Merge::new(&query.question);
    for head in model::heads(all) {
        merge
            .add(scan_head(&head, 0, query, Source::ALONE))
            .expect("an answer to the question");
    }
    merge.finish()
}

pub(crate) fn matching<'a>(rows: &'a [Row], query: &Query) -> Vec<&'a Row> {
    rows.iter().filter(|row| row.matches(query)).collect()
}

fn series(rows: &[&Row], step: i64, sum_by: Option<&[String]>) -> Series {
    // By labels, start of step and profile.
    let mut sums: BTreeMap<(Labels, i64, usize), (i64, &Row)> = BTreeMap::new();
    for row in rows {
        let labels = match sum_by {
            None => Labels::from_pairs(row.labels.iter()).expect("valid"),
            Some(names) => {
                let names: BTreeSet<&String> = names.iter().collect();
                let pair = |name: &&String| {
                    let values = row.label(name);
                    let mut texts: Vec<String> = values.iter().map(model::text).collect();
                    texts.retain(|text| !text.is_empty());
                    texts.sort();
                    Some((name.to_string(), texts.first()?.clone()))
                };
                Labels::from_pairs(names.iter().filter_map(pair)).expect("valid")
            }
        };
        let time = if step == 0 {
            row.time
        } else {
            row.time.div_euclid(step) * step
        };
        let (sum, _) = sums.entry((labels, time, row.profile)).or_insert((0, row));
        *sum = sum.wrapping_add(row.value());
    }
    let mut series = Series::default();
    for ((labels, time, _), (value, row)) in sums {
        let points = series.0.entry(labels).or_default();
        points.entry(time).or_default().add(&Point {
            value,
            profiles: 1,
            duration: row.duration,
            first: value,
            first_time: row.time,
            last_time: row.time,
            period: 0,
        });
    }
    series
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn stacks_add_up_like_rows(
        all in many(),
        query in queries(group_by().prop_map(Question::Stacks)),
    ) {
        let Question::Stacks(by) = &query.question else { unreachable!("stacks were asked for") };
        let scanned = answer(&all, &query);
        let rows = rows(&all);
        let matching = matching(&rows, &query);
        let Answer::Stacks(partial) = &scanned.answer else { panic!("not stacks") };
        prop_assert_eq!(sums(partial), expected_sums(&matching, by));
        let profiles: BTreeSet<usize> = matching.iter().map(|row| row.profile).collect();
        prop_assert_eq!(scanned.stats.profiles, profiles.len() as u64);
    }

    #[test]
    fn partials_hold_nothing_that_no_value_needs(all in many(), query in queries(Just(Question::Stacks(GroupBy::Nothing)))) {
        let scanned = scan_head(&model::heads(&all)[0], 0, &query, Source::ALONE);
        let Answer::Stacks(partial) = scanned.answer else { panic!("not stacks") };
        let mut needed = vec![false; partial.trie.len()];
        needed[0] = true;
        for value in &partial.values {
            prop_assert_ne!(value.value, 0);
            let mut node = value.node;
            while !std::mem::replace(&mut needed[node as usize], true) {
                node = partial.trie.parent(node);
            }
        }
        prop_assert!(needed.iter().all(|needed| *needed));
        let frames: BTreeSet<u32> = partial.trie.frames()[1..].iter().copied().collect();
        prop_assert_eq!(frames.len(), partial.symbols.locations.len());
    }

    #[test]
    fn series_add_up_like_rows(
        all in many(),
        query in queries((prop::sample::select(vec![0i64, 1, 7]), prop::option::of(group_by())).prop_map(|(step, by)| {
            let sum_by = match by {
                Some(GroupBy::Labels(names)) => Some(names),
                Some(_) => Some(Vec::new()),
                None => None,
            };
            Question::Series { step, sum_by }
        })),
    ) {
        let Question::Series { step, sum_by } = &query.question else { unreachable!("series") };
        let Answer::Series(mut got) = answer(&all, &query).answer else { panic!("not series") };
        for point in got.0.values_mut().flat_map(|points| points.values_mut()) {
            point.period = 0;
        }
        let rows = rows(&all);
        prop_assert_eq!(got, series(&matching(&rows, &query), *step, sum_by.as_deref()));
    }

    #[test]
    fn names_values_and_types_are_those_of_matching_rows(
        all in many(),
        query in queries(prop_oneof![
            Just(Question::LabelNames),
            Just(Question::ProfileTypes),
            prop::sample::select(vec!["a", "c", "thread", "size", "trace_id", "span_id", "__name__"])
                .prop_map(|name| Question::LabelValues(name.into())),
        ]),
    ) {
        let rows = rows(&all);
        let matching = matching(&rows, &query);
        match (answer(&all, &query).answer, &query.question) {
            (Answer::ProfileTypes(types), _) => {
                let expected = matching.iter().map(|row| row.profile_type.clone());
                prop_assert_eq!(types, expected.collect());
            }
            (Answer::Names(names), Question::LabelNames) => {
                let expected: BTreeSet<String> = matching.iter().flat_map(|row| row.names()).collect();
                check_names(names, expected, &all)?;
            }
            (Answer::Names(values), Question::LabelValues(name)) => {
                let expected = matching.iter().flat_map(|row| row.label(name));
                let mut expected: BTreeSet<String> = expected.map(|value| model::text(&value)).collect();
                expected.remove("");
                check_names(values, expected, &all)?;
            }
            _ => panic!("an answer to another question"),
        }
    }

    #[test]
    fn only_later_rows_of_a_tail_count(all in many(), after in 0u64..8) {
        let query = query(Question::Stacks(GroupBy::Nothing));
        let mut merge = Merge::new(&query.question);
        for head in model::heads(&all) {
            merge.add(scan_head(&head, after, &query, Source::ALONE)).expect("an answer to the question");
        }
        let Answer::Stacks(partial) = merge.finish().answer else { panic!("not stacks") };
        let later: Vec<Made> = all.iter().skip(after as usize).cloned().collect();
        let rows = rows(&later);
        prop_assert_eq!(sums(&partial), expected_sums(&rows.iter().collect::<Vec<_>>(), &GroupBy::Nothing));
    }

    #[test]
    fn a_tail_that_has_grown_can_answer_as_before(
        all in many(),
        before in 0usize..8,
        query in queries(group_by().prop_map(Question::Stacks)),
    ) {
        let answer = |all: &[Made], ask: &Ask| {
            let source = Source { id: SourceId(1), ask };
            let mut merge = Merge::new(&query.question);
            for head in model::heads(all) {
                merge.add(scan_head(&head, 0, &query, source)).expect("an answer to the question");
            }
            merge.finish()
        };
        let first = answer(&all[..before.min(all.len())], &Ask { stretches: true, ..Ask::NOTHING });
        prop_assert_eq!(first.told.last.is_some(), first.stats.profiles > 0);
        if let Some(last) = first.told.last {
            let again = answer(&all, &Ask { until: Some(last), ..Ask::NOTHING });
            let seen = |of: &Scanned| (of.stats.profiles, of.stats.range);
            prop_assert_eq!(seen(&again), seen(&first));
            let (Answer::Stacks(first), Answer::Stacks(again)) = (first.answer, again.answer) else {
                panic!("not stacks")
            };
            prop_assert_eq!(sums(&again), sums(&first));
        }
    }
}

/// Labels of samples without a value may show where everything matches, since no row is read then.
pub(crate) fn check_names(
    got: BTreeSet<String>,
    expected: BTreeSet<String>,
    all: &[Made],
) -> Result<(), TestCaseError> {
    let zeros = all.iter().any(|made| {
        let mut samples = made.samples.iter();
        samples.any(|sample| sample.values[..made.types].contains(&0))
    });
    if zeros {
        prop_assert!(
            got.is_superset(&expected),
            "{got:?} lacks some of {expected:?}"
        );
    } else {
        prop_assert_eq!(got, expected);
    }
    Ok(())
}

#[test]
fn values_of_ids_are_capped() {
    let mut merge = Merge::new(&Question::LabelValues("trace_id".into()));
    for part in 0..3 {
        let names = (0..VALUES_MAX).map(|at| format!("{:08}", at * 3 + part));
        merge
            .add(Scanned {
                answer: Answer::Names(names.collect()),
                stats: Default::default(),
                told: Default::default(),
            })
            .expect("an answer to the question");
    }
    let Answer::Names(names) = merge.finish().answer else {
        panic!("not names")
    };
    let expected = (0..VALUES_MAX).map(|at| format!("{at:08}"));
    assert_eq!(names, expected.collect());
}

#[test]
fn series_of_single_label_sets_sum_up_with_the_first_of_each() {
    let point = |value, first_time| Point {
        value,
        profiles: 1,
        duration: 5,
        first: value,
        first_time,
        last_time: first_time,
        period: 1,
    };
    let labels = |pod| Labels::from_pairs([("app", "x"), ("pod", pod)]).expect("valid");
    let series = Series(BTreeMap::from([
        (labels("1"), BTreeMap::from([(0, point(3, 2))])),
        (labels("2"), BTreeMap::from([(0, point(4, 9))])),
    ]));
    let summed = series.sum_by(&["app".to_owned()]);
    let app = Labels::from_pairs([("app", "x")]).expect("valid");
    let Point {
        value,
        first,
        first_time,
        profiles,
        ..
    } = summed.0[&app][&0];
    assert_eq!((value, first, first_time, profiles), (7, 7, 2, 2));
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let mut merge = Merge::new(&Question::ProfileTypes);
    let names = Scanned {
        answer: Answer::Names(BTreeSet::new()),
        stats: Default::default(),
        told: Default::default(),
    };
    assert!(merge.add(names).is_err());
}
