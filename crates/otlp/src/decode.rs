//! A request to its profiles. Owns the walk over resources and scopes, and that a bad profile
//! leaves the others alone.

use std::sync::Arc;

use cairn_model::{Described, Limits, own_tables};
use cairn_protobuf::Reader;

use crate::dictionary::Dictionary;
use crate::labels::{Labels, Source};
use crate::layout::{Evidence, Layout, attribute_rows};
use crate::profile::Workbench;
use crate::{Error, Refusal, json};

/// Profiles of one request: an empty one takes two bytes on the wire and hundreds in memory.
pub const PROFILES_MAX: usize = 1 << 16;

/// What a request holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub layout: Layout,
    /// One per profile sent, in their order.
    pub profiles: Vec<Result<Decoded, Refusal>>,
    pub counts: Counts,
}

/// One profile that can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub described: Described,
    /// As sent, for telling repeats; `None` if absent, all zeros, or of another length.
    pub profile_id: Option<[u8; 16]>,
}

/// What had to be changed or left out, over all profiles that were not refused. What is wrong with a
/// row that profiles share counts once, and not if the first of them is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attributes that the sender says it dropped.
    pub dropped_attributes: u64,
    /// Profiles with the bytes they were made of, which are not kept.
    pub original_payloads: u64,
    /// Addresses of schemas, which are not kept.
    pub schema_urls: u64,
    /// Fields of comments, which are not kept.
    pub comments: u64,
    /// Samples with one value and several times: their points are not kept.
    pub odd_samples: u64,
    /// Times of samples with several columns, which have no points.
    pub times_left_out: u64,
    /// Samples beyond the limit: in each profile one more at the end stands for them, with their
    /// sums and the single frame [`TRUNCATED_FRAME`](crate::TRUNCATED_FRAME).
    pub truncated_samples: u64,
    /// Points of such samples, and of samples with more points than the profile has room for.
    pub truncated_points: u64,
    /// Samples whose stack is deeper than the limit: its root side is replaced by
    /// [`TRUNCATED_FRAME`](crate::TRUNCATED_FRAME).
    pub truncated_stacks: u64,
    /// Strings that were not UTF-8: the faulty bytes are replaced by U+FFFD.
    pub replaced_strings: u64,
    /// Attributes without a name, which are not kept.
    pub unnamed_attributes: u64,
    /// Attributes of mappings and locations that tell neither a build id nor a kind of frame.
    pub attributes_left_out: u64,
    /// Kinds of interpreted frames that lie in a mapping or have no lines.
    pub frame_types_left_out: u64,
    /// Lines that name no function.
    pub lines_left_out: u64,
    /// Places in stacks at which there is no location.
    pub frames_left_out: u64,
    /// Units of values that are not whole numbers, and of labels of the whole profile.
    pub units_left_out: u64,
    /// Profile ids of a length other than 16.
    pub odd_profile_ids: u64,
}

impl Counts {
    /// The senders' numbers may be any.
    pub(crate) fn add_dropped(&mut self, attributes: u64) {
        self.dropped_attributes = self.dropped_attributes.saturating_add(attributes);
    }
}

/// Decodes the protobuf form of an `ExportProfilesServiceRequest`, inflated.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Request, Error> {
    let (parts, evidence) = scan(bytes)?;
    let layout = Layout::detect(&evidence, &parts.dictionary)?;
    read(&parts, layout, limits)
}

/// Decodes the JSON form, in which fields have names: those of 1.8 and of all later releases.
pub fn decode_json(text: &[u8], limits: &Limits) -> Result<Request, Error> {
    let bytes = json::to_protobuf(text)?;
    let (parts, _) = scan(&bytes)?;
    read(&parts, Layout::V1_10, limits)
}

struct Parts<'a> {
    resources: Vec<&'a [u8]>,
    dictionary: Dictionary<'a>,
}

fn scan(bytes: &[u8]) -> Result<(Parts<'_>, Evidence), Error> {
    // Keeps all positions within 32 bits.
    let bytes_max = (u32::MAX - 1) as usize;
    if bytes.len() > bytes_max {
        return Err(Error::over("the request", "bytes", bytes_max));
    }
    let mut parts = Parts {
        resources: Vec::new(),
        dictionary: Dictionary::new(bytes),
    };
    let mut evidence = Evidence::default();
    let mut dictionaries = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => parts.resources.push(value.bytes()?),
            2 => dictionaries.push(value.bytes()?),
            3..=8 => return Err(crate::layout::unsupported("1.6")),
            _ => {}
        }
    }
    // Only then: up to 1.6 field 2 was another table.
    evidence.has_dictionary = !dictionaries.is_empty();
    for dictionary in dictionaries {
        parts.dictionary.add(dictionary)?;
    }
    let attributes = attribute_rows(&parts.dictionary);
    for resource in &parts.resources {
        evidence.add_resource(resource, attributes)?;
    }
    if evidence.profile_count > PROFILES_MAX {
        let what = format!("{} profiles in one request", evidence.profile_count);
        return Err(Error::over(what, "profiles_max", PROFILES_MAX));
    }
    Ok((parts, evidence))
}

