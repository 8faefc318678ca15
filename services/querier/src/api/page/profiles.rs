//! Single profiles in the order of time, page by page.

use std::collections::BTreeMap;

use axum::response::Response;
use cairn_engine::Point;
use cairn_model::TimeRange;
use serde::Serialize;

use super::{NANOS_PER_SECOND, json};
use crate::api::params::Params;
use crate::api::texts;
use crate::error::{Error, Warning};
use crate::profile_id::{IdsOf, ProfileId};
use crate::querier::{Rows, Session};
use crate::singles::{Of, Single};

/// Profiles of a page unless the request says otherwise.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 10_000;
/// Parts of a range that profiles are counted in, to ask for no more of them than a page needs.
const PARTS: i64 = 256;

#[derive(Serialize)]
struct Page {
    profiles: Vec<Row>,
    /// What `after` asks for the next page with; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// One profile.
#[derive(Serialize)]
struct Row {
    /// Selects it: `profile_id` of `/api/v1/flamegraph`, `profile_id_selector` of Pyroscope's API.
    id: String,
    /// When it begins, in seconds.
    time: f64,
    labels: BTreeMap<String, String>,
    #[serde(rename = "type")]
    profile_type: String,
    /// In seconds.
    duration: f64,
    total: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    NewestFirst,
    OldestFirst,
}

/// `GET /api/v1/profiles`
pub(super) async fn profiles(session: Session, params: Params) -> Result<Response, Error> {
    let limit = match params.count(&["limit"])? {
        None | Some(0) => LIMIT_DEFAULT,
        Some(limit) => limit.min(LIMIT_MAX),
    };
    let order = match params.get(&["order"]) {
        None | Some("newest") => Order::NewestFirst,
        Some("oldest") => Order::OldestFirst,
        Some(other) => {
            let text = format!("invalid order {other:?}: newest or oldest");
            return Err(Error::Invalid(text));
        }
    };
    let after = params.get(&["after"]).map(cursor).transpose()?;
    let mut rows = params.rows(&session).await?;
    let mut warnings = Vec::new();
    let mut found = match (is_stored(&session, &rows).await?, after) {
        // What a counter grew by is the difference to a profile that may be on another page.
        (false, _) => all(&session, &rows, &mut warnings).await?,
        (true, Some(after)) if !order.restrict(&mut rows.range, after.time) => Vec::new(),
        (true, _) => listed(&session, &rows, (order, after, limit), &mut warnings).await?,
    };
    if let Some(after) = after {
        found.retain(|(id, _)| order.is_behind(*id, after));
    }
    found.sort_by_key(|(id, _)| *id);
    if order == Order::NewestFirst {
        found.reverse();
    }
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last);
    let page = Page {
        next: next.map(|(id, _)| id.to_string()),
        profiles: found.iter().map(|(id, of)| row(*id, of, &rows)).collect(),
        warnings: texts(&warnings),
    };
    json(&page, &warnings)
}

fn cursor(text: &str) -> Result<ProfileId, Error> {
    let known = ProfileId::parse(text).ok().flatten();
    known.ok_or_else(|| Error::Invalid(format!("invalid after: {text:?} is no id of a profile")))
}

/// Whether there are profiles of the type itself.
async fn is_stored(session: &Session, rows: &Rows) -> Result<bool, Error> {
    if !rows.profile_type.delta {
        return Ok(true);
    }
    let types = session.types(rows.range, &rows.matchers).await?;
    Ok(types.value.contains(&rows.profile_type))
}

