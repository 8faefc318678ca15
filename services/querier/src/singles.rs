//! Profiles one by one: what each adds up to, and what single spans took of it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use cairn_engine::Series;
use cairn_model::{Labels, MatchOp, Matcher};

use crate::error::Error;
use crate::querier::{Reply, Rows, Session};

/// Profiles or spans of one answer. They take some hundred bytes each on their way.
pub(crate) const SINGLES_MAX: usize = 500_000;

const TRACE: &str = "trace_id";
const SPAN: &str = "span_id";

/// What is told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Profiles,
    /// What belongs to no span is left out.
    Spans,
}

/// One profile, or the part of it that one span took.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Single {
    /// What it is grouped by. A profile whose samples are in several groups is told in each.
    pub(crate) group: Labels,
    /// Of the profile.
    pub(crate) labels: Labels,
    pub(crate) time: i64,
    pub(crate) value: i64,
    pub(crate) duration: i64,
    /// Trace and span in hex, for spans.
    pub(crate) link: Option<(String, String)>,
}

impl Session {
    /// In the order of labels, then time.
    pub(crate) async fn singles(
        &self,
        rows: &Rows,
        group_by: &[String],
        of: Of,
    ) -> Result<Reply<Vec<Single>>, Error> {
        let step = match of {
            Of::Profiles => 0,
            // Only which labels there are, and when.
            Of::Spans => i64::MAX,
        };
        let mut whole = self.series(rows, step, None).await?;
        let sets = whole.value.0.keys();
        let has_all = |labels: &Labels| group_by.iter().all(|name| labels.get(name).is_some());
        if of == Of::Profiles && sets.clone().all(has_all) {
            let value = told(&whole.value, group_by, &whole.value)?;
            let warnings = whole.warnings;
            return Ok(Reply { value, warnings });
        }
        // Labels of samples divide profiles.
        let names = sets.flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()));
        let mut asked: BTreeSet<String> = names.collect();
        let mut rows = rows.clone();
        asked.extend(group_by.iter().cloned());
        if of == Of::Spans {
            asked.extend([TRACE, SPAN].map(str::to_owned));
            rows.matchers
                .push(Matcher::new(SPAN, MatchOp::NotEqual, "")?);
        }
        let asked = Some(asked.into_iter().collect());
        let found = self.series(&rows, 0, asked).await?;
        let value = told(&found.value, group_by, &whole.value)?;
        for warning in found.warnings {
            if !whole.warnings.contains(&warning) {
                whole.warnings.push(warning);
            }
        }
        let warnings = whole.warnings;
        Ok(Reply { value, warnings })
    }
}

/// `whole` says which labels are of profiles, and when those began; others are of samples.
fn told(found: &Series, group_by: &[String], whole: &Series) -> Result<Vec<Single>, Error> {
    let count: usize = found.0.values().map(|points| points.len()).sum();
    if count > SINGLES_MAX {
        return Err(Error::Invalid(format!(
            "{count} single profiles or spans; at most {SINGLES_MAX} are told one by one: choose a \
             shorter range, or select fewer"
        )));
    }
    let names = names_of(whole);
    let mut value: Vec<Single> = Vec::with_capacity(count);
    for (all, points) in &found.0 {
        let group = part(all, |name| group_by.iter().any(|of| of == name));
        let sets: Vec<Labels> = profiles_of(all, &names, whole).collect();
        let id = |name| all.get(name).unwrap_or_default().to_owned();
        for (time, point) in points {
            let began = |labels: &&Labels| began_at(whole, labels, *time);
            let labels = sets.iter().find(began).or(sets.first());
            let labels = labels.cloned().unwrap_or_default();
            let is_of_span = labels.get(SPAN).is_none() && all.get(SPAN).is_some();
            value.push(Single {
                group: group.clone(),
                time: *time,
                value: point.value,
                duration: point.duration,
                link: is_of_span.then(|| (id(TRACE), id(SPAN))),
                labels,
            });
        }
    }
    // What some profiles call a label of theirs may be one of samples to others.
    value.sort_by(|a, b| key(a).cmp(&key(b)));
    value.dedup_by(|next, single| {
        let is_same = key(next) == key(single);
        if is_same {
            single.value = single.value.wrapping_add(next.value);
        }
        is_same
    });
    Ok(value)
}

