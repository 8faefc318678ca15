//! What counters have grown by: the `:delta` of types of which there are only counters.

use std::collections::BTreeMap;

use cairn_engine::{GroupBy, KeyBy};
use cairn_trie::Group;
use cairn_wire::EncodedProfile;
use cairn_wire::parca::query::v1alpha1::QueryRequest;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::querier::v1::{
    ProfileFormat, SelectMergeProfileRequest, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse,
};

use super::case::Asked;
use super::client::Client;
use super::expected::{self, Paths, Points};
use super::pages::{columns, range};
use super::parca::Parca;
use super::profiles::listed;
use super::singles::{Set, labels, of_profile};
use super::stacks::{Stack, stacks};
use super::{Place, growth_compared, growth_over_time, read};
use crate::fixture::{SECOND, encoded};
use crate::model::{Row, Sums};

/// From one profile of a counter to the next.
pub(crate) struct Step<'a> {
    pub(crate) labels: Set,
    /// Of the second.
    pub(crate) time: i64,
    /// Since the first.
    covered: i64,
    profiles: i32,
    /// What has come, and what was there before.
    more: Vec<&'a Row>,
    less: Vec<&'a Row>,
}

impl Step<'_> {
    pub(crate) fn value(&self) -> i64 {
        sum(&self.more) - sum(&self.less)
    }
}

fn sum(rows: &[&Row]) -> i64 {
    rows.iter().map(|row| row.value()).sum()
}

pub(crate) async fn check(place: &Place<'_>, asked: &Asked) {
    let Some((profile_type, rows)) = asked.counters() else {
        return;
    };
    let mut asked = asked.clone();
    asked.profile_type = profile_type;
    let steps = steps(&rows);
    futures::join!(
        Box::pin(of_stacks(place, &asked, &steps)),
        Box::pin(with_labels(place, &asked, &steps)),
        Box::pin(over_time(place, &asked, &steps)),
        Box::pin(one_by_one(place, &asked, &steps)),
        Box::pin(growth_over_time::check(place, &asked, (&rows, &steps))),
        Box::pin(growth_compared::check(place, &asked, &rows)),
    );
}

/// A counter that has less than before has begun anew, from nothing.
pub(crate) fn steps<'a>(rows: &[&'a Row]) -> Vec<Step<'a>> {
    let mut counters: BTreeMap<Set, Vec<i64>> = BTreeMap::new();
    for row in rows {
        counters.entry(labels(row)).or_default().push(row.time);
    }
    let mut steps = Vec::new();
    for (labels, mut times) in counters {
        times.sort_unstable();
        times.dedup();
        for pair in times.windows(2) {
            let [before, after] = [pair[0], pair[1]].map(|time| {
                let profile = (labels.clone(), time);
                of_profile(rows, &profile)
            });
            let has_begun_anew = sum(&after) < sum(&before);
            let mut profiles: Vec<usize> = after.iter().map(|row| row.profile).collect();
            profiles.dedup();
            steps.push(Step {
                labels: labels.clone(),
                time: pair[1],
                covered: pair[1] - pair[0],
                profiles: profiles.len() as i32,
                more: after,
                less: if has_begun_anew { Vec::new() } else { before },
            });
        }
    }
    steps
}

/// Stacks that have grown, and whether others have shrunk, which counts as nothing.
pub(crate) struct Grown<'a> {
    pub(crate) stacks: Vec<(Stack<'a>, Group, i64)>,
    pub(crate) has_shrunk: bool,
}

