//! Flame charts: calls as they followed each other.

use std::collections::{BTreeMap, BTreeSet};

use cairn_engine::{GroupBy, KeyBy};
use cairn_model::{Code, TimeRange};
use cairn_trie::Group;
use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::{QueryRequest, QueryResponse};

use super::parca::{Parca, merge};
use super::read::{self, Drawn};
use super::stacks::{Stack, stacks, total};
use super::{expected, shape};
use crate::model::Row;

/// One stack at one time.
struct Sample {
    time: i64,
    /// Outermost first.
    calls: Vec<String>,
    value: i64,
}

/// What keeps calls apart besides the time.
struct Chart<'a> {
    labels: &'a [String],
    key_by: KeyBy,
    is_inverted: bool,
}

/// Of the whole range, and of a part of it where nothing happens at once.
pub(crate) async fn check(parca: &Parca<'_>, rows: &[&Row]) {
    // What adds up to nothing may be there or not.
    if !parca.has_no_sign() {
        return;
    }
    let shape = &parca.asked.shape;
    let by_labels = Chart {
        labels: &shape.labels,
        key_by: shape.key_by,
        is_inverted: shape.inverted,
    };
    let plain = Chart {
        labels: &[],
        key_by: KeyBy::default(),
        is_inverted: shape.inverted,
    };
    let range = parca.asked.range;
    let quiet = [&by_labels, &plain].map(|chart| chart.longest_quiet(parca, rows));
    futures::join!(
        Box::pin(by_labels.check(parca, rows, range)),
        Box::pin(by_labels.check(parca, rows, quiet[0])),
        Box::pin(plain.check(parca, rows, quiet[1])),
    );
}

impl Chart<'_> {
    /// Through both reports that draw one.
    async fn check(&self, parca: &Parca<'_>, rows: &[&Row], range: TimeRange) {
        let fields = shape::fields(self.labels, self.key_by);
        let timed = [&fields[..], &["timestamp".to_owned()]].concat();
        let (mut client, mut other) = (parca.client.clone(), parca.client.clone());
        let (chart, grouped) = futures::join!(
            client.query(request(parca, range, (ReportType::Flamechart, fields))),
            other.query(request(parca, range, (ReportType::FlamegraphArrow, timed))),
        );
        let said = parca.said(&format!("a chart by {:?}", self.labels));
        let place = parca.place.within(range);
        let all = stacks(&within(rows, range));
        let cut = parca.asked.shape.cut(&all);
        let sums = (total(&cut), total(&all) - total(&cut));
        match self.drawn(&cut) {
            Ok(expected) => {
                for found in [chart, grouped] {
                    let found = found.unwrap();
                    place.check_flags(&found.metadata().clone().into_headers());
                    let found = found.into_inner();
                    assert_eq!((found.total, found.filtered), sums, "{said}");
                    check_drawn(found, (&expected, self.key_by), &said);
                }
            }
            Err(time) => {
                let text =
                    format!("multiple samples for the same timestamp is not allowed: {time}");
                for found in [chart, grouped] {
                    let status = found.unwrap_err();
                    assert_eq!(cairn_wire::code_of(&status), Code::Invalid, "{said}");
                    assert_eq!(status.message(), text, "{said}");
                }
            }
        }
    }

    /// From the first to the last of the most times one after another without two stacks at once.
    fn longest_quiet(&self, parca: &Parca<'_>, rows: &[&Row]) -> TimeRange {
        let times: BTreeSet<i64> = rows.iter().map(|row| row.time).collect();
        let times: Vec<i64> = times.into_iter().collect();
        let mut longest = (0, parca.asked.range);
        for (at, start) in times.iter().enumerate() {
            for (len, end) in (1..).zip(&times[at..]) {
                let range = TimeRange {
                    start: *start,
                    end: *end,
                };
                let cut = parca.asked.shape.cut(&stacks(&within(rows, range)));
                if len > longest.0 && self.drawn(&cut).is_ok() {
                    longest = (len, range);
                }
            }
        }
        longest.1
    }

    /// The first time of two stacks at once if there is no chart.
    fn drawn(&self, stacks: &[Stack<'_>]) -> Result<Drawn, i64> {
        let by = GroupBy::Labels(self.labels.to_vec());
        let mut times: BTreeMap<(Group, i64), BTreeMap<Vec<String>, i64>> = BTreeMap::new();
        let mut shown: BTreeMap<Group, String> = BTreeMap::new();
        for stack in stacks {
            let mut calls = stack.keyed(self.key_by);
            if self.is_inverted {
                calls.reverse();
            }
            let group = stack.row.group(&by);
            let name = expected::group_name(stack.row, self.labels);
            shown.insert(group.clone(), name.unwrap_or_default());
            let of_time = times.entry((group, stack.row.taken())).or_default();
            *of_time.entry(calls).or_default() += stack.value();
        }
        let mut samples: BTreeMap<Group, Vec<Sample>> = BTreeMap::new();
        for ((group, time), of_time) in times {
            if of_time.len() > 1 {
                return Err(time);
            }
            let of_group = samples.entry(group).or_default();
            of_group.extend(of_time.into_iter().map(|(calls, value)| Sample {
                time,
                calls,
                value,
            }));
        }
        let mut out = Drawn::new();
        expected::add(&mut out, Vec::new(), (total(stacks), 0));
        for (group, samples) in samples {
            let path = match &group.0[..] {
                [] => Vec::new(),
                _ => vec![(shown[&group].clone(), 0)],
            };
            let sum = |of: &mut dyn Iterator<Item = &Sample>| of.map(|of| of.value).sum::<i64>();
            let flat = sum(&mut samples.iter().filter(|of| of.calls.is_empty()));
            // The root has everything already.
            let all = if path.is_empty() {
                0
            } else {
                sum(&mut samples.iter())
            };
            expected::add(&mut out, path.clone(), (all, flat));
            draw(&samples, 0, &path, &mut out);
        }
        Ok(expected::without_zeros(out))
    }
}

