//! Which labels there are, among the profiles that match.

use cairn_engine::{Query, Question};
use cairn_model::{ProfileType, Selector, TimeRange};
use cairn_wire::parca::query::v1alpha1::{
    LabelsRequest, LabelsResponse, ValuesRequest, ValuesResponse,
};

use super::types::exclusive;
use crate::api::texts;
use crate::error::Error;
use crate::querier::{Reply, Session};

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
    let found = session.names_of_any(&queries).await?;
    Ok(found.map(|names| names.into_iter().collect()))
}

impl Scope {
    /// One per selector.
    pub(super) async fn queries(
        &self,
        session: &Session,
        question: &Question,
    ) -> Result<Vec<Query>, Error> {
        let parse = |text: &str| self.selector(text);
        let asked = (self.range, question);
        session
            .queries((&self.matches, "selectors"), parse, asked)
            .await
    }

    /// The scope's type comes before the selector's own.
    fn selector(&self, text: &str) -> Result<Selector, Error> {
        let mut selector = Selector::parse(text)?;
        if let Some(text) = self.profile_type.as_deref().filter(|text| !text.is_empty()) {
            let named = text.parse::<ProfileType>();
            let named = named.map_err(|error| Error::Invalid(error.to_string()))?;
            selector.profile_type = Some(named);
        }
        Ok(selector)
    }
}
