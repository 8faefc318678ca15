//! Questions about rows that match any of several selectors.

use std::collections::BTreeSet;

use cairn_engine::{Query, Question};
use cairn_model::{Selector, TimeRange};

use crate::error::Error;
use crate::querier::{Reply, Rows, Session};

/// Selectors of one request; each costs a whole question.
const SELECTORS_MAX: usize = 16;

impl Session {
    /// One query per selector, or one for all rows; `what` is how clients call selectors.
    pub(crate) async fn queries(
        &self,
        (texts, what): (&[String], &str),
        parse: impl Fn(&str) -> Result<Selector, Error>,
        (range, question): (TimeRange, &Question),
    ) -> Result<Vec<Query>, Error> {
        if texts.len() > SELECTORS_MAX {
            let count = texts.len();
            return Err(Error::Invalid(format!(
                "{count} {what}; at most {SELECTORS_MAX} are allowed"
            )));
        }
        let all = [String::new()];
        let texts = if texts.is_empty() { &all } else { texts };
        let mut queries = Vec::with_capacity(texts.len());
        for text in texts {
            let query = self.query_of(parse(text)?, (range, question.clone()));
            queries.push(query.await?);
        }
        Ok(queries)
    }

    /// A question about what a selector selects: all types, if it names none.
    pub(crate) async fn query_of(
        &self,
        selector: Selector,
        (range, question): (TimeRange, Question),
    ) -> Result<Query, Error> {
        let Selector {
            profile_type,
            matchers,
        } = selector;
        let Some(profile_type) = profile_type else {
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
        Ok(self.resolve(rows).await?.query(question))
    }

    /// Names or values of rows that any of the queries selects.
    pub(crate) async fn names_of_any(
        &self,
        queries: &[Query],
    ) -> Result<Reply<BTreeSet<String>>, Error> {
        let asked = queries.iter().map(|query| self.names(query));
        let mut value = BTreeSet::new();
        let mut warnings = Vec::new();
        for reply in futures::future::try_join_all(asked).await? {
            value.extend(reply.value);
            warnings.extend(reply.warnings);
        }
        Ok(Reply { value, warnings })
    }
}
