//! Profiles one by one in the order of time, and those that ids select.

use std::collections::BTreeMap;

use cairn_engine::GroupBy;
use cairn_model::TimeRange;
use cairn_wire::EncodedProfile;
use cairn_wire::querier::v1::{
    ProfileFormat, SelectMergeProfileRequest, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse,
};
use serde_json::Value;

use super::case::Asked;
use super::client::Client;
use super::pages::{columns, range};
use super::singles::{Ids, Set, labels, of_profile};
use super::stacks::stacks;
use super::{Place, expected, read};
use crate::fixture::{SECOND, encoded};
use crate::model::Row;

/// Profile -> total and nanoseconds covered.
type Listed = BTreeMap<(i64, Set), (i64, i64)>;

pub(crate) async fn check(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    let mut expected = Listed::new();
    for row in rows {
        let profile = (row.time, labels(row));
        let known = expected.entry(profile).or_insert((0, row.duration));
        known.0 += row.value();
        known.1 = known.1.min(row.duration);
    }
    let (oldest, newest) = futures::join!(
        Box::pin(listed(asked, "oldest", |rest| place.within(rest))),
        Box::pin(listed(asked, "newest", |rest| place.within(rest))),
    );
    let said = place.said("profiles");
    let mut ids = Ids::default();
    let mut known: Vec<(String, (Set, i64))> = Vec::new();
    for (list, is_oldest) in [(&oldest, true), (&newest, false)] {
        let mut found = Listed::new();
        let mut times = Vec::new();
        for profile in list {
            assert_eq!(profile["type"], asked.profile_type.to_string(), "{said}");
            let nanos = |name: &str| (profile[name].as_f64().unwrap() * SECOND as f64) as i64;
            let set: Set = serde_json::from_value(profile["labels"].clone()).unwrap();
            let (id, time) = (profile["id"].as_str().unwrap(), nanos("time"));
            ids.add(id, (set.clone(), time), &said);
            times.push(time);
            if is_oldest {
                known.push((id.to_owned(), (set.clone(), time)));
            }
            let sums = (profile["total"].as_i64().unwrap(), nanos("duration"));
            let before = found.insert((time, set), sums);
            assert_eq!(before, None, "{said}: a profile twice");
        }
        assert_eq!(found, expected, "{said}");
        let in_order = match is_oldest {
            true => times.is_sorted(),
            false => times.is_sorted_by(|a, b| a >= b),
        };
        assert!(in_order, "{said}: {times:?}");
    }
    if !known.is_empty() {
        let (at, other) = (asked.shape.below.0, asked.shape.nodes_max);
        let one = &known[at % known.len()];
        let other = &known[other % known.len()];
        selected(place, asked, rows, [one, other]).await;
    }
}

/// All pages in one list. `place` is what the answer must say of the rest of the range.
pub(crate) async fn listed<'a>(
    asked: &Asked,
    order: &str,
    place: impl Fn(TimeRange) -> Place<'a>,
) -> Vec<Value> {
    let limit = asked.shape.nodes_max;
    let mut rest = asked.range;
    let mut all: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!(
            "/api/v1/profiles?query={}&{}&order={order}&limit={limit}{after}",
            encoded(&asked.selector()),
            range("from", "until", (asked.range.start, asked.range.end)),
        );
        let page = place(rest).json(&path).await;
        let profiles = page["profiles"].as_array().unwrap();
        assert!(profiles.len() <= limit);
        all.extend(profiles.iter().cloned());
        let Some(next) = page["next"].as_str() else {
            return all;
        };
        let last = all.last().unwrap();
        assert_eq!(last["id"], next);
        after = format!("&after={next}");
        let time = (last["time"].as_f64().unwrap() * SECOND as f64) as i64;
        match order {
            "oldest" => rest.start = time,
            _ => rest.end = time,
        }
    }
}

async fn selected(
    place: &Place<'_>,
    asked: &Asked,
    rows: &[&Row],
    both: [&(String, (Set, i64)); 2],
) {
    let [(one, profile), (other, next)] = both;
    let of_one = of_profile(rows, profile);
    let time = profile.1;
    // Ids say where to look.
    let place_of_one = place.within(TimeRange {
        start: time,
        end: time,
    });
    let query = encoded(&asked.selector());
    let path = format!("/api/v1/flamegraph?query={query}&profile_id={one}");
    let page = place_of_one.json(&path);

    let place_of_both = place.within(TimeRange {
        start: time.min(next.1),
        end: time.max(next.1),
    });
    let mut of_both = of_one.clone();
    if next != profile {
        of_both.extend(of_profile(rows, next));
    }
    let client = Client::new(&place_of_both, asked.shape.nodes_max);
    let (start, end) = asked.millis();
    let ids = vec![one.clone(), other.clone()];
    let tree = SelectMergeStacktracesRequest {
        profile_type_id: asked.profile_type.to_string(),
        label_selector: asked.label_selector(),
        start,
        end,
        format: ProfileFormat::Tree.into(),
        profile_id_selector: ids.clone(),
        ..SelectMergeStacktracesRequest::default()
    };
    let whole = SelectMergeProfileRequest {
        profile_type_id: asked.profile_type.to_string(),
        label_selector: asked.label_selector(),
        start,
        end,
        profile_id_selector: ids,
        ..SelectMergeProfileRequest::default()
    };
    let tree = client.ask("SelectMergeStacktraces", tree);
    let whole = client.ask("SelectMergeProfile", whole);
    let (page, tree, whole): (_, SelectMergeStacktracesResponse, EncodedProfile) =
        futures::join!(page, tree, whole);
    let said = place.said(&format!("the page's {one}"));
    let expected = expected::paths(&stacks(&of_one));
    assert_eq!(columns(&page, "value", "self"), expected, "{said}");
    let said = place.said(&format!("{one} and {other}"));
    let of_both = stacks(&of_both);
    assert_eq!(read::tree(&tree.tree), expected::paths(&of_both), "{said}");
    let expected = expected::samples(&of_both, &GroupBy::Nothing);
    assert_eq!(read::samples_of(&whole.0), expected, "{said}");
}
