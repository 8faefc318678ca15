//! Which profiles a report is about: those of a range, of an instant, or two of those compared.

use cairn_model::{Selector, TimeRange};
use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options};
use cairn_wire::parca::query::v1alpha1::{MergeProfile, SingleProfile};

use super::types::nanos;
use crate::error::Error;
use crate::querier::Rows;

const NANOS_PER_MILLI: i64 = 1_000_000;

#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) rows: Rows,
    /// Whether the profile of one instant is meant, which must be there.
    pub(super) single: bool,
}

/// What is shown, what it is compared with, and whether absolute values are.
pub(super) fn selections(
    mode: Mode,
    options: Option<Options>,
) -> Result<(Selection, Option<Selection>, bool), Error> {
    let invalid = |text: &str| Error::Invalid(text.to_owned());
    match (mode, options) {
        (Mode::Merge, Some(Options::Merge(profile))) => Ok((merge(profile)?, None, false)),
        (Mode::SingleUnspecified, Some(Options::Single(profile))) => {
            Ok((single(profile)?, None, false))
        }
        (Mode::Diff, Some(Options::Diff(sides))) => {
            let wire::DiffProfile { a, b, absolute } = sides;
            let side = |side: Option<wire::ProfileDiffSelection>| {
                side.ok_or_else(|| invalid("a comparison needs both a and b"))
            };
            let (a, b) = (diff_side(side(a)?)?, diff_side(side(b)?)?);
            Ok((b, Some(a), absolute.unwrap_or(false)))
        }
        (Mode::Merge, _) => Err(invalid(
            "requested merge mode, but did not provide parameters",
        )),
        (Mode::SingleUnspecified, _) => Err(invalid(
            "requested single mode, but did not provide parameters",
        )),
        (Mode::Diff, _) => Err(invalid(
            "requested diff mode, but did not provide parameters",
        )),
    }
}

fn diff_side(side: wire::ProfileDiffSelection) -> Result<Selection, Error> {
    use wire::profile_diff_selection::Options;
    match side.options {
        Some(Options::Merge(profile)) => merge(profile),
        Some(Options::Single(profile)) => single(profile),
        None => Err(Error::Invalid(
            "a side of the comparison names no profiles".to_owned(),
        )),
    }
}

fn merge(profile: MergeProfile) -> Result<Selection, Error> {
    let MergeProfile { query, start, end } = profile;
    let required = |name: &str| Error::Invalid(format!("{name} is required"));
    let range = TimeRange {
        start: nanos(&start.ok_or_else(|| required("start"))?)?,
        end: nanos(&end.ok_or_else(|| required("end"))?)?,
    };
    if range.end < range.start {
        return Err(Error::Invalid("end must not be before start".to_owned()));
    }
    Ok(Selection {
        rows: rows(&query, range)?,
        single: false,
    })
}

/// Clients know times in milliseconds, so any profile of that millisecond is meant.
fn single(profile: SingleProfile) -> Result<Selection, Error> {
    let SingleProfile { time, query } = profile;
    let time = time.ok_or_else(|| Error::Invalid("time is required".to_owned()))?;
    let start = nanos(&time)?
        .div_euclid(NANOS_PER_MILLI)
        .saturating_mul(NANOS_PER_MILLI);
    let range = TimeRange {
        start,
        end: start.saturating_add(NANOS_PER_MILLI - 1),
    };
    Ok(Selection {
        rows: rows(&query, range)?,
        single: true,
    })
}

fn rows(query: &str, range: TimeRange) -> Result<Rows, Error> {
    let (profile_type, matchers) = Selector::parse_typed(query)?;
    Ok(Rows {
        profile_type,
        matchers,
        range,
    })
}