fn read(parts: &Parts<'_>, layout: Layout, limits: &Limits) -> Result<Request, Error> {
    let source = Source {
        dictionary: &parts.dictionary,
        limits,
    };
    let mut walk = Walk {
        source: &source,
        bench: Workbench::new(&source, layout)?,
        at: [0; 3],
        profiles: Vec::new(),
        counts: Counts::default(),
    };
    for (at, resource) in parts.resources.iter().enumerate() {
        walk.at = [at, 0, 0];
        walk.resource(resource)?;
    }
    let Walk {
        bench,
        mut profiles,
        ..
    } = walk;
    let tables = Arc::new(bench.finish());
    for decoded in profiles.iter_mut().flatten() {
        decoded.described.profile.tables = Arc::clone(&tables);
    }
    if profiles.iter().any(Result::is_err) {
        // What only those need that are refused.
        let kept = profiles.iter_mut().flatten();
        own_tables(kept.map(|decoded| &mut decoded.described.profile));
    }
    Ok(Request {
        layout,
        profiles,
        counts: walk.counts,
    })
}

struct Walk<'w, 'a> {
    source: &'w Source<'w, 'a>,
    bench: Workbench<'w, 'a>,
    /// Positions of the resource, the scope and the profile.
    at: [usize; 3],
    profiles: Vec<Result<Decoded, Refusal>>,
    counts: Counts,
}

impl<'a> Walk<'_, 'a> {
    fn resource(&mut self, raw: &'a [u8]) -> Result<(), Error> {
        if !has_any(raw, 2) {
            return Ok(());
        }
        let mut labels = Ok(Labels::default());
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                // The last one counts, wherever it stands.
                1 => {
                    let resource = value.bytes()?;
                    labels = self.labelled(Labels::default(), |labels, source, counts| {
                        labels.resource(resource, source, counts)
                    });
                }
                3 => self.counts.schema_urls += u64::from(!value.bytes()?.is_empty()),
                _ => {}
            }
        }
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            if field == 2 {
                self.at[2] = 0;
                self.scope(value.bytes()?, labels.as_ref())?;
                self.at[1] += 1;
            }
        }
        Ok(())
    }

    fn scope(&mut self, raw: &'a [u8], labels: Result<&Labels, &Error>) -> Result<(), Error> {
        if !has_any(raw, 2) {
            return Ok(());
        }
        let mut labels = labels.map_err(Clone::clone).and_then(|labels| {
            self.bench.work(labels.bytes())?;
            Ok(labels.clone())
        });
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => {
                    let scope = value.bytes()?;
                    labels = labels.and_then(|labels| {
                        self.labelled(labels, |labels, source, counts| {
                            labels.scope(scope, source, counts)
                        })
                    });
                }
                3 => self.counts.schema_urls += u64::from(!value.bytes()?.is_empty()),
                _ => {}
            }
        }
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            if field == 2 {
                self.profile(value.bytes()?, labels.as_ref());
                self.at[2] += 1;
            }
        }
        Ok(())
    }

    /// Adds labels, and accounts for their texts even if some can't be read.
    fn labelled(
        &mut self,
        mut labels: Labels,
        add: impl FnOnce(&mut Labels, &Source<'_, 'a>, &mut Counts) -> Result<(), Error>,
    ) -> Result<Labels, Error> {
        self.bench.work(0)?;
        let added = add(&mut labels, self.source, &mut self.counts);
        self.bench.work(labels.take_written())?;
        added?;
        Ok(labels)
    }

    fn profile(&mut self, raw: &'a [u8], labels: Result<&Labels, &Error>) {
        let before = self.counts;
        let made = labels
            .map_err(Clone::clone)
            .and_then(|labels| self.bench.make(raw, labels, &mut self.counts));
        let [resource, scope, profile] = self.at;
        self.profiles.push(made.map_err(|error| {
            // What a refused profile leaves out is no news.
            self.counts = before;
            Refusal {
                resource,
                scope,
                profile,
                reason: error.to_string(),
                kind: error.kind(),
                bytes: raw.len(),
            }
        }));
    }
}

fn has_any(raw: &[u8], wanted: u32) -> bool {
    let mut reader = Reader::new(raw);
    while let Ok(Some((field, _))) = reader.field() {
        if field == wanted {
            return true;
        }
    }
    false
}
