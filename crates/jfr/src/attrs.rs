//! What an event says about its request and its thread, as attributes and a link of a sample.

use cairn_model::{Attr, AttrValue, Limits, Link, ProfileBuilder};

use crate::Error;
use crate::chunk::Chunk;
use crate::labels::LabelsSnapshot;
use crate::rows::Correlation;
use crate::slot::Slot;
use crate::types::Cell;

/// Bytes that an attribute takes in a profile.
pub(crate) const ATTR_BYTES: usize = 24;

const SPAN_NAME: &str = "span_name";
const THREAD: &str = "thread";

/// Where names and values come from.
pub(crate) struct Source<'a, 'c> {
    pub(crate) chunk: &'c Chunk<'a>,
    pub(crate) snapshot: Option<&'c LabelsSnapshot>,
    pub(crate) limits: &'c Limits,
}

pub(crate) struct Attrs {
    pub(crate) attrs: Vec<Attr>,
    pub(crate) link: Option<Link>,
    /// What they take in a profile, with their strings, and those that were left out.
    pub(crate) bytes: usize,
    /// Labels without a name or a value in the snapshot, which are left out.
    pub(crate) unnamed: u64,
}

impl Source<'_, '_> {
    pub(crate) fn read(
        &self,
        builder: &mut ProfileBuilder,
        correlation: &Correlation,
    ) -> Result<Attrs, Error> {
        let (mut unnamed, mut looked_up) = (0, 0);
        let mut link = Link {
            trace_id: u128_bytes(correlation.trace),
            span_id: correlation.span.to_be_bytes(),
        };
        let mut attrs = Vec::new();
        let mut bytes = 0;
        let mut attr = |name: &str, value: &str| {
            bytes += name.len() + value.len();
            let key = builder.str(name);
            let value = AttrValue::Str(builder.str(value));
            if attrs.iter().all(|attr: &Attr| attr.key != key) {
                attrs.push(Attr { key, value });
            }
        };
        if let Some(snapshot) = self.snapshot {
            if correlation.span_name != 0 {
                match snapshot.text(correlation.span_name) {
                    Some(name) if !name.is_empty() => attr(SPAN_NAME, name),
                    Some(_) => {}
                    None => unnamed += 1,
                }
            }
            for label in snapshot.labels(correlation.context) {
                looked_up += 1;
                let (Some(name), Some(value)) = label else {
                    unnamed += 1;
                    continue;
                };
                if name.len() > self.limits.label_name_bytes_max {
                    let max = self.limits.label_name_bytes_max;
                    return Err(Error::over("a label's name", "label_name_bytes_max", max));
                }
                if name.is_empty() || value.is_empty() || link_from(&mut link, name, value) {
                    continue;
                }
                attr(name, value);
            }
        }
        if let Some(thread) = thread(self.chunk, correlation.thread)? {
            attr(THREAD, &thread);
        }
        let max = self.limits.sample_labels_max;
        if attrs.len() > max {
            return Err(Error::over("labels of a sample", "sample_labels_max", max));
        }
        let attrs_len = attrs.len();
        Ok(Attrs {
            attrs,
            link: (link != Link::default()).then_some(link),
            bytes: bytes + (looked_up + attrs_len) * ATTR_BYTES,
            unnamed,
        })
    }
}

fn u128_bytes((high, low): (i64, i64)) -> [u8; 16] {
    let number = u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned());
    number.to_be_bytes()
}

/// Takes a label that names the request into the link, if it has the form of an id.
fn link_from(link: &mut Link, name: &str, value: &str) -> bool {
    let hex = |digits: usize| {
        let hex = value.len() == digits && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u128::from_str_radix(value, 16).ok()).flatten()
    };
    match name {
        "profile_id" | "span_id" => match hex(16) {
            Some(id) => link.span_id = (id as u64).to_be_bytes(),
            None => return false,
        },
        "trace_id" => match hex(32) {
            Some(id) => link.trace_id = id.to_be_bytes(),
            None => return false,
        },
        _ => return false,
    }
    true
}

/// A thread's name in Java, or else the system's; none for no thread.
fn thread(chunk: &Chunk<'_>, key: i64) -> Result<Option<String>, Error> {
    let Some(class) = chunk.pools.threads.filter(|_| key != 0) else {
        return Ok(None);
    };
    let cell = Cell::Constant { class, key };
    let wanted = [Slot::JavaName, Slot::OsName];
    for name in chunk.pools.parts(&chunk.types, cell, wanted)? {
        let name = chunk.pools.text(&chunk.types, name)?;
        if !name.is_empty() {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}
