//! Which profile types, labels and label sets there are.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use cairn_engine::{Query, Question};
use cairn_model::{Labels, ProfileType, TimeRange};
use cairn_wire::querier::v1::{
    ProfileTypesRequest, ProfileTypesResponse, SeriesRequest, SeriesResponse,
};
use cairn_wire::types::v1::{
    self as types, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
};
use http::{Extensions, HeaderMap, header};

use super::rows::{names, queries, range};
use crate::api::connect;
use crate::error::Error;
use crate::querier::{Querier, Reply, Session};

/// Names that read the profile type; every profile has them.
const OF_TYPE: [&str; 6] = [
    "__name__",
    "__period_type__",
    "__period_unit__",
    "__profile_type__",
    "__type__",
    "__unit__",
];

pub(super) async fn profile_types(
    session: Session,
    request: ProfileTypesRequest,
) -> Result<Reply<ProfileTypesResponse>, Error> {
    let ProfileTypesRequest { start, end } = request;
    let range = match (start, end) {
        (0, 0) => TimeRange::ALL,
        (start, end) => range(start, end)?,
    };
    let found = session.types(range, &[]).await?;
    Ok(found.map(|found| {
        // Whether values are those of spans of time is no part of Pyroscope's ids.
        let by_id: BTreeMap<String, types::ProfileType> = found.into_iter().map(by_id).collect();
        ProfileTypesResponse {
            profile_types: by_id.into_values().collect(),
        }
    }))
}

fn by_id(profile_type: ProfileType) -> (String, types::ProfileType) {
    let whole = ProfileType {
        delta: false,
        ..profile_type
    };
    let id = whole.to_string();
    let ProfileType {
        name,
        sample_type,
        sample_unit,
        period_type,
        period_unit,
        delta: _,
    } = whole;
    let told = types::ProfileType {
        id: id.clone(),
        name,
        sample_type,
        sample_unit,
        period_type,
        period_unit,
    };
    (id, told)
}

/// Which names a client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamesWanted {
    All,
    /// Letters, digits and underscores: all that older clients can put into a selector.
    Plain,
}

impl NamesWanted {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter();
        let mut parameters = accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split([';', ',']));
        match parameters.any(|part| part.trim() == "allow-utf8-labelnames=true") {
            true => Self::All,
            false => Self::Plain,
        }
    }

    fn has(self, name: &str) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let is_plain = name.bytes().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
        self == Self::All || is_plain
    }
}

pub(super) async fn connect_label_names(
    State(querier): State<Querier>,
    headers: HeaderMap,
    extensions: Extensions,
    body: Body,
) -> Response {
    let wanted = NamesWanted::of(&headers);
    let call = |session, request| label_names(session, request, wanted);
    connect::answer(&querier, (&headers, &extensions), body, call).await
}

pub(super) async fn label_names(
    session: Session,
    request: LabelNamesRequest,
    wanted: NamesWanted,
) -> Result<Reply<LabelNamesResponse>, Error> {
    let LabelNamesRequest {
        matchers,
        start,
        end,
    } = request;
    let range = range(start, end)?;
    let found = names(&session, &matchers, range, Question::LabelNames).await?;
    Ok(found.map(|mut names| {
        if !names.is_empty() {
            names.extend(OF_TYPE.map(str::to_owned));
        }
        names.retain(|name| wanted.has(name));
        LabelNamesResponse {
            names: names.into_iter().collect(),
        }
    }))
}

pub(super) async fn label_values(
    session: Session,
    request: LabelValuesRequest,
) -> Result<Reply<LabelValuesResponse>, Error> {
    let LabelValuesRequest {
        name,
        matchers,
        start,
        end,
    } = request;
    if name.is_empty() {
        return Err(Error::Invalid("name is required".to_owned()));
    }
    let range = range(start, end)?;
    let found = names(&session, &matchers, range, Question::LabelValues(name)).await?;
    Ok(found.map(|names| LabelValuesResponse {
        names: names.into_iter().collect(),
    }))
}

/// The label sets of profiles, with the labels that read their type. Labels of single samples
/// count only where they are asked for by name.
pub(super) async fn series(
    session: Session,
    request: SeriesRequest,
) -> Result<Reply<SeriesResponse>, Error> {
    let SeriesRequest {
        matchers,
        label_names,
        start,
        end,
    } = request;
    let range = range(start, end)?;
    let mut warnings = Vec::new();
    let mut sets: BTreeSet<Vec<(String, String)>> = BTreeSet::new();
    if !label_names.is_empty() {
        let question = label_sets(Some(label_names));
        for query in queries(&session, &matchers, range, &question).await? {
            let found = sets_of(&session, &query).await?;
            warnings.extend(found.warnings);
            sets.extend(found.value);
        }
    } else {
        let question = label_sets(None);
        for query in queries(&session, &matchers, range, &question).await? {
            let types = session.types(range, &query.matchers).await?;
            warnings.extend(types.warnings);
            let asked = query.profile_type.clone();
            let of_query = |of: &&ProfileType| asked.as_ref().is_none_or(|asked| asked == *of);
            for profile_type in types.value.iter().filter(of_query) {
                let query = Query {
                    profile_type: Some(profile_type.clone()),
                    ..query.clone()
                };
                let found = sets_of(&session, &query).await?;
                warnings.extend(found.warnings);
                let with_type = |mut set: Vec<(String, String)>| {
                    set.extend(labels_of_type(profile_type));
                    set.sort();
                    set
                };
                sets.extend(found.value.into_iter().map(with_type));
            }
        }
    }
    let pair = |(name, value)| types::LabelPair { name, value };
    let labels = |set: Vec<_>| types::Labels {
        labels: set.into_iter().map(pair).collect(),
    };
    // Profiles without any of the labels.
    sets.remove(&Vec::new());
    let value = SeriesResponse {
        labels_set: sets.into_iter().map(labels).collect(),
    };
    Ok(Reply { value, warnings })
}

/// All times are one step: what is asked for are the labels of the sums.
pub(super) fn label_sets(of: Option<Vec<String>>) -> Question {
    Question::Series {
        step: i64::MAX,
        sum_by: of,
    }
}

pub(super) async fn sets_of(
    session: &Session,
    query: &Query,
) -> Result<Reply<Vec<Vec<(String, String)>>>, Error> {
    let owned = |labels: Labels| {
        let pairs = labels.iter();
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        pairs.collect()
    };
    let found = session.label_sets(query).await?;
    Ok(found.map(|sets| sets.into_keys().map(owned).collect()))
}

fn labels_of_type(profile_type: &ProfileType) -> [(String, String); 6] {
    let (id, of) = by_id(profile_type.clone());
    let values = [
        of.name,
        of.period_type,
        of.period_unit,
        id,
        of.sample_type,
        of.sample_unit,
    ];
    let mut names = OF_TYPE.iter();
    values.map(|value| ((*names.next().unwrap_or(&"")).to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clients_that_say_so_get_names_with_other_characters() {
        let of = |accept: &'static str| {
            let value = http::HeaderValue::from_static(accept);
            NamesWanted::of(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        assert_eq!(of("*/*; allow-utf8-labelnames=true"), NamesWanted::All);
        assert_eq!(of("*/*;allow-utf8-labelnames=false"), NamesWanted::Plain);
        assert_eq!(NamesWanted::of(&HeaderMap::new()), NamesWanted::Plain);
        assert!(NamesWanted::Plain.has("__name__"));
        for name in ["service.name", "größe", "7up"] {
            assert!(!NamesWanted::Plain.has(name) && NamesWanted::All.has(name));
        }
    }
}
