//! What a profile says besides its samples: name, labels, types, period. Owns which columns say it.

use cairn_model::{NONE, Profile, ValueType};

use crate::Error;
use crate::meter::Meter;
use crate::parts::Parts;
use crate::rows::{Key, Rows};

/// What profiles are called whose producer does not say.
pub const DEFAULT_NAME: &str = "parca_agent";

/// The temporality whose values were counted over a duration.
const DELTA: &str = "delta";

/// A column of texts.
pub(super) struct Texts<'a> {
    rows: &'a Rows,
    ids: &'a [u32],
}

/// A column of numbers.
struct Numbers<'a> {
    rows: &'a Rows,
    ids: &'a [u32],
}

/// The columns that are the same in all rows of a profile.
pub(super) struct Header<'a> {
    pub(super) producer: Texts<'a>,
    /// Names and values.
    labels: Vec<(&'a str, Texts<'a>)>,
    sample_type: Texts<'a>,
    sample_unit: Texts<'a>,
    period_type: Texts<'a>,
    period_unit: Texts<'a>,
    temporality: Texts<'a>,
    period: Numbers<'a>,
    duration: Numbers<'a>,
}

impl<'a> Header<'a> {
    pub(super) fn new(rows: &'a Rows) -> Self {
        let texts = |key| Texts {
            rows,
            ids: rows.ids(key),
        };
        let numbers = |name| Numbers {
            rows,
            ids: rows.ids(Key::Number(name)),
        };
        let labels = rows.columns.iter().filter_map(|column| match column.key {
            Key::Label(name) => {
                let ids = &column.ids[..];
                Some((rows.texts.get(name), Texts { rows, ids }))
            }
            Key::Text(_) | Key::Number(_) => None,
        });
        Self {
            labels: labels.collect(),
            producer: texts(Key::Text("producer")),
            sample_type: texts(Key::Text("sample_type")),
            sample_unit: texts(Key::Text("sample_unit")),
            period_type: texts(Key::Text("period_type")),
            period_unit: texts(Key::Text("period_unit")),
            temporality: texts(Key::Text("temporality")),
            period: numbers("period"),
            duration: numbers("duration"),
        }
    }

    /// Names and values of the labels that a row has.
    pub(super) fn labels(
        &self,
        row: u32,
        meter: &mut Meter<'_>,
    ) -> Result<Vec<(String, String)>, Error> {
        let max = meter.limits.labels_max;
        let there = self.labels.iter().filter(|(_, values)| values.has(row));
        let count = there.clone().count();
        if count > max {
            return Err(Error::over("labels of a profile", "labels_max", max));
        }
        let there = there.map(|(name, values)| (*name, values.text(row)));
        let bytes = there.clone().map(|(name, value)| name.len() + value.len());
        meter.profiles.take(48 * count + bytes.sum::<usize>())?;
        let mut labels = Vec::with_capacity(count);
        labels.extend(there.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(labels)
    }

    /// Says what the samples of a profile are, which begins with a row.
    pub(super) fn put_into(&self, profile: &mut Profile, row: u32, parts: &mut Parts) {
        let mut text = |column: &Texts<'a>| parts.str(column.text(row));
        profile.types = vec![ValueType {
            kind: text(&self.sample_type),
            unit: text(&self.sample_unit),
        }];
        profile.period_type = ValueType {
            kind: text(&self.period_type),
            unit: text(&self.period_unit),
        };
        profile.period = self.period.number(row);
        if self.temporality.text(row) == DELTA {
            profile.duration = self.duration.number(row);
        }
    }
}

impl<'a> Texts<'a> {
    fn has(&self, row: u32) -> bool {
        self.ids.get(row as usize).is_some_and(|id| *id != NONE)
    }

    /// Empty if the row has none.
    pub(super) fn text(&self, row: u32) -> &'a str {
        match self.ids.get(row as usize) {
            None | Some(&NONE) => "",
            Some(id) => self.rows.texts.get(*id),
        }
    }
}

impl Numbers<'_> {
    /// 0 if the row has none.
    fn number(&self, row: u32) -> i64 {
        match self.ids.get(row as usize) {
            None | Some(&NONE) => 0,
            Some(id) => self.rows.numbers[*id as usize],
        }
    }
}
