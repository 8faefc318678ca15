//! What the groups of stacks say that are kept apart by time, or by profile.

use std::collections::BTreeMap;

use cairn_engine::{SERIES_LABEL, TIME_LABEL};
use cairn_model::Labels;
use cairn_trie::{Group, GroupValue};

use crate::error::Error;

/// One group. What was folded for lack of memory has neither time nor series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfGroup {
    pub(crate) time: Option<i64>,
    /// What stands for the series of one profile.
    pub(crate) series: Option<u64>,
    /// Of several values of one label the lowest counts, as in series of whole profiles.
    pub(crate) labels: Labels,
}

impl OfGroup {
    pub(crate) fn read(Group(pairs): &Group) -> Result<Self, Error> {
        let mut group = Self::default();
        let mut labels: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in pairs {
            let text = match value {
                GroupValue::Num { value, .. } if **name == *TIME_LABEL => {
                    group.time = Some(*value);
                    continue;
                }
                GroupValue::Num { value, .. } if **name == *SERIES_LABEL => {
                    group.series = Some(value.cast_unsigned());
                    continue;
                }
                GroupValue::Num { value, .. } => value.to_string(),
                GroupValue::Str(text) => text.to_string(),
            };
            match labels.get(&**name) {
                Some(known) if *known <= text => {}
                _ => drop(labels.insert(name, text)),
            }
        }
        let labels = Labels::from_pairs(labels);
        group.labels = labels.map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(group)
    }

    pub(crate) fn group(&self) -> Group {
        let number = |name: &str, value, unit: &str| {
            let unit = unit.into();
            (name.into(), GroupValue::Num { value, unit })
        };
        let time = self
            .time
            .map(|time| number(TIME_LABEL, time, "nanoseconds"));
        let series = self.series.map(u64::cast_signed);
        let series = series.map(|series| number(SERIES_LABEL, series, ""));
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| (name.into(), GroupValue::Str(value.into())));
        let mut pairs: Vec<_> = labels.chain(time).chain(series).collect();
        pairs.sort();
        Group(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_with_several_values_of_a_label_is_in_the_series_of_the_lowest() {
        let number = |value| GroupValue::Num {
            value,
            unit: "".into(),
        };
        let text = |text: &str| GroupValue::Str(text.into());
        let group = [
            (TIME_LABEL, number(7)),
            (SERIES_LABEL, number(-1)),
            ("size", number(-5)),
            ("size", number(5)),
            ("thread", text("t2")),
            ("thread", text("t1")),
        ];
        let group = group.map(|(name, value)| (name.into(), value));
        let found = OfGroup::read(&Group(group.to_vec())).expect("labels");
        let expected = OfGroup {
            time: Some(7),
            series: Some(u64::MAX),
            labels: Labels::from_pairs([("size", "-5"), ("thread", "t1")]).expect("valid"),
        };
        assert_eq!(found, expected);
        assert_eq!(OfGroup::read(&found.group()).expect("labels"), expected);
    }
}
