//! What keeps nodes of a report apart: `group_by` as clients spell it.

use cairn_engine::{GroupBy, KeyBy};
use cairn_wire::parca::query::v1alpha1 as wire;

use crate::error::Error;

/// Fields to group by, sorted out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grouping {
    pub(super) key_by: KeyBy,
    /// Labels, in the order asked for.
    pub(super) labels: Vec<String>,
    /// Calls of different times stay apart.
    pub(super) timed: bool,
}

impl Grouping {
    /// The function's name always counts: a node needs one.
    pub(super) fn read(group_by: Option<wire::GroupBy>) -> Result<Self, Error> {
        let mut grouping = Self::default();
        for field in group_by.unwrap_or_default().fields {
            match field.as_str() {
                "function_name" => {}
                "function_file_name" => grouping.key_by.file = true,
                "location_address" => grouping.key_by.address = true,
                "mapping_file" => grouping.key_by.mapping = true,
                "timestamp" => grouping.timed = true,
                field => match field.strip_prefix("labels.") {
                    Some(label) if !label.is_empty() => {
                        if !grouping.labels.iter().any(|known| known == label) {
                            grouping.labels.push(label.to_owned());
                        }
                    }
                    _ => {
                        return Err(Error::Invalid(format!("invalid group by field: {field}")));
                    }
                },
            }
        }
        Ok(grouping)
    }

    pub(super) fn of_stacks(&self) -> GroupBy {
        if self.timed {
            return GroupBy::Times {
                step: 0,
                labels: self.labels.clone(),
            };
        }
        match self.labels.as_slice() {
            [] => GroupBy::Nothing,
            labels => GroupBy::Labels(labels.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> Result<Grouping, String> {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        Grouping::read(Some(wire::GroupBy { fields })).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_sorted_out_and_unknown_ones_refused() {
        let found = read(&["function_name", "mapping_file", "labels.pod", "labels.pod"]);
        let found = found.expect("valid");
        assert!(found.key_by.mapping && !found.key_by.address);
        assert_eq!(found.labels, ["pod"]);
        assert_eq!(
            read(&["nonsense"]),
            Err("invalid group by field: nonsense".to_owned())
        );
        let timed = read(&["timestamp", "labels.pod"]).expect("valid");
        let labels = vec!["pod".to_owned()];
        assert_eq!(timed.of_stacks(), GroupBy::Times { step: 0, labels });
        assert!(read(&["labels."]).is_err());
        assert_eq!(Grouping::read(None).expect("valid"), Grouping::default());
    }
}