/// More than `limit` profiles, if there are so many: first counted, then asked for where enough of
/// them are.
async fn listed(
    session: &Session,
    rows: &Rows,
    (order, after, limit): (Order, Option<ProfileId>, usize),
    warnings: &mut Vec<Warning>,
) -> Result<Vec<(ProfileId, Single)>, Error> {
    let span = rows.range.end.saturating_sub(rows.range.start);
    let step = (span / PARTS).max(1);
    let counted = session.series(rows, step, Some(Vec::new())).await?;
    warnings.extend(counted.warnings);
    let none = BTreeMap::new();
    let points = counted.value.0.values().next().unwrap_or(&none);
    let mut wanted = limit as u64 + 1;
    loop {
        let range = order.window(rows.range, (points, step), wanted);
        let part = Rows {
            range,
            ..rows.clone()
        };
        let found = all(session, &part, warnings).await?;
        // Those of the page before count, too, where they share its last time.
        let behind = |(id, _): &&(ProfileId, Single)| match after {
            Some(after) => order.is_behind(*id, after),
            None => true,
        };
        if found.iter().filter(behind).count() > limit || range == rows.range {
            return Ok(found);
        }
        wanted = wanted.saturating_mul(4);
    }
}

async fn all(
    session: &Session,
    rows: &Rows,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<(ProfileId, Single)>, Error> {
    let found = session.singles(rows, &[], Of::Profiles).await?;
    warnings.extend(found.warnings);
    let profile_type = &rows.profile_type;
    let with_id = |of: Single| (IdsOf::new(&of.labels, profile_type).at(of.time), of);
    Ok(found.value.into_iter().map(with_id).collect())
}

fn row(id: ProfileId, of: &Single, rows: &Rows) -> Row {
    let labels = of.labels.iter();
    let seconds = |nanos: i64| nanos as f64 / NANOS_PER_SECOND as f64;
    Row {
        id: id.to_string(),
        time: seconds(of.time),
        labels: labels.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        profile_type: rows.profile_type.to_string(),
        duration: seconds(of.duration),
        total: of.value,
    }
}

impl Order {
    /// Leaves of a range what comes behind a time, that time included. False if that is nothing.
    fn restrict(self, range: &mut TimeRange, time: i64) -> bool {
        match self {
            Self::NewestFirst => range.end = range.end.min(time),
            Self::OldestFirst => range.start = range.start.max(time),
        }
        range.start <= range.end
    }

    fn is_behind(self, id: ProfileId, other: ProfileId) -> bool {
        match self {
            Self::NewestFirst => id < other,
            Self::OldestFirst => id > other,
        }
    }

    /// The first part of the range that has so many profiles.
    fn window(
        self,
        range: TimeRange,
        (points, step): (&BTreeMap<i64, Point>, i64),
        wanted: u64,
    ) -> TimeRange {
        let mut count = 0;
        let mut has_enough = |point: &Point| {
            count += point.profiles;
            count >= wanted
        };
        let found = match self {
            Self::NewestFirst => points.iter().rev().find(|(_, point)| has_enough(point)),
            Self::OldestFirst => points.iter().find(|(_, point)| has_enough(point)),
        };
        let Some((start, _)) = found else {
            return range;
        };
        match self {
            Self::NewestFirst => TimeRange {
                start: range.start.max(*start),
                ..range
            },
            Self::OldestFirst => TimeRange {
                end: range.end.min(start.saturating_add(step - 1)),
                ..range
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_as_many_profiles_as_are_wanted() {
        let range = TimeRange { start: 5, end: 58 };
        let point = |profiles| Point {
            profiles,
            ..Point::default()
        };
        let points = BTreeMap::from([(0, point(2)), (20, point(3)), (50, point(1))]);
        let window = |order: Order, wanted| {
            let window = order.window(range, (&points, 10), wanted);
            (window.start, window.end)
        };
        assert_eq!(window(Order::NewestFirst, 1), (50, 58));
        assert_eq!(window(Order::NewestFirst, 2), (20, 58));
        assert_eq!(window(Order::NewestFirst, 6), (5, 58));
        assert_eq!(window(Order::NewestFirst, 7), (5, 58));
        assert_eq!(window(Order::OldestFirst, 2), (5, 9));
        assert_eq!(window(Order::OldestFirst, 3), (5, 29));
        assert_eq!(window(Order::OldestFirst, 6), (5, 58));
    }
}
