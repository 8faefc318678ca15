//! Which labels there are, among the profiles that match.

use std::collections::BTreeSet;

use cairn_engine::{Query, Question};
use cairn_model::{ProfileType, Selector, TimeRange};
use cairn_wire::parca::query::v1alpha1::{
    LabelsRequest, LabelsResponse, ValuesRequest, ValuesResponse,
};

use super::types::exclusive;
use crate::api::texts;
use crate::error::Error;
use crate::querier::{Reply, Rows, Session};

/// Selectors of one request; each costs a whole question.
const MATCHES_MAX: usize = 16;

pub(super) async fn labels(
    session: Session,
    request: LabelsRequest,
) -> Result<Reply<LabelsResponse>, Error> {
    let LabelsRequest {
        r#match,
        start,
        end,
        profile_type,
    } = request;
    let scope = Scope {
        matches: r#match,
        profile_type,
        range: exclusive(start, end)?,
    };
    let found = names(&session, &scope, &Question::LabelNames).await?;
    let warnings = texts(&found.warnings);
    Ok(found.map(|label_names| LabelsResponse {
        label_names,
        warnings,
    }))
}

pub(super) async fn values(
    session: Session,
    request: ValuesRequest,
) -> Result<Reply<ValuesResponse>, Error> {
    let ValuesRequest {
        label_name,
        r#match,
        start,
        end,
        profile_type,
    } = request;
    if label_name.is_empty() {
        return Err(Error::Invalid("label name is required".to_owned()));
    }
    let scope = Scope {
        matches: r#match,
        profile_type,
        range: exclusive(start, end)?,
    };
    let question = Question::LabelValues(label_name);
    let found = names(&session, &scope, &question).await?;
    let warnings = texts(&found.warnings);
    Ok(found.map(|label_values| ValuesResponse {
        label_values,
        warnings,
    }))
}

/// Profiles that match any of the selectors, or all profiles if there is none.
pub(super) struct Scope {
    pub(super) matches: Vec<String>,
    pub(super) profile_type: Option<String>,
    pub(super) range: TimeRange,
}

async fn names(
    session: &Session,
    scope: &Scope,
    question: &Question,
) -> Result<Reply<Vec<String>>, Error> {
    let queries = scope.queries(session, question).await?;
    let asked = queries.iter().map(|query| session.names(query));
    let mut found = BTreeSet::new();
    let mut warnings = Vec::new();
    for reply in futures::future::try_join_all(asked).await? {
        found.extend(reply.value);
        warnings.extend(reply.warnings);
    }
    Ok(Reply {
        value: found.into_iter().collect(),
        warnings,
    })
}

impl Scope {
    /// One per selector.
    pub(super) async fn queries(
        &self,
        session: &Session,
        question: &Question,
    ) -> Result<Vec<Query>, Error> {
        if self.matches.len() > MATCHES_MAX {
            return Err(Error::Invalid(format!(
                "{} selectors; at most {MATCHES_MAX} are allowed",
                self.matches.len()
            )));
        }
        let all = [String::new()];
        let matches = match self.matches.as_slice() {
            [] => &all[..],
            matches => matches,
        };
        let mut queries = Vec::with_capacity(matches.len());
        for text in matches {
            queries.push(self.query(session, text, question.clone()).await?);
        }
        Ok(queries)
    }

    async fn query(
        &self,
        session: &Session,
        text: &str,
        question: Question,
    ) -> Result<Query, Error> {
        let Selector {
            profile_type,
            matchers,
        } = Selector::parse(text)?;
        let named = match self.profile_type.as_deref() {
            None | Some("") => None,
            Some(text) => Some(
                text.parse::<ProfileType>()
                    .map_err(|error| Error::Invalid(error.to_string()))?,
            ),
        };
        let range = self.range;
        let Some(profile_type) = named.or(profile_type) else {
            return Ok(Query {
                profile_type: None,
                matchers,
                range,
                weights: None,
                question,
            });
        };
        let rows = Rows {
            profile_type,
            matchers,
            range,
        };
        Ok(session.resolve(rows).await?.query(question))
    }
}
