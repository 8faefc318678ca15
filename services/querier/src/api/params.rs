//! Parameters of a URL, and what most requests say with them.

use cairn_model::{ProfileType, Regexes, Selector, TimeRange};

use crate::api::time::range;
use crate::error::Error;
use crate::querier::{Rows, Session};

/// The parameters of one request, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// What regular expressions in selectors mean.
    regexes: Regexes,
}

impl Params {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self {
            pairs: pairs.into_owned().collect(),
            regexes: Regexes::default(),
        }
    }

    /// The same, with selectors that are PromQL's.
    pub(crate) fn promql(self) -> Self {
        Self {
            regexes: Regexes::MatchWhole,
            ..self
        }
    }

    /// The value under the first of these names that has one; an empty one is an absent one.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&str> {
        let value = |wanted: &&str| {
            let mut of_name = self.pairs.iter().filter(|(name, _)| name == wanted);
            let found = of_name.find(|(_, value)| !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        names.iter().find_map(value)
    }

    /// All values under a name, in order.
    pub(crate) fn each(&self, name: &str) -> Vec<String> {
        let values = self.pairs.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| value.clone()).collect()
    }

    /// All values under a name, given several times or separated by commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let values = self.pairs.iter().filter(|(known, _)| known == name);
        let parts = values.flat_map(|(_, value)| value.split(','));
        let parts = parts.map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    pub(crate) fn count(&self, names: &[&str]) -> Result<Option<usize>, Error> {
        let Some(text) = self.get(names) else {
            return Ok(None);
        };
        let invalid = |_| Error::Invalid(format!("invalid {}: {text:?} is not a count", names[0]));
        text.parse().map(Some).map_err(invalid)
    }

    /// `from` and `until`, or the last hour.
    pub(crate) fn range(&self, session: &Session) -> Result<TimeRange, Error> {
        self.named_range(session, &["from"], &["until", "to"])
    }

    pub(crate) fn named_range(
        &self,
        session: &Session,
        from: &[&str],
        until: &[&str],
    ) -> Result<TimeRange, Error> {
        let now = session.querier.cx().clock().now();
        range(self.get(from), self.get(until), now)
    }

    /// `from` and `until` if either is there, else all time.
    pub(crate) fn range_or_all(&self, session: &Session) -> Result<TimeRange, Error> {
        match self.get(&["from", "until", "to"]) {
            None => Ok(TimeRange::ALL),
            Some(_) => self.range(session),
        }
    }

    /// `type` and `query`; the type may also stand in the query.
    pub(crate) fn selector(&self, query: &str) -> Result<Selector, Error> {
        let text = self.get(&[query]).unwrap_or_default();
        let mut selector = Selector::parse_as(text, self.regexes)?;
        if let Some(text) = self.get(&["type"]) {
            let named: ProfileType = text
                .parse()
                .map_err(|error| Error::Invalid(format!("{error}")))?;
            selector.profile_type = Some(named);
        }
        Ok(selector)
    }

    /// The rows that `type`, `query`, `from` and `until` say.
    pub(crate) async fn rows(&self, session: &Session) -> Result<Rows, Error> {
        let range = self.range(session)?;
        self.rows_of(session, "query", range).await
    }

    pub(crate) async fn rows_of(
        &self,
        session: &Session,
        query: &str,
        range: TimeRange,
    ) -> Result<Rows, Error> {
        session.resolve(self.asked(query, range)?).await
    }

    /// As asked, without knowing which kind of the type is stored.
    pub(crate) fn asked(&self, query: &str, range: TimeRange) -> Result<Rows, Error> {
        let Selector {
            profile_type,
            matchers,
        } = self.selector(query)?;
        let profile_type = profile_type.ok_or(cairn_model::InvalidSelector::NoProfileType)?;
        Ok(Rows {
            profile_type,
            matchers,
            range,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_any_of_their_names() {
        let params = Params::parse("maxNodes=5&group_by=pod,node&group_by=zone&empty=&q=a%2Bb");
        assert_eq!(
            params.count(&["max-nodes", "maxNodes"]).expect("valid"),
            Some(5)
        );
        assert_eq!(params.get(&["empty"]), None);
        // Whatever the order in the URL.
        assert_eq!(params.get(&["empty", "q", "maxNodes"]), Some("a+b"));
        assert_eq!(params.get(&["q"]), Some("a+b"));
        assert_eq!(params.list("group_by"), ["pod", "node", "zone"]);
        assert!(Params::parse("n=-1").count(&["n"]).is_err());
    }
}
