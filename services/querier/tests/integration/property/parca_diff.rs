//! Comparisons of the first half of the range with the second.

use std::collections::BTreeMap;

use cairn_engine::{GroupBy, KeyBy};
use cairn_trie::{Group, GroupValue};
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::{
    DiffProfile, ProfileDiffSelection, QueryRequest, QueryResponse, profile_diff_selection,
};

use futures::future::{BoxFuture, join_all};

use super::expected::{self, Paths};
use super::parca::{NESTED, Parca, merge};
use super::read;
use super::stacks::{Stack, stacks, total};
use crate::model::{Row, Sums};

/// Both sides, and their factors.
struct Sides<'a> {
    base: Vec<Stack<'a>>,
    compare: Vec<Stack<'a>>,
    of_base: (i64, i64),
    of_compare: (i64, i64),
}

pub(crate) async fn check<'a>(parca: &Parca<'a>, rows: &[&'a Row]) {
    let range = parca.asked.range;
    let middle = range.start + (range.end - range.start) / 2;
    let (base, compare): (Vec<&Row>, Vec<&Row>) =
        rows.iter().copied().partition(|row| row.time <= middle);
    if !parca.asked.stays_itself(&base) || !parca.asked.stays_itself(&compare) {
        return;
    }
    let sides = Sides::of(parca, &stacks(&base), &stacks(&compare));
    let all: [BoxFuture<'_, ()>; 3] = [
        Box::pin(graphs(parca, &sides, middle)),
        Box::pin(tables(parca, &sides, middle)),
        Box::pin(download(parca, &sides, middle)),
    ];
    join_all(all).await;
}

/// The same of what stacks are known to have grown by.
pub(crate) async fn of_stacks<'a>(
    parca: &Parca<'a>,
    (base, compare): (&[Stack<'a>], &[Stack<'a>]),
    middle: i64,
) {
    let sides = Sides::of(parca, base, compare);
    futures::join!(
        Box::pin(graphs(parca, &sides, middle)),
        Box::pin(tables(parca, &sides, middle)),
    );
}

async fn ask(parca: &Parca<'_>, middle: i64, report: ReportType) -> QueryResponse {
    let range = parca.asked.range;
    let half = |range| ProfileDiffSelection {
        mode: profile_diff_selection::Mode::Merge.into(),
        options: Some(profile_diff_selection::Options::Merge(merge(
            parca.asked,
            range,
        ))),
    };
    let sides = DiffProfile {
        a: Some(half((range.start, middle))),
        b: Some(half((middle + 1, range.end))),
        absolute: Some(parca.asked.shape.absolute),
    };
    let request = QueryRequest {
        mode: Mode::Diff.into(),
        options: Some(Options::Diff(sides)),
        report_type: report.into(),
        ..parca.asked.shape.request()
    };
    parca.query(request).await
}

async fn graphs(parca: &Parca<'_>, sides: &Sides<'_>, middle: i64) {
    let is_inverted = parca.asked.shape.inverted;
    let paths = |stacks: &[Stack<'_>]| match is_inverted {
        true => expected::inverted(stacks),
        false => expected::paths(stacks),
    };
    let (base, compare) = (paths(&sides.base), paths(&sides.compare));
    let diffs = sides.diffs(&cumulative(&base), &cumulative(&compare));
    let (found, one, other) = futures::join!(
        ask(parca, middle, ReportType::FlamegraphArrow),
        ask(parca, middle, NESTED[0].0),
        ask(parca, middle, NESTED[1].0),
    );
    let said = parca.said("FLAMEGRAPH_ARROW of a comparison");
    assert_eq!(found.total, total(&sides.compare), "{said}");
    let found = read::flame(found, KeyBy::default());
    assert_eq!(found.sums, expected::unsigned(compare.clone()), "{said}");
    assert_eq!(found.diffs, diffs, "{said}");

    for (found, (_, name)) in [one, other].into_iter().zip(NESTED) {
        let mut values = cumulative(&compare);
        values.retain(|_, value| *value != 0);
        let said = parca.said(&format!("{name} of a comparison"));
        assert_eq!(read::nested(found), (values, diffs.clone()), "{said}");
    }
}

