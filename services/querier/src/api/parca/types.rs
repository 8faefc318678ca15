//! Which profile types there are.

use cairn_model::TimeRange;
use cairn_wire::parca::query::v1alpha1::{
    HasProfileDataRequest, HasProfileDataResponse, ProfileTypesRequest, ProfileTypesResponse,
};
use prost_types::Timestamp;

use crate::error::Error;
use crate::querier::{Reply, Session};

pub(super) async fn profile_types(
    session: Session,
    request: ProfileTypesRequest,
) -> Result<Reply<ProfileTypesResponse>, Error> {
    let ProfileTypesRequest { start, end } = request;
    let types = session.types(exclusive(start, end)?, &[]).await?;
    Ok(types.map(|types| ProfileTypesResponse {
        types: types.into_iter().map(Into::into).collect(),
    }))
}

pub(super) async fn has_profile_data(
    session: Session,
    _: HasProfileDataRequest,
) -> Result<Reply<HasProfileDataResponse>, Error> {
    let found = session.has_data().await?;
    Ok(found.map(|has_data| HasProfileDataResponse { has_data }))
}

/// Both bounds or none, and neither is included.
pub(super) fn exclusive(
    start: Option<Timestamp>,
    end: Option<Timestamp>,
) -> Result<TimeRange, Error> {
    let (start, end) = match (start, end) {
        (Some(start), Some(end)) => (nanos(&start)?, nanos(&end)?),
        _ => return Ok(TimeRange::ALL),
    };
    if start == 0 || end == 0 {
        return Ok(TimeRange::ALL);
    }
    Ok(TimeRange {
        start: start.saturating_add(1),
        end: end.saturating_sub(1),
    })
}

pub(super) fn nanos(time: &Timestamp) -> Result<i64, Error> {
    cairn_wire::nanos(time).map_err(|error| Error::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_count_only_together_and_are_exclusive() {
        let at = |nanos| Some(cairn_wire::timestamp(nanos));
        let range = exclusive(at(10), at(20)).expect("valid");
        assert_eq!((range.start, range.end), (11, 19));
        for (start, end) in [
            (None, None),
            (at(10), None),
            (at(0), at(20)),
            (at(10), at(0)),
        ] {
            assert_eq!(exclusive(start, end).expect("valid"), TimeRange::ALL);
        }
        let far = Some(Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        });
        assert!(exclusive(far, at(1)).is_err());
    }
}
