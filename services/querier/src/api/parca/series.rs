//! Series: the label sets of the profiles that match.

use std::collections::BTreeSet;

use cairn_engine::Question;
use cairn_wire::parca::profilestore::v1alpha1::LabelSet;
use cairn_wire::parca::query::v1alpha1::{SeriesRequest, SeriesResponse};

use super::labels::Scope;
use super::types::exclusive;
use crate::error::Error;
use crate::querier::{Reply, Session};

/// Values of all time as one point per label set: reads indexes, no rows.
const LABEL_SETS: Question = Question::Series {
    step: i64::MAX,
    sum_by: None,
};

pub(super) async fn series(
    session: Session,
    request: SeriesRequest,
) -> Result<Reply<SeriesResponse>, Error> {
    let SeriesRequest {
        r#match,
        start,
        end,
    } = request;
    let scope = Scope {
        matches: r#match,
        profile_type: None,
        range: exclusive(start, end)?,
    };
    let queries = scope.queries(&session, &LABEL_SETS).await?;
    let asked = queries.iter().map(|query| session.label_sets(query));
    let mut found = BTreeSet::new();
    let mut warnings = Vec::new();
    for reply in futures::future::try_join_all(asked).await? {
        found.extend(reply.value.into_keys());
        warnings.extend(reply.warnings);
    }
    Ok(Reply {
        value: SeriesResponse {
            labelsets: found.iter().map(LabelSet::from).collect(),
        },
        warnings,
    })
}
