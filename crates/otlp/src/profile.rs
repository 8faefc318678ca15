//! One profile of a request. Owns the tables that all of them share, and what they may cost; what
//! is in their rows is up to [`places`], [`samples`] and [`attributes`].

mod attributes;
mod places;
mod samples;

pub use cairn_model::TRUNCATED_FRAME;
use cairn_model::{Attr, Described, Excess, Profile, StrId, Tables, ValueType};
use cairn_protobuf::Reader;
use hashbrown::HashMap;

use crate::dictionary::{Kind, Slots};
use crate::labels::{Labels, Source};
use crate::layout::Layout;
use crate::layout::read::{self, Head};
use crate::naming::{Naming, naming};
use crate::value::utf8;
use crate::{Counts, Decoded, Error};

use places::Mapped;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A row of the dictionary that came to nothing.
const NOTHING: u32 = u32::MAX;

/// How much more than one profile may hold all refused profiles of a request may cost together.
const WORK_FACTOR: usize = 4;

/// Makes profiles one after another, with the same tables of what is known of the dictionary.
#[derive(Debug)]
pub(crate) struct Workbench<'w, 'a> {
    source: &'w Source<'w, 'a>,
    layout: Layout,
    /// Release 1.7: units by attributes' keys.
    units: Map<&'a [u8], u64>,
    strings: Slots,
    functions: Slots,
    mappings: Slots,
    locations: Slots,
    stacks: Slots,
    attributes: Slots,
    links: Slots,
    /// Of the dictionary's rows that profiles use, by their slots.
    mapped: Vec<Mapped>,
    attrs: Vec<Attr>,
    /// Texts that stand in no table, and mappings.
    texts: Map<Box<[u8]>, StrId>,
    files: Map<(StrId, StrId, cairn_model::Addressing), u32>,
    /// Locations whose outer inlined calls alone were over the depth limit.
    cut: Vec<u32>,
    /// Whether each stack was cut.
    cut_stacks: Vec<bool>,
    /// The stack without frames, and the location and the stack of [`TRUNCATED_FRAME`].
    empty: Option<u32>,
    marker: Option<u32>,
    rest: Option<u32>,
    /// Of all profiles.
    tables: Tables,
    profile: Profile,
    costs: Costs,
}

/// Bytes that profiles and their tables take, and that reading them takes.
#[derive(Debug)]
struct Costs {
    max: usize,
    /// Of the profiles that are kept.
    kept: usize,
    this: usize,
    /// Of all, refused ones included.
    work: usize,
}

impl Costs {
    #[inline]
    fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.this = self.this.saturating_add(bytes);
        self.work = self.work.saturating_add(bytes);
        if self.kept.saturating_add(self.this) > self.max || self.work / WORK_FACTOR > self.max {
            return Err(self.over());
        }
        Ok(())
    }

    #[cold]
    fn over(&self) -> Error {
        Error::over("the profiles of the request", "profile_bytes_max", self.max)
    }
}

impl<'w, 'a> Workbench<'w, 'a> {
    pub(crate) fn new(source: &'w Source<'w, 'a>, layout: Layout) -> Result<Self, Error> {
        // Keeps all positions in tables within 32 bits, those of refused profiles included.
        let max = u32::MAX as usize / 2 / WORK_FACTOR;
        let max = source.limits.profile_bytes_max.min(max);
        let mut bench = Self {
            source,
            layout,
            units: Map::default(),
            strings: Slots::default(),
            functions: Slots::default(),
            mappings: Slots::default(),
            locations: Slots::default(),
            stacks: Slots::default(),
            attributes: Slots::default(),
            links: Slots::default(),
            mapped: Vec::new(),
            attrs: Vec::new(),
            texts: Map::default(),
            files: Map::default(),
            cut: Vec::new(),
            cut_stacks: Vec::new(),
            empty: None,
            marker: None,
            rest: None,
            tables: Tables::default(),
            profile: Profile::default(),
            costs: Costs {
                max,
                kept: 0,
                this: 0,
                work: 0,
            },
        };
        if layout == Layout::V1_7 {
            bench.read_units()?;
        }
        Ok(bench)
    }

    /// Accounts for work that no single profile causes.
    pub(crate) fn work(&mut self, bytes: usize) -> Result<(), Error> {
        self.costs.this = 0;
        self.costs.add(bytes)?;
        self.costs.this = 0;
        Ok(())
    }

    /// Makes one profile of its message.
    pub(crate) fn make(
        &mut self,
        raw: &'a [u8],
        labels: &Labels,
        counts: &mut Counts,
    ) -> Result<Decoded, Error> {
        self.profile = Profile::default();
        self.costs.this = 0;
        self.costs.add(labels.bytes() + size_of::<Decoded>())?;
        let head = Head::read(raw, self.layout)?;
        let limits = self.source.limits;
        if head.sample_count > limits.samples_max && limits.excess == Excess::Refuse {
            let what = format!("{} samples", head.sample_count);
            return Err(Error::over(what, "samples_max", limits.samples_max));
        }
        if head.types.len() > limits.sample_types_max {
            let what = format!("{} sample types", head.types.len());
            let max = limits.sample_types_max;
            return Err(Error::over(what, "sample_types_max", max));
        }
        let naming = self.naming(&head)?;
        self.describe(&naming, &head)?;
        self.samples(raw, &head, naming.factor, counts)?;
        let labels = self.labels(labels.clone(), &head.attributes, counts)?;
        counts.add_dropped(head.dropped_attributes);
        counts.original_payloads += u64::from(head.has_original);
        counts.comments += head.comments;
        let profile_id = profile_id(head.profile_id, counts);
        self.costs.kept += self.costs.this;
        Ok(Decoded {
            described: Described {
                name: Some(naming.name),
                labels: labels.finish(),
                profile: std::mem::take(&mut self.profile),
            },
            profile_id,
        })
    }

