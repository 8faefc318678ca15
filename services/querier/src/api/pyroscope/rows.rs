//! Which rows a request of Pyroscope's API means.

use std::collections::BTreeSet;

use cairn_engine::{Query, Question};
use cairn_model::{MatchOp, Matcher, ProfileType, Regexes, Selector, TimeRange};

use crate::api::render;
use crate::error::Error;
use crate::profile_id::count_of;
use crate::querier::{Reply, Rows, Session};

pub(super) const NANOS_PER_MILLI: i64 = 1_000_000;

fn invalid(text: impl ToString) -> Error {
    Error::Invalid(text.to_string())
}

/// Both bounds, in milliseconds. The last millisecond counts as a whole: clients know profiles by
/// milliseconds only.
pub(super) fn range(start: i64, end: i64) -> Result<TimeRange, Error> {
    if start == 0 || end == 0 {
        return Err(invalid("start and end are required, in milliseconds"));
    }
    if start > end {
        return Err(invalid("start must not be after end"));
    }
    Ok(TimeRange {
        start: start.saturating_mul(NANOS_PER_MILLI),
        end: end
            .saturating_mul(NANOS_PER_MILLI)
            .saturating_add(NANOS_PER_MILLI - 1),
    })
}

/// What nearly every request says.
pub(super) struct Asked<'a> {
    pub(super) profile_type: &'a str,
    pub(super) selector: &'a str,
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Asked<'_> {
    /// As asked, without knowing which kind of the type is stored.
    pub(super) fn rows(&self) -> Result<Rows, Error> {
        if self.profile_type.is_empty() {
            return Err(invalid("profile_typeID is required"));
        }
        let profile_type: ProfileType = self.profile_type.parse().map_err(invalid)?;
        if self.selector.trim().is_empty() {
            return Err(invalid("label_selector is required: {} selects all"));
        }
        let selector = Selector::parse_as(self.selector, Regexes::MatchWhole)?;
        if selector.profile_type.is_some_and(|of| of != profile_type) {
            return Err(invalid("label_selector names another profile type"));
        }
        Ok(Rows {
            profile_type,
            matchers: selector.matchers,
            range: range(self.start, self.end)?,
        })
    }
}

/// Ids of traces and spans that a request is restricted to.
#[derive(Default)]
pub(super) struct Ids<'a> {
    pub(super) traces: &'a [String],
    pub(super) spans: &'a [String],
}

impl Ids<'_> {
    pub(super) fn restrict(&self, rows: &mut Rows) -> Result<(), Error> {
        if !self.traces.is_empty() && !self.spans.is_empty() {
            return Err(invalid("trace_id_selector excludes span_selector"));
        }
        let matchers = [
            any_id("trace_id", "trace_id_selector", 32, self.traces)?,
            any_id("span_id", "span_selector", 16, self.spans)?,
        ];
        rows.matchers.extend(matchers.into_iter().flatten());
        Ok(())
    }
}

fn any_id(
    label: &str,
    field: &str,
    digits: usize,
    ids: &[String],
) -> Result<Option<Matcher>, Error> {
    count_of(field, ids)?;
    for id in ids {
        if id.len() != digits || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid(format!(
                "{field}: {:?} is not {digits} hex digits",
                id.chars().take(2 * digits).collect::<String>()
            )));
        }
    }
    let (op, value) = match ids {
        [] => return Ok(None),
        [id] => (MatchOp::Equal, id.to_ascii_lowercase()),
        ids => {
            let any = ids.join("|").to_ascii_lowercase();
            (MatchOp::Regex, format!("^(?:{any})$"))
        }
    };
    Ok(Some(Matcher::new(label, op, &value)?))
}

/// How large an answer may be: `0` and nothing stand for `default`.
pub(super) fn nodes_max(asked: Option<i64>, default: usize) -> Result<usize, Error> {
    const MAX: i64 = render::NODES_MAX as i64;
    match asked {
        None | Some(0) => Ok(default),
        Some(asked @ 1..=MAX) => Ok(asked as usize),
        Some(asked) => Err(invalid(format!(
            "max_nodes is {asked}; it must lie between 0 and {MAX}"
        ))),
    }
}

/// One query for each of the selectors, or one for all rows.
pub(super) async fn queries(
    session: &Session,
    matchers: &[String],
    range: TimeRange,
    question: &Question,
) -> Result<Vec<Query>, Error> {
    let parse = |text: &str| Ok(Selector::parse_as(text, Regexes::MatchWhole)?);
    session
        .queries((matchers, "matchers"), parse, (range, question))
        .await
}

/// Names or values among the profiles that match any of the selectors.
pub(super) async fn names(
    session: &Session,
    matchers: &[String],
    range: TimeRange,
    question: Question,
) -> Result<Reply<BTreeSet<String>>, Error> {
    let queries = queries(session, matchers, range, &question).await?;
    session.names_of_any(&queries).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

    fn asked(selector: &str) -> Asked<'_> {
        Asked {
            profile_type: CPU,
            selector,
            start: 1,
            end: 2,
        }
    }

    #[test]
    fn ranges_hold_their_last_millisecond() {
        let found = range(1, 2).expect("valid");
        assert_eq!((found.start, found.end), (1_000_000, 2_999_999));
        for (start, end) in [(0, 0), (0, 1), (1, 0), (2, 1)] {
            assert!(range(start, end).is_err(), "{start} {end}");
        }
    }

    #[test]
    fn selectors_are_promql_s() {
        let rows = asked(r#"{a=~"web"}"#).rows().expect("valid");
        assert!(!rows.matchers[0].matches(Some("web-7")));
        let both = format!("{CPU}{{}}");
        assert_eq!(asked(&both).rows().expect("valid").matchers, []);
        for bad in ["", " ", "{", "x", "memory:a:b:c:d{}"] {
            assert!(asked(bad).rows().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_become_matchers() {
        let restricted = |ids: Ids<'_>| {
            let mut rows = asked("{}").rows().expect("valid");
            ids.restrict(&mut rows)
                .map(|()| rows.matchers.iter().map(ToString::to_string).collect())
        };
        let spans = ["00000000000000AB".to_owned(), "00000000000000cd".to_owned()];
        let traces = ["0".repeat(32)];
        let found: Vec<String> = restricted(Ids {
            spans: &spans,
            ..Ids::default()
        })
        .expect("valid");
        assert_eq!(
            found,
            [r#"span_id=~"^(?:00000000000000ab|00000000000000cd)$""#]
        );
        let found: Vec<String> = restricted(Ids {
            traces: &traces,
            ..Ids::default()
        })
        .expect("valid");
        assert_eq!(found, [format!("trace_id=\"{}\"", traces[0])]);
        let bad = ["x".repeat(16)];
        let many = vec![spans[0].clone(); crate::profile_id::IDS_MAX + 1];
        for (traces, spans) in [
            (&traces[..], &spans[..]),
            (&spans[..], &[][..]),
            (&[][..], &bad[..]),
            (&[][..], &many[..]),
        ] {
            assert!(restricted(Ids { traces, spans }).is_err());
        }
    }

    #[test]
    fn sizes_have_a_default_and_a_limit() {
        assert_eq!(nodes_max(None, 7).expect("valid"), 7);
        assert_eq!(nodes_max(Some(0), 7).expect("valid"), 7);
        assert_eq!(nodes_max(Some(1_048_576), 7).expect("valid"), 1_048_576);
        assert!(nodes_max(Some(1_048_577), 7).is_err());
        assert!(nodes_max(Some(-1), 7).is_err());
    }
}
