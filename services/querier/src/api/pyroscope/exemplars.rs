//! Single profiles and spans that stand for many.

use std::collections::BTreeMap;

use cairn_engine::step_start;
use cairn_model::{Labels, ProfileType};
use cairn_wire::types::v1::{Exemplar, ExemplarType, LabelPair};

use super::rows::NANOS_PER_MILLI;
use crate::error::Error;
use crate::profile_id::IdsOf;
use crate::singles::{Of, Single};

/// What exemplars are wanted of; None if none are.
pub(super) fn wanted(exemplar_type: i32) -> Result<Option<Of>, Error> {
    let known = ExemplarType::try_from(exemplar_type)
        .map_err(|_| Error::Invalid(format!("unknown exemplar type {exemplar_type}")))?;
    Ok(match known {
        ExemplarType::Unspecified | ExemplarType::None => None,
        ExemplarType::Individual => Some(Of::Profiles),
        ExemplarType::Span => Some(Of::Spans),
    })
}

/// The largest of each group and step; of equal ones the first.
pub(super) fn largest(singles: Vec<Single>, step: i64) -> BTreeMap<(Labels, i64), Single> {
    let mut largest: BTreeMap<(Labels, i64), Single> = BTreeMap::new();
    for single in singles {
        let key = (single.group.clone(), step_start(single.time, step));
        let known = largest.entry(key).or_insert_with(|| single.clone());
        if single.value > known.value {
            *known = single;
        }
    }
    largest
}

/// Says of itself what the labels that it is grouped by don't.
pub(super) fn told(single: &Single, of: &ProfileType, group_by: &[String]) -> Exemplar {
    let Single {
        group: _,
        labels,
        time,
        value,
        duration: _,
        link,
    } = single;
    let (trace_id, span_id) = link.clone().unwrap_or_default();
    let profile_id = match link {
        None => IdsOf::new(labels, of).at(*time).to_string(),
        Some(_) => String::new(),
    };
    let others = labels.iter();
    let others = others.filter(|(name, _)| group_by.iter().all(|by| by != name));
    let pair = |(name, value): (&str, &str)| LabelPair {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Exemplar {
        timestamp: time.div_euclid(NANOS_PER_MILLI),
        profile_id,
        span_id,
        value: *value,
        labels: others.map(pair).collect(),
        trace_id,
    }
}