    /// What all profiles that were made refer to; they do not have it yet.
    pub(crate) fn finish(self) -> Tables {
        self.tables
    }

    fn naming(&mut self, head: &Head<'_>) -> Result<Naming, Error> {
        let types: Result<_, Error> = head.types.iter().map(|kind| self.typed(*kind)).collect();
        let period_type = self.typed(head.period_type)?;
        Ok(naming(types?, period_type, head.period))
    }

    fn typed(&mut self, kind: read::Kind) -> Result<(String, String), Error> {
        let mut text = |index| {
            let raw = self.source.dictionary.string(index)?;
            check_string(raw, self.source)?;
            self.costs.add(raw.len())?;
            Ok::<_, Error>(utf8(raw).0.into_owned())
        };
        Ok((text(kind.kind)?, text(kind.unit)?))
    }

    fn describe(&mut self, naming: &Naming, head: &Head<'_>) -> Result<(), Error> {
        let (strings, texts) = (&mut self.tables.strings, &mut self.texts);
        let mut text = |text: &str| match texts.get(text.as_bytes()) {
            _ if text.is_empty() => 0,
            Some(id) => *id,
            None => {
                let id = strings.push(text);
                texts.insert(text.as_bytes().into(), id);
                id
            }
        };
        let mut types = Vec::with_capacity(naming.types.len());
        for (kind, unit) in &naming.types {
            types.push(ValueType {
                kind: text(kind),
                unit: text(unit),
            });
        }
        let period_type = ValueType {
            kind: text(&naming.period.0),
            unit: text(&naming.period.1),
        };
        self.profile.types = types;
        self.profile.period_type = period_type;
        self.profile.period = head.period;
        self.profile.time = nanoseconds(head.time, "its time")?;
        self.profile.duration = nanoseconds(head.duration, "its duration")?;
        Ok(())
    }

    /// A string of the dictionary as a string of the profile.
    fn string(&mut self, index: u64, counts: &mut Counts) -> Result<StrId, Error> {
        let dictionary = self.source.dictionary;
        let Some(index) = dictionary.find(Kind::String, index)? else {
            return Ok(0);
        };
        if let Some(id) = self.strings.get(index) {
            return Ok(id);
        }
        let raw = dictionary.row(Kind::String, index);
        let id = self.push_string(raw, counts)?;
        let len = dictionary.len(Kind::String);
        self.strings.set(index, id, len);
        Ok(id)
    }

    /// A text that stands in no table as a string of the profile, equal ones made one.
    fn text(&mut self, raw: &[u8], counts: &mut Counts) -> Result<StrId, Error> {
        check_string(raw, self.source)?;
        // Short rows may refer to one long text, and each time it is read whole.
        self.costs.add(raw.len())?;
        if let Some(id) = self.texts.get(raw) {
            return Ok(*id);
        }
        let id = self.push_string(raw, counts)?;
        self.texts.insert(raw.into(), id);
        Ok(id)
    }

    fn push_string(&mut self, raw: &[u8], counts: &mut Counts) -> Result<StrId, Error> {
        if raw.is_empty() {
            return Ok(0);
        }
        check_string(raw, self.source)?;
        let (text, is_replaced) = utf8(raw);
        counts.replaced_strings += u64::from(is_replaced);
        self.costs.add(text.len() + 8)?;
        Ok(self.tables.strings.push(&text))
    }

    fn labels(
        &mut self,
        mut labels: Labels,
        attributes: &[u64],
        counts: &mut Counts,
    ) -> Result<Labels, Error> {
        labels.begin();
        for index in attributes {
            let Some(attribute) = self.attribute(*index)? else {
                continue;
            };
            counts.units_left_out += u64::from(attribute.unit != 0);
            labels.set(attribute.key, attribute.value, self.source, counts)?;
            self.costs.add(labels.take_written())?;
        }
        Ok(labels)
    }

    fn read_units(&mut self) -> Result<(), Error> {
        let dictionary = self.source.dictionary;
        for row in dictionary.rows(Kind::Stack) {
            let (mut key, mut unit) = (0, 0);
            let mut reader = Reader::new(row);
            while let Ok(Some((field, value))) = reader.field() {
                match (field, value.varint()) {
                    (1, Ok(index)) => key = index,
                    (2, Ok(index)) => unit = index,
                    _ => {}
                }
            }
            // Attributes of longer names are refused.
            let is_short = |key: &&[u8]| key.len() <= self.source.limits.label_name_bytes_max;
            if let (Some(key), true) = (dictionary.string(key).ok().filter(is_short), unit != 0) {
                self.work(key.len())?;
                self.units.insert(key, unit);
            }
        }
        Ok(())
    }
}

fn profile_id(raw: &[u8], counts: &mut Counts) -> Option<[u8; 16]> {
    match <[u8; 16]>::try_from(raw) {
        Ok(id) => (id != [0; 16]).then_some(id),
        Err(_) => {
            counts.odd_profile_ids += u64::from(!raw.is_empty());
            None
        }
    }
}

fn check_string(raw: &[u8], source: &Source<'_, '_>) -> Result<(), Error> {
    let max = source.limits.string_bytes_max;
    if raw.len() > max {
        let what = format!("a string of {} bytes", raw.len());
        return Err(Error::over(what, "string_bytes_max", max));
    }
    Ok(())
}

fn nanoseconds(sent: u64, what: &str) -> Result<i64, Error> {
    i64::try_from(sent)
        .map_err(|_| Error::contradiction(format!("{what} of {sent} ns is out of range")))
}
