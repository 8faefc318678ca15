//! Profiles one by one: what each adds up to, and what single spans took of it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use cairn_engine::repeats::series_of;
use cairn_engine::{GroupBy, Series};
use cairn_model::{Labels, MatchOp, Matcher};
use cairn_trie::{Partial, Value};

use crate::error::Error;
use crate::group::OfGroup;
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
            warning.say(&mut whole.warnings);
        }
        let warnings = whole.warnings;
        Ok(Reply { value, warnings })
    }

    /// The same of the stacks that `select` leaves alone. What has none of them is left out.
    pub(crate) async fn singles_of_stacks(
        &self,
        rows: &Rows,
        (group_by, of): (&[String], Of),
        select: impl FnOnce(Partial) -> Partial + Send + 'static,
    ) -> Result<Reply<Vec<Single>>, Error> {
        let whole = self.series(rows, i64::MAX, None).await?;
        let sets = whole.value.0.into_keys();
        let series = |labels| (series_of(&labels, &rows.profile_type), labels);
        let sets: HashMap<u64, Labels> = sets.map(series).collect();
        let mut labels = group_by.to_vec();
        let mut rows = rows.clone();
        if of == Of::Spans {
            labels.extend([TRACE, SPAN].map(str::to_owned));
            rows.matchers
                .push(Matcher::new(SPAN, MatchOp::NotEqual, "")?);
        }
        let apart = GroupBy::Profiles { step: 0, labels };
        let Reply {
            value,
            mut warnings,
        } = self.stacks(&rows, apart).await?;
        let group_by = group_by.to_vec();
        let told = move || parts(&select(value.partial), &group_by, &sets);
        let value = self.compute(told).await?;
        warnings.extend(whole.warnings);
        Ok(Reply { value, warnings })
    }
}

fn few_enough(count: usize) -> Result<(), Error> {
    match count {
        ..=SINGLES_MAX => Ok(()),
        _ => Err(Error::Invalid(format!(
            "{count} single profiles or spans; at most {SINGLES_MAX} are told one by one: choose a \
             shorter range, or select fewer"
        ))),
    }
}

/// `whole` says which labels are of profiles, and when those began; others are of samples.
fn told(found: &Series, group_by: &[String], whole: &Series) -> Result<Vec<Single>, Error> {
    let count = found.0.values().map(|points| points.len()).sum();
    few_enough(count)?;
    let names = names_of(whole);
    let mut value: Vec<Single> = Vec::with_capacity(count);
    for (all, points) in &found.0 {
        let group = part(all, |name| group_by.iter().any(|of| of == name));
        let sets: Vec<Labels> = profiles_of(all, &names, whole).collect();
        for (time, point) in points {
            let began = |labels: &&Labels| began_at(whole, labels, *time);
            let labels = sets.iter().find(began).or(sets.first());
            let labels = labels.cloned().unwrap_or_default();
            value.push(Single {
                group: group.clone(),
                time: *time,
                value: point.value,
                duration: point.duration,
                link: link(all, &labels),
                labels,
            });
        }
    }
    // What some profiles call a label of theirs may be one of samples to others.
    Ok(merged(value))
}

/// The span that samples with all these labels are of, if their profile does not say so of itself.
fn link(all: &Labels, profile: &Labels) -> Option<(String, String)> {
    let id = |name| all.get(name).unwrap_or_default().to_owned();
    let is_of_span = profile.get(SPAN).is_none() && all.get(SPAN).is_some();
    is_of_span.then(|| (id(TRACE), id(SPAN)))
}

fn merged(mut all: Vec<Single>) -> Vec<Single> {
    all.sort_by(|a, b| key(a).cmp(&key(b)));
    all.dedup_by(|next, single| {
        let is_same = key(next) == key(single);
        if is_same {
            single.value = single.value.wrapping_add(next.value);
        }
        is_same
    });
    all
}

/// What the stacks of each group add up to. `sets` are the labels of profiles by what stands for
/// their series; what is of no known profile was stored since those were asked for, or was folded.
fn parts(
    partial: &Partial,
    group_by: &[String],
    sets: &HashMap<u64, Labels>,
) -> Result<Vec<Single>, Error> {
    let mut singles: Vec<Option<Single>> = Vec::with_capacity(partial.groups.len());
    for group in &partial.groups {
        let OfGroup {
            time,
            series,
            labels: all,
        } = OfGroup::read(group)?;
        let labels = series.and_then(|series| sets.get(&series));
        singles.push(time.zip(labels).map(|(time, labels)| Single {
            group: part(&all, |name| group_by.iter().any(|of| of == name)),
            link: link(&all, labels),
            labels: labels.clone(),
            time,
            value: 0,
            duration: 0,
        }));
    }
    let mut is_met = vec![false; singles.len()];
    for Value {
        node: _,
        group,
        value,
    } in &partial.values
    {
        is_met[*group as usize] = true;
        if let Some(single) = &mut singles[*group as usize] {
            single.value = single.value.wrapping_add(*value);
        }
    }
    let met = singles.into_iter().zip(is_met);
    let met: Vec<Single> = met
        .filter_map(|(single, is_met)| single.filter(|_| is_met))
        .collect();
    few_enough(met.len())?;
    Ok(merged(met))
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
    let has_all = |names: &&BTreeSet<&str>| names.iter().all(|name| all.get(name).is_some());
    let of = |names: &'a BTreeSet<&str>| part(all, |name| names.contains(name));
    let labels = names.iter().filter(has_all).map(of);
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

    #[test]
    fn a_profile_is_not_taken_for_one_with_less_labels_since_others_have_more() {
        let whole = series(&[
            (&[], &[(10, 1)]),
            (&[("job", "a")], &[(10, 2)]),
            (&[("pod", "1"), ("zone", "x")], &[(10, 3)]),
        ]);
        let singles = told(&whole, &[], &whole).expect("few");
        let found = singles.into_iter().map(|of| (of.labels, of.value));
        let expected = whole
            .0
            .iter()
            .map(|(labels, of)| (labels.clone(), of[&10].value));
        assert!(found.eq(expected));
    }
}