/// A call lasts until a sample without it, or one that begins only after it has ended.
fn draw(samples: &[Sample], depth: usize, above: &[(String, i64)], out: &mut Drawn) {
    let mut rest = samples;
    while let Some((first, _)) = rest.split_first() {
        let Some(name) = first.calls.get(depth) else {
            rest = &rest[1..];
            continue;
        };
        let (mut count, mut sum) = (0, 0);
        for next in rest {
            let goes_on = count == 0 || next.time <= first.time + sum;
            if next.calls.get(depth) != Some(name) || !goes_on {
                break;
            }
            count += 1;
            sum += next.value;
        }
        let (of_call, others) = rest.split_at(count);
        let ends = of_call.iter().filter(|of| of.calls.len() == depth + 1);
        let flat = ends.map(|of| of.value).sum();
        let path = [above, &[(name.clone(), first.time)]].concat();
        expected::add(out, path.clone(), (sum, flat));
        draw(of_call, depth + 1, &path, out);
        rest = others;
    }
}

fn within<'a>(rows: &[&'a Row], range: TimeRange) -> Vec<&'a Row> {
    let is_within = |row: &&&Row| range.start <= row.time && row.time <= range.end;
    rows.iter().filter(is_within).copied().collect()
}

fn request(
    parca: &Parca<'_>,
    range: TimeRange,
    (report, fields): (ReportType, Vec<String>),
) -> QueryRequest {
    let range = (range.start, range.end);
    QueryRequest {
        mode: Mode::Merge.into(),
        options: Some(Options::Merge(merge(parca.asked, range))),
        report_type: report.into(),
        group_by: Some(wire::GroupBy { fields }),
        ..parca.asked.shape.request()
    }
}

fn check_drawn(found: QueryResponse, (expected, key_by): (&Drawn, KeyBy), said: &str) {
    let (height, found) = read::chart(found, key_by);
    assert_eq!(found, *expected, "{said}");
    let depth = expected.keys().map(Vec::len).max().unwrap_or(0);
    assert_eq!(height, depth + 1, "{said}");
}