type Key<'a> = (&'a Labels, i64, &'a Labels, &'a Option<(String, String)>);

fn key(of: &Single) -> Key<'_> {
    (&of.labels, of.time, &of.group, &of.link)
}

/// Which names of labels profiles have together, the most first.
fn names_of(whole: &Series) -> Vec<BTreeSet<&str>> {
    let sets = whole.0.keys();
    let names = sets.map(|labels| labels.iter().map(|(name, _)| name).collect());
    let names: BTreeSet<BTreeSet<&str>> = names.collect();
    let mut names: Vec<BTreeSet<&str>> = names.into_iter().collect();
    names.sort_by_key(|names| Reverse(names.len()));
    names
}

/// The labels of profiles that samples with these labels may be of. The most labels come first:
/// which of two profiles of one time it was can't be told.
fn profiles_of<'a>(
    all: &'a Labels,
    names: &'a [BTreeSet<&str>],
    whole: &'a Series,
) -> impl Iterator<Item = Labels> + 'a {
    let of = |names: &'a BTreeSet<&str>| part(all, |name| names.contains(name));
    let labels = names.iter().map(of);
    labels.filter(|labels| whole.0.contains_key(labels))
}

fn began_at(whole: &Series, labels: &Labels, time: i64) -> bool {
    let points = whole.0.get(labels);
    points.is_some_and(|points| match points.get(&time) {
        Some(_) => true,
        None => points
            .values()
            .any(|point| (point.first_time..=point.last_time).contains(&time)),
    })
}

fn part(labels: &Labels, keep: impl Fn(&str) -> bool) -> Labels {
    let kept = labels.iter().filter(|(name, _)| keep(name));
    Labels::from_pairs(kept).expect("a part of valid labels is valid")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cairn_engine::Point;

    use super::*;

    type Told = (
        &'static [(&'static str, &'static str)],
        &'static [(i64, i64)],
    );

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).expect("valid")
    }

    fn series(all: &[Told]) -> Series {
        let point = |(time, value): &(i64, i64)| {
            let point = Point {
                value: *value,
                profiles: 1,
                first_time: *time,
                last_time: *time,
                ..Point::default()
            };
            (*time, point)
        };
        let sets = all
            .iter()
            .map(|(pairs, points)| (labels(pairs), points.iter().map(point).collect()));
        Series(sets.collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn labels_of_samples_are_not_those_of_profiles_though_others_call_theirs_so() {
        let whole = series(&[
            (&[("job", "a"), ("pod", "1")], &[(10, 7)]),
            (&[("job", "a")], &[(20, 9)]),
            (&[("job", "b")], &[(10, 3)]),
        ]);
        // Of those without the label a sample at 20 and two at 10 have it.
        let divided = series(&[
            (&[("job", "a")], &[(20, 4)]),
            (&[("job", "a"), ("pod", "1")], &[(10, 7), (20, 5)]),
            (&[("job", "b"), ("pod", "1")], &[(10, 1)]),
            (&[("job", "b"), ("pod", "2")], &[(10, 2)]),
        ]);
        let found = |group_by: &[&str]| {
            let names: Vec<String> = group_by.iter().map(|name| (*name).to_owned()).collect();
            let singles = told(&divided, &names, &whole).expect("few");
            let shown = singles.into_iter().map(|of| {
                let pod = of.group.get("pod").unwrap_or_default().to_owned();
                (of.labels, of.time, pod, of.value)
            });
            shown.collect::<Vec<_>>()
        };
        let [a, b, one] = [
            labels(&[("job", "a")]),
            labels(&[("job", "b")]),
            labels(&[("job", "a"), ("pod", "1")]),
        ];
        let row =
            |labels: &Labels, time, pod: &str, value| (labels.clone(), time, pod.to_owned(), value);
        let whole_again = [row(&a, 20, "", 9), row(&one, 10, "", 7), row(&b, 10, "", 3)];
        assert_eq!(found(&[]), whole_again);
        let by_pod = [
            row(&a, 20, "", 4),
            row(&a, 20, "1", 5),
            row(&one, 10, "1", 7),
            row(&b, 10, "1", 1),
            row(&b, 10, "2", 2),
        ];
        assert_eq!(found(&["pod"]), by_pod);
    }
}