fn cumulative(paths: &Paths) -> BTreeMap<Vec<String>, i64> {
    let all = paths.iter();
    all.map(|(path, (cumulative, _))| (path.clone(), *cumulative))
        .collect()
}

async fn tables(parca: &Parca<'_>, sides: &Sides<'_>, middle: i64) {
    let (base, compare) = (
        expected::table(&sides.base),
        expected::table(&sides.compare),
    );
    let side = |table: &expected::Table, of: fn(&(i64, i64)) -> i64| {
        let all = table.iter();
        all.map(|(name, sums)| (name.clone(), of(sums))).collect()
    };
    let diffs = |of: fn(&(i64, i64)) -> i64| sides.diffs(&side(&base, of), &side(&compare, of));
    let (more, more_flat) = (diffs(|sums| sums.0), diffs(|sums| sums.1));
    let (found, arrow) = futures::join!(
        ask(parca, middle, ReportType::Top),
        ask(parca, middle, ReportType::TableArrow),
    );
    let said = parca.said("TOP of a comparison");
    assert_eq!(
        read::top_rows(found),
        (compare.clone(), more.clone()),
        "{said}"
    );
    let (values, changes) = read::table_rows(arrow);
    let said = parca.said("TABLE_ARROW of a comparison");
    assert_eq!(values, compare, "{said}");
    let mut expected = expected::Table::new();
    for (name, diff) in more {
        expected.entry(name).or_default().0 = diff;
    }
    for (name, diff) in more_flat {
        expected.entry(name).or_default().1 = diff;
    }
    assert_eq!(changes, expected, "{said}");
}

/// Both sides in one file, the base marked and below zero.
async fn download(parca: &Parca<'_>, sides: &Sides<'_>, middle: i64) {
    let found = ask(parca, middle, ReportType::Pprof).await;
    // Each sum is scaled and rounded apart.
    let sums = |stacks: &[Stack<'_>]| expected::as_sent(stacks, &GroupBy::SampleLabels);
    let mut expected = Sums::new();
    for ((stack, Group(mut pairs)), value) in sums(&sides.base) {
        let mark = ("pprof::base".into(), GroupValue::Str("true".into()));
        pairs.push(mark);
        pairs.sort();
        expected.insert((stack, Group(pairs)), -scaled(value, sides.of_base));
    }
    for (key, value) in sums(&sides.compare) {
        expected.insert(key, scaled(value, sides.of_compare));
    }
    let expected = expected::without_empty(expected);
    let said = parca.said("PPROF of a comparison");
    assert_eq!(read::samples(found), expected, "{said}");
}

impl<'a> Sides<'a> {
    /// The smaller one is scaled up to the larger as they were before anything was left out.
    fn of(parca: &Parca<'_>, base: &[Stack<'a>], compare: &[Stack<'a>]) -> Self {
        let (a, b) = (total(base), total(compare));
        let is_scaled = !parca.asked.shape.absolute && a > 0 && b > 0;
        Self {
            of_base: if is_scaled && a < b { (b, a) } else { (1, 1) },
            of_compare: if is_scaled && b < a { (a, b) } else { (1, 1) },
            base: parca.asked.shape.cut(base),
            compare: parca.asked.shape.cut(compare),
        }
    }

    fn diffs<K: Ord + Clone>(
        &self,
        base: &BTreeMap<K, i64>,
        compare: &BTreeMap<K, i64>,
    ) -> BTreeMap<K, i64> {
        let mut out = BTreeMap::new();
        for (key, value) in compare {
            *out.entry(key.clone()).or_default() += scaled(*value, self.of_compare);
        }
        for (key, value) in base {
            *out.entry(key.clone()).or_default() -= scaled(*value, self.of_base);
        }
        out.retain(|_, diff| *diff != 0);
        out
    }
}

/// To the nearest whole number, away from zero if there are two.
fn scaled(value: i64, (to, from): (i64, i64)) -> i64 {
    let (to, from) = (i128::from(to), i128::from(from));
    let twice = 2 * i128::from(value.abs()) * to + from;
    let rounded = (twice / (2 * from)) as i64;
    if value < 0 { -rounded } else { rounded }
}