impl<'a> Grown<'a> {
    pub(crate) fn of(steps: &[&Step<'a>], by: &GroupBy) -> Self {
        let mut sums: BTreeMap<(Vec<String>, Group), (Stack<'a>, i64)> = BTreeMap::new();
        for step in steps {
            for (rows, sign) in [(&step.more, 1), (&step.less, -1)] {
                for stack in stacks(rows) {
                    let key = (stack.texts(), stack.row.group(by));
                    let value = sign * stack.value();
                    sums.entry(key).or_insert((stack, 0)).1 += value;
                }
            }
        }
        let has_shrunk = sums.values().any(|(_, value)| *value < 0);
        let grown = sums.into_iter().filter(|(_, (_, value))| *value > 0);
        let stacks = grown.map(|((_, group), (stack, value))| (stack, group, value));
        Self {
            stacks: stacks.collect(),
            has_shrunk,
        }
    }

    pub(crate) fn paths(&self) -> Paths {
        let all = self.stacks.iter();
        expected::tree(all.map(|(stack, _, value)| (stack.names(), *value)))
    }

    fn samples(&self) -> Sums {
        let all = self.stacks.iter();
        let all = all.map(|(stack, group, value)| ((stack.texts(), group.clone()), *value));
        expected::without_empty(all.collect())
    }

    pub(crate) fn total(&self) -> i64 {
        self.stacks.iter().map(|(_, _, value)| value).sum()
    }
}

async fn of_stacks(place: &Place<'_>, asked: &Asked, steps: &[Step<'_>]) {
    let all: Vec<&Step<'_>> = steps.iter().collect();
    let grown = Grown::of(&all, &GroupBy::Nothing);
    let place = &place.shrinking(grown.has_shrunk);
    let parca = Parca::connect(place, asked, &[]).await;
    let client = Client::new(place, asked.shape.nodes_max);
    let (start, end) = asked.millis();
    let tree = SelectMergeStacktracesRequest {
        profile_type_id: asked.profile_type.to_string(),
        label_selector: asked.label_selector(),
        start,
        end,
        format: ProfileFormat::Tree.into(),
        ..SelectMergeStacktracesRequest::default()
    };
    let whole = SelectMergeProfileRequest {
        profile_type_id: asked.profile_type.to_string(),
        label_selector: asked.label_selector(),
        start,
        end,
        ..SelectMergeProfileRequest::default()
    };
    let path = format!(
        "/api/v1/flamegraph?query={}&{}",
        encoded(&asked.selector()),
        range("from", "until", (asked.range.start, asked.range.end)),
    );
    let (page, graph, tree, whole): (_, _, SelectMergeStacktracesResponse, EncodedProfile) = futures::join!(
        place.json(&path),
        parca.merged(ReportType::FlamegraphArrow, QueryRequest::default()),
        client.ask("SelectMergeStacktraces", tree),
        client.ask("SelectMergeProfile", whole),
    );
    let said = |what: &str| place.said(&format!("{what} of growth"));
    let expected = grown.paths();
    assert_eq!(
        columns(&page, "value", "self"),
        expected,
        "{}",
        said("page")
    );
    let said_parca = said("FLAMEGRAPH_ARROW");
    assert_eq!(
        (graph.total, graph.filtered),
        (grown.total(), 0),
        "{said_parca}"
    );
    let graph = read::flame(graph, KeyBy::default());
    assert_eq!(graph.sums, expected, "{said_parca}");
    assert_eq!(read::tree(&tree.tree), expected, "{}", said("a tree"));
    let samples = read::samples_of(&whole.0);
    assert_eq!(samples, grown.samples(), "{}", said("SelectMergeProfile"));
}

async fn with_labels(place: &Place<'_>, asked: &Asked, steps: &[Step<'_>]) {
    let all: Vec<&Step<'_>> = steps.iter().collect();
    let grown = Grown::of(&all, &GroupBy::SampleLabels);
    let place = &place.shrinking(grown.has_shrunk);
    let parca = Parca::connect(place, asked, &[]).await;
    let found = parca
        .merged(ReportType::Pprof, QueryRequest::default())
        .await;
    let said = place.said("PPROF of growth");
    assert_eq!(read::samples(found), grown.samples(), "{said}");
}

/// Labels of samples do not divide what counters grew by.
async fn over_time(place: &Place<'_>, asked: &Asked, steps: &[Step<'_>]) {
    let step = asked.step;
    let mut points: BTreeMap<Set, BTreeMap<i64, Vec<&Step<'_>>>> = BTreeMap::new();
    for of in steps {
        let time = if step == 0 {
            of.time
        } else {
            of.time.div_euclid(step) * step
        };
        let mut labels = of.labels.clone();
        labels.retain(|name, _| asked.sum_by.contains(name));
        let of_labels = points.entry(labels).or_default();
        of_labels.entry(time).or_default().push(of);
    }
    let point = |of: &Vec<&Step<'_>>| {
        let is_one_time = of.iter().all(|other| other.time == of[0].time);
        let shortest = of.iter().map(|step| step.covered).min();
        let covered = match step == 0 || is_one_time {
            true => shortest.unwrap_or(0),
            false => step,
        };
        let value = of.iter().map(|step| step.value()).sum();
        let profiles = of.iter().map(|step| step.profiles).sum();
        (value, profiles, covered)
    };
    let mut expected = Points::new();
    for (labels, points) in points {
        let points = points.iter().map(|(time, of)| (*time, point(of)));
        expected.insert(labels, points.collect());
    }
    let parca = Parca::connect(place, asked, &[]).await;
    parca.check_range(expected, "QueryRange of growth").await;
}

/// The list of profiles, and one that an id selects.
async fn one_by_one(place: &Place<'_>, asked: &Asked, steps: &[Step<'_>]) {
    let said = place.said("profiles of growth");
    let mut expected = BTreeMap::new();
    for step in steps {
        let of = (step.time, step.labels.clone());
        expected.insert(of, (step.value(), step.covered));
    }
    let mut found = BTreeMap::new();
    // Whatever the page, the profile before may be anywhere.
    let all = listed(asked, "oldest", |_| place.clone()).await;
    for profile in &all {
        let nanos = |name: &str| (profile[name].as_f64().unwrap() * SECOND as f64) as i64;
        let set: Set = serde_json::from_value(profile["labels"].clone()).unwrap();
        let sums = (profile["total"].as_i64().unwrap(), nanos("duration"));
        found.insert((nanos("time"), set), sums);
    }
    assert_eq!(found, expected, "{said}");
    assert_eq!(found.len(), all.len(), "{said}");
    let Some(profile) = all.get(asked.shape.below.0 % all.len().max(1)) else {
        return;
    };
    let query = encoded(&asked.selector());
    let id = profile["id"].as_str().unwrap();
    let path = format!("/api/v1/flamegraph?query={query}&profile_id={id}");
    // It looks for the profile before as far back as other cases go.
    let page = place.get_unflagged(&path).await.into_body();
    let page = serde_json::from_slice(&page).unwrap();
    let time = (profile["time"].as_f64().unwrap() * SECOND as f64) as i64;
    let set: Set = serde_json::from_value(profile["labels"].clone()).unwrap();
    let of = steps
        .iter()
        .filter(|step| step.time == time && step.labels == set);
    let grown = Grown::of(&of.collect::<Vec<_>>(), &GroupBy::Nothing);
    let said = place.said(&format!("the growth of {id}"));
    assert_eq!(columns(&page, "value", "self"), grown.paths(), "{said}");
}
