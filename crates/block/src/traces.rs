//! Which traces a block may hold: a filter beside the table of contents, so that opening a block is
//! enough to know that it lacks a trace.
//!
//! Filled with the texts that queries compare: whatever a profile, a sample or a link says its
//! `trace_id` is.

use cairn_model::Labels;
use cairn_trie::GroupValue;
use parquet::bloom_filter::Sbbf;

use crate::tables::{AttrSet, Index, Links};

const LABEL: &str = "trace_id";

/// Bits per trace: of those that a block lacks one in a hundred seems to be there.
const BITS: usize = 11;

/// Beyond 1.5 million traces more of them seem to be there, rather than the filter growing.
const BYTES_MAX: usize = 2 << 20;

/// The unit of the filter.
const UNIT_BYTES: usize = 32;

/// A split-block Bloom filter, as Parquet defines it; none if there are no traces.
#[derive(Debug)]
pub(crate) struct Traces(Option<Sbbf>);

impl Traces {
    pub(crate) fn new(index: &Index, links: &Links) -> Self {
        // Links are sorted.
        let of_links = links.list.chunk_by(|a, b| a.trace_id == b.trace_id);
        let mut count = of_links.count();
        visit_labels(index, &mut |_| count += 1);
        // That of no link.
        count -= 1;
        if count == 0 {
            return Self(None);
        }
        let units = (count * BITS / 8).clamp(1, BYTES_MAX).div_ceil(UNIT_BYTES);
        let mut filter = Sbbf::new(&vec![0; units * UNIT_BYTES]);
        for links in links.list.chunk_by(|a, b| a.trace_id == b.trace_id) {
            filter.insert(hex(&links[0].trace_id).as_str());
        }
        visit_labels(index, &mut |text| filter.insert(text));
        Self(Some(filter))
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(filter) = &self.0 {
            let written = filter.write_bitset(&mut bytes);
            written.expect("writing to memory succeeds");
        }
        bytes
    }

    /// How many bytes a filter may have.
    pub(crate) fn is_size(bytes: u64) -> bool {
        bytes <= BYTES_MAX as u64 && bytes.is_multiple_of(UNIT_BYTES as u64)
    }

    /// Bytes of such a size.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self((!bytes.is_empty()).then(|| Sbbf::new(bytes)))
    }

    pub(crate) fn may_have(&self, trace_id: &str) -> bool {
        self.0.as_ref().is_some_and(|filter| filter.check(trace_id))
    }

    pub(crate) fn bytes(&self) -> usize {
        let units = self.0.as_ref().map_or(0, Sbbf::num_blocks);
        units * UNIT_BYTES
    }
}

/// Traces that labels name.
fn visit_labels(index: &Index, visit: &mut dyn FnMut(&str)) {
    let of_profiles = index.label_sets.iter();
    of_profiles
        .filter_map(|labels: &Labels| labels.get(LABEL))
        .for_each(&mut *visit);
    let of_samples = index.attr_sets.iter().flat_map(|set: &AttrSet| &set.0);
    for (_, value) in of_samples.filter(|(key, _)| **key == *LABEL) {
        match value {
            GroupValue::Str(text) => visit(text),
            GroupValue::Num { value, .. } => visit(&value.to_string()),
        }
    }
}

fn hex(id: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * id.len());
    for byte in id {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
    }
    text
}

#[cfg(test)]
mod tests {
    use cairn_model::Link;

    use super::*;

    fn id(number: u64) -> [u8; 16] {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (u128::from(mixed) << 64 | u128::from(number)).to_be_bytes()
    }

    fn traces(count: u64) -> Traces {
        let link = |number| Link {
            trace_id: id(number),
            span_id: [1; 8],
        };
        let mut list = vec![Link::default()];
        list.extend((1..=count).map(link));
        list.sort_unstable();
        Traces::new(&Index::default(), &Links::new(list))
    }

    #[test]
    fn one_in_a_hundred_that_are_not_there_seems_to_be() {
        for count in [1, 100, 10_000] {
            let traces = Traces::read(&traces(count).write());
            let has = |number| traces.may_have(&hex(&id(number)));
            assert!((1..=count).all(has));
            let wrong = (0..20_000).filter(|number| has(1_000_000 + number)).count();
            assert!(wrong <= 240, "{wrong} of 20000 at {count}");
        }
    }

    #[test]
    fn blocks_without_traces_have_no_filter() {
        assert!(traces(0).write().is_empty());
        assert!(!Traces::read(&[]).may_have(""));
        let bytes = traces(10_000).write().len();
        assert_eq!(bytes, (10_000 * BITS / 8).next_multiple_of(UNIT_BYTES));
    }
}
